use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use crate::error::MetricError;
use crate::table::table_mean;

/// What is drawn when images are: each by itself, or all images of a lesion or a patient together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units<'a> {
    /// Images are independent of each other.
    Images,
    /// Images with the same number belong together (see [`clusters`]): one number per image.
    Clusters(&'a [usize]),
}

impl Units<'_> {
    /// The cluster of each of these images, to be used with a table of them alone.
    ///
    /// # Errors
    /// [`MetricError::Range`] for an image without a cluster.
    pub fn select(&self, images: &[usize]) -> Result<Vec<usize>, MetricError> {
        let of = |image: &usize| match self {
            Self::Images => Some(*image),
            Self::Clusters(units) => units.get(*image).copied(),
        };
        let selected: Option<Vec<usize>> = images.iter().map(of).collect();
        selected.ok_or(MetricError::Range {
            what: "index of an image",
            found: images.iter().copied().max().unwrap_or_default() as f64,
            expected: "less than the number of clustered images",
        })
    }
}

/// Numbers images by what they show: two images that share a lesion or a patient have the same number, also through a
/// third image. An image of which neither is known is a cluster of its own.
///
/// # Shapes
/// - `ids`: per image its identifiers (lesion, patient, ...), in the same places for every image; `None` where unknown
/// - result: one number per image, from 0 in the order of first appearance
pub fn clusters<'a, I: IntoIterator<Item = Option<&'a str>>>(ids: impl IntoIterator<Item = I>) -> Vec<usize> {
    let keyed = ids.into_iter().map(|ids| {
        let known = ids.into_iter().enumerate();
        known.filter_map(|(place, id)| Some((place, id?)))
    });
    let components = linked(keyed);
    let mut numbers = vec![0; components.iter().map(Vec::len).sum()];
    for (number, images) in components.into_iter().enumerate() {
        for image in images {
            numbers[image] = number;
        }
    }
    numbers
}

/// Connected components of items, two of which are connected if they share a key: indices, ascending in each component,
/// components in order of their first.
///
/// ```
/// let keys = [vec!["lesion 1"], vec!["lesion 2"], vec![], vec!["lesion 2", "patient 1"], vec!["patient 1"]];
/// assert_eq!(htl_metrics::linked(keys), [vec![0], vec![1, 3, 4], vec![2]]);
/// ```
pub fn linked<K: Eq + Hash>(items: impl IntoIterator<Item = impl IntoIterator<Item = K>>) -> Vec<Vec<usize>> {
    fn root(parent: &mut [usize], mut node: usize) -> usize {
        while parent[node] != node {
            parent[node] = parent[parent[node]];
            node = parent[node];
        }
        node
    }
    // The root of a component is its smallest index.
    let mut parent: Vec<usize> = Vec::new();
    let mut owner: HashMap<K, usize> = HashMap::new();
    for (index, keys) in items.into_iter().enumerate() {
        parent.push(index);
        for key in keys {
            let first = *owner.entry(key).or_insert(index);
            let (a, b) = (root(&mut parent, first), root(&mut parent, index));
            parent[a.max(b)] = a.min(b);
        }
    }
    let mut components: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..parent.len() {
        components.entry(root(&mut parent, index)).or_default().push(index);
    }
    components.into_values().collect()
}

/// Members of each cluster, by the order of first appearance.
pub(crate) fn members(units: &[usize]) -> Vec<Vec<usize>> {
    let mut numbers: BTreeMap<usize, usize> = BTreeMap::new();
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (image, cluster) in units.iter().enumerate() {
        let next = members.len();
        let at = *numbers.entry(*cluster).or_insert(next);
        if at == next {
            members.push(Vec::new());
        }
        members[at].push(image);
    }
    members
}

/// One cluster per image, or an error.
pub(crate) fn check_units(units: &[usize], images: usize) -> Result<(), MetricError> {
    if units.len() == images {
        return Ok(());
    }
    Err(MetricError::Length {
        what: "clusters, one per image".into(),
        expected: images,
        found: units.len(),
    })
}

/// A table of seeds x independent units, whose rows have the same means as before.
///
/// Images of a cluster are averaged. Where clusters differ in size, each keeps the weight of its images, so that the mean
/// stays the mean over images: with J clusters of I images a column is m + (J / I) · (sum over the cluster of d − m), m the
/// mean of the whole table. For equal sizes that is the cluster's plain mean; for others its variance is the linearised
/// one of a ratio of sums, as in surveys of clusters.
pub(crate) fn averaged<'t>(table: &'t [Vec<f64>], units: Units<'_>) -> Result<Cow<'t, [Vec<f64>]>, MetricError> {
    let Units::Clusters(units) = units else {
        return Ok(Cow::Borrowed(table));
    };
    let images = table.first().map_or(0, Vec::len);
    check_units(units, images)?;
    let members = members(units);
    let mean = table_mean(table);
    let share = members.len() as f64 / images as f64;
    let column =
        |row: &Vec<f64>, images: &Vec<usize>| mean + share * images.iter().map(|image| row[*image] - mean).sum::<f64>();
    Ok(table
        .iter()
        .map(|row| members.iter().map(|images| column(row, images)).collect())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_a_lesion_or_patient_belong_together() {
        let ids = [
            [Some("L1"), None],
            [None, None],
            [Some("L2"), Some("P1")],
            [Some("L1"), Some("P1")],
            [None, None],
            [Some("P1"), None],
        ];
        // The first and the third are one person's through the fourth; a lesion is not a patient of the same name.
        assert_eq!(clusters(ids), [0, 1, 0, 0, 2, 3]);
    }

    #[test]
    fn the_mean_of_a_seed_stays() {
        let table = vec![vec![1.0, 2.0, 3.0, 4.0], vec![0.0, 0.0, 6.0, 2.0]];
        let found = averaged(&table, Units::Clusters(&[7, 3, 7, 7])).unwrap();
        let means: Vec<f64> = found.iter().map(|row| row.iter().sum::<f64>() / 2.0).collect();
        assert!(found[0].len() == 2 && (means[0] - 2.5).abs() < 1e-12 && (means[1] - 2.0).abs() < 1e-12);
        let equal = averaged(&table, Units::Clusters(&[0, 1, 0, 1])).unwrap();
        assert_eq!(equal[0], [2.0, 3.0]);
        assert!(averaged(&table, Units::Clusters(&[0, 1])).is_err());
    }
}
