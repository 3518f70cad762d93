use std::collections::HashMap;

use linfa::DatasetBase;
use linfa::traits::{Fit, Predict};
use linfa_clustering::KMeans;
use linfa_nn::distance::L2Dist;
use ndarray::{Array2, ArrayView2, Axis};
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;

use crate::error::{MiningError, Result};
use crate::features::FeatureTable;

/// Images in clusters of features that are near each other (k-means from k-means++; every feature scaled to unit variance).
#[derive(Debug, Clone)]
pub struct Clusters {
    /// Cluster of each image, by id.
    pub of: HashMap<String, usize>,
    /// Of each cluster the image nearest to its centre.
    pub representatives: Vec<String>,
}

/// Starts of k-means of which the best is kept.
const STARTS: usize = 3;

/// At most `count` clusters: fewer where fewer images differ.
///
/// # Errors
/// [`MiningError::TooFewImages`] for more clusters than images, [`MiningError::Features`] if no clusters are found.
pub fn clusters_of(table: &FeatureTable, count: usize, seed: u64) -> Result<Clusters> {
    let images = table.ids().len();
    if count == 0 || count > images {
        return Err(MiningError::TooFewImages {
            what: "clusters",
            asked: count,
            available: images,
        });
    }
    let bad = |problem: String| MiningError::Features { problem };
    let scaled = scaled(table).map_err(|error| bad(error.to_string()))?;
    let rng = Xoshiro256Plus::seed_from_u64(seed);
    let fitted = KMeans::params_with(count, rng, L2Dist)
        .n_runs(STARTS)
        .fit(&DatasetBase::from(scaled.clone()))
        .map_err(|error| bad(error.to_string()))?;
    let places: Vec<usize> = fitted.predict(&scaled).to_vec();
    let ids = table.ids();
    let mut nearest: Vec<Option<(f64, usize)>> = vec![None; count];
    for (image, (row, place)) in scaled.axis_iter(Axis(0)).zip(&places).enumerate() {
        let distance = (&row - &fitted.centroids().row(*place)).mapv(|d| d * d).sum();
        if nearest[*place].is_none_or(|(least, _)| distance < least) {
            nearest[*place] = Some((distance, image));
        }
    }
    let found = nearest.into_iter().flatten();
    Ok(Clusters {
        of: ids.iter().cloned().zip(places).collect(),
        representatives: found.map(|(_, image)| ids[image].clone()).collect(),
    })
}

/// `[images, features]`, every feature with mean 0 and variance 1, or 0 where it is the same everywhere.
fn scaled(table: &FeatureTable) -> std::result::Result<Array2<f64>, ndarray::ShapeError> {
    let shape = (table.ids().len(), table.length());
    let values = ArrayView2::from_shape(shape, table.values())?;
    let mut scaled = values.to_owned();
    for mut column in scaled.axis_iter_mut(Axis(1)) {
        let mean = column.sum() / shape.0 as f64;
        column -= mean;
        let deviation = (column.mapv(|v| v * v).sum() / shape.0 as f64).sqrt();
        if deviation > 0.0 {
            column /= deviation;
        }
    }
    Ok(scaled)
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
