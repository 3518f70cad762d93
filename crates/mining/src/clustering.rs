use std::collections::HashMap;

use rand::Rng;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::error::{MiningError, Result};
use crate::features::FeatureTable;

/// Images in clusters of features that are near each other: k-means from the starts of k-means++ (Arthur & Vassilvitskii 2007),
/// every feature scaled to unit variance.
///
/// Own code, as the crates that have it bring twenty others.
#[derive(Debug, Clone)]
pub struct Clusters {
    /// Cluster of each image, by id.
    pub of: HashMap<String, usize>,
    /// Of each cluster the image nearest to its centre.
    pub representatives: Vec<String>,
}

/// Starts of which the best is kept.
const STARTS: usize = 3;
/// Rounds after which a start ends that still changes.
const ROUNDS: usize = 100;

/// At most `count` clusters: fewer where fewer images differ.
///
/// # Errors
/// [`MiningError::TooFewImages`] for more clusters than images, or none.
pub fn clusters_of(table: &FeatureTable, count: usize, seed: u64) -> Result<Clusters> {
    let images = table.ids().len();
    if count == 0 || count > images {
        return Err(MiningError::TooFewImages {
            what: "clusters",
            asked: count,
            available: images,
        });
    }
    let points = scaled(table);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let runs = (0..STARTS).map(|_| settled(&points, starts(&points, count, &mut rng)));
    let (_, centres) = runs
        .min_by(|a, b| a.0.total_cmp(&b.0))
        .unwrap_or_else(|| (0.0, Vec::new()));
    let mut nearest: Vec<Option<(f64, usize)>> = vec![None; centres.len()];
    let mut of = HashMap::with_capacity(images);
    for (image, (point, id)) in points.iter().zip(table.ids()).enumerate() {
        let (cluster, distance) = closest(point, &centres);
        if nearest[cluster].is_none_or(|(least, _)| distance < least) {
            nearest[cluster] = Some((distance, image));
        }
        of.insert(id.clone(), cluster);
    }
    let found = nearest.into_iter().flatten();
    Ok(Clusters {
        of,
        representatives: found.map(|(_, image)| table.ids()[image].clone()).collect(),
    })
}

/// Every feature with mean 0 and variance 1, or 0 where it is the same everywhere.
fn scaled(table: &FeatureTable) -> Vec<Vec<f64>> {
    let mut points: Vec<Vec<f64>> = table
        .values()
        .chunks(table.length().max(1))
        .map(<[f64]>::to_vec)
        .collect();
    let count = points.len() as f64;
    for at in 0..table.length() {
        let mean = points.iter().map(|point| point[at]).sum::<f64>() / count;
        let variance = points.iter().map(|point| (point[at] - mean).powi(2)).sum::<f64>() / count;
        let scale = if variance > 0.0 { variance.sqrt().recip() } else { 0.0 };
        points
            .iter_mut()
            .for_each(|point| point[at] = (point[at] - mean) * scale);
    }
    points
}

/// Points far from each other: each drawn with the squared distance to those before it. Fewer than `count` where no other point
/// differs from them.
fn starts(points: &[Vec<f64>], count: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    let mut centres = vec![points[rng.random_range(0..points.len())].clone()];
    let mut distances: Vec<f64> = points.iter().map(|point| squared(point, &centres[0])).collect();
    while centres.len() < count {
        let Ok(far) = WeightedIndex::new(&distances) else { break };
        let centre = points[far.sample(rng)].clone();
        for (distance, point) in distances.iter_mut().zip(points) {
            *distance = distance.min(squared(point, &centre));
        }
        centres.push(centre);
    }
    centres
}

/// Lloyd's rounds: the sum of squared distances at their end, and the centres.
fn settled(points: &[Vec<f64>], mut centres: Vec<Vec<f64>>) -> (f64, Vec<Vec<f64>>) {
    let mut inertia = f64::INFINITY;
    for _ in 0..ROUNDS {
        let mut sums = vec![vec![0.0; points[0].len()]; centres.len()];
        let mut members = vec![0usize; centres.len()];
        let mut total = 0.0;
        for point in points {
            let (cluster, distance) = closest(point, &centres);
            total += distance;
            members[cluster] += 1;
            sums[cluster]
                .iter_mut()
                .zip(point)
                .for_each(|(sum, value)| *sum += value);
        }
        if total >= inertia {
            break;
        }
        inertia = total;
        for ((centre, sum), members) in centres.iter_mut().zip(sums).zip(members) {
            // A cluster that lost all of its images stays where it is.
            if members > 0 {
                *centre = sum.into_iter().map(|sum| sum / members as f64).collect();
            }
        }
    }
    (inertia, centres)
}

/// The nearest centre, of equally near ones the first, and the squared distance to it.
fn closest(point: &[f64], centres: &[Vec<f64>]) -> (usize, f64) {
    let distances = centres.iter().map(|centre| squared(point, centre)).enumerate();
    distances
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((0, f64::INFINITY))
}

fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three heaps of ten; the fourth number is the same everywhere.
    fn heaps() -> FeatureTable {
        let vector = |i: usize| {
            let heap = i % 3;
            let near = (i / 3) as f64 / 100.0;
            vec![heap as f64 * 5.0 + near, if heap == 1 { 9.0 } else { near }, near, 7.0]
        };
        let vectors: Vec<Vec<f64>> = (0..30).map(vector).collect();
        FeatureTable::new((0..30).map(|i| format!("i{i:02}")).collect(), &vectors).unwrap()
    }

    /// The heaps are found, each with one of its own as its representative, and the same seed finds the same.
    #[test]
    fn heaps_are_clusters() {
        let found = clusters_of(&heaps(), 3, 5).unwrap();
        for i in 0..30 {
            assert_eq!(
                found.of[&format!("i{i:02}")],
                found.of[&format!("i{:02}", i % 3)],
                "{i}"
            );
        }
        let heap = |id: &String| id[1..].parse::<usize>().unwrap() % 3;
        let mut represented: Vec<usize> = found.representatives.iter().map(heap).collect();
        represented.sort_unstable();
        assert_eq!(represented, [0, 1, 2]);
        let again = clusters_of(&heaps(), 3, 5).unwrap();
        assert_eq!((again.of, again.representatives), (found.of, found.representatives));
    }

    #[test]
    fn equal_images_are_one_cluster() {
        let table = FeatureTable::new(vec!["a".into(), "b".into(), "c".into()], &vec![vec![1.0]; 3]).unwrap();
        assert_eq!(clusters_of(&table, 2, 0).unwrap().representatives.len(), 1);
        assert!(clusters_of(&table, 4, 0).is_err());
        assert!(clusters_of(&table, 0, 0).is_err());
    }
}
