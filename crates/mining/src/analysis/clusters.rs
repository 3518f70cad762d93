use std::collections::HashMap;

/// Which images show the same lesion or person, as a number per image; images that share any key are together.
///
/// `keys`: per kind of key (`lesion_id`, `patient_id`) one entry per image, `None` where it is not known: such an image is
/// bound to others by its other keys only. Without any key every image stands alone.
pub fn clusters(images: usize, keys: &[Vec<Option<String>>]) -> Vec<usize> {
    let mut parent: Vec<usize> = (0..images).collect();
    for kind in keys {
        let mut first: HashMap<&str, usize> = HashMap::new();
        for (image, key) in kind.iter().enumerate().take(images) {
            let Some(key) = key else { continue };
            let other = *first.entry(key).or_insert(image);
            let (a, b) = (root(&mut parent, image), root(&mut parent, other));
            parent[a.max(b)] = a.min(b);
        }
    }
    let mut number: HashMap<usize, usize> = HashMap::new();
    (0..images)
        .map(|image| {
            let root = root(&mut parent, image);
            let next = number.len();
            *number.entry(root).or_insert(next)
        })
        .collect()
}

/// The first image of the set that an image is in; paths are halved on the way.
fn root(parent: &mut [usize], mut image: usize) -> usize {
    while parent[image] != image {
        parent[image] = parent[parent[image]];
        image = parent[image];
    }
    image
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
