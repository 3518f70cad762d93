use std::collections::BTreeMap;

/// Members of each cluster, from pairs of cluster and member.
pub(super) fn members_by_cluster(pairs: impl IntoIterator<Item = (usize, usize)>) -> Vec<Vec<usize>> {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (cluster, member) in pairs {
        members.entry(cluster).or_default().push(member);
    }
    members.into_values().collect()
}

/// Which images show the same lesion or person, as a number per image; images that share any key are together.
///
/// `keys`: per kind of key (`lesion_id`, `patient_id`) one entry per image, `None` where it is not known: such an image is
/// bound to others by its other keys only. Without any key every image stands alone.
pub fn clusters(images: usize, keys: &[Vec<Option<String>>]) -> Vec<usize> {
    let of = |image: usize| -> Vec<Option<&str>> {
        let kinds = keys.iter();
        kinds
            .map(|kind| kind.get(image).and_then(|key| key.as_deref()))
            .collect()
    };
    htl_metrics::clusters((0..images).map(of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lesions_of_one_patient_are_together() {
        let key = |keys: &[&str]| -> Vec<Option<String>> {
            keys.iter().map(|k| (!k.is_empty()).then(|| k.to_string())).collect()
        };
        let lesions = key(&["l1", "l1", "l2", "", "l3", ""]);
        let patients = key(&["p1", "", "p1", "", "p2", "p2"]);
        assert_eq!(clusters(6, &[lesions.clone(), patients]), [0, 0, 0, 1, 2, 2]);
        assert_eq!(clusters(6, &[lesions]), [0, 0, 1, 2, 3, 4]);
        assert_eq!(clusters(3, &[]), [0, 1, 2]);
    }
}
