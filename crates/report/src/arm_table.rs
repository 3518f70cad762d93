//! Test results of an arm: a table per seed, all about the same images.

use std::collections::BTreeMap;
use std::path::Path;

use htl_metrics::{ImageGroup, PerImage};

use crate::ReportError;

/// `per_image.csv` of every seed, rows sorted by image.
#[derive(Debug, Default)]
pub(crate) struct ArmTable {
    seeds: BTreeMap<u64, PerImage>,
}

/// A table of seeds x images.
pub(crate) type Values = Vec<Vec<f64>>;

impl ArmTable {
    /// Reads one seed's file.
    pub fn read(&mut self, seed: u64, path: &Path) -> Result<&PerImage, ReportError> {
        let bytes = std::fs::read(path).map_err(|source| ReportError::Io {
            path: path.to_owned(),
            action: "read",
            source,
        })?;
        let mut table = PerImage::from_csv(&bytes).map_err(|source| ReportError::PerImage {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        table.rows.sort_by(|a, b| a.scores.image_id.cmp(&b.scores.image_id));
        Ok(self.seeds.entry(seed).insert_entry(table).into_mut())
    }

    /// The seeds that all of these arms have.
    pub fn shared_seeds(arms: &[&Self]) -> Vec<u64> {
        let Some((first, others)) = arms.split_first() else {
            return Vec::new();
        };
        let in_all = |seed: &&u64| others.iter().all(|arm| arm.seeds.contains_key(seed));
        first.seeds.keys().filter(in_all).copied().collect()
    }

    /// All seeds.
    pub fn seeds(&self) -> Vec<u64> {
        self.seeds.keys().copied().collect()
    }

    /// Whether these seeds of all arms are about the same images.
    pub fn same_images(arms: &[&Self], seeds: &[u64]) -> bool {
        let tables = || {
            arms.iter()
                .flat_map(|arm| seeds.iter().filter_map(|seed| arm.seeds.get(seed)))
        };
        let ids =
            |table: &PerImage| -> Vec<String> { table.rows.iter().map(|row| row.scores.image_id.clone()).collect() };
        tables().next().is_none_or(|first| {
            let expected = ids(first);
            tables().all(|table| ids(table) == expected)
        })
    }

    /// Values of a metric, `[seeds][images]`; `None` where a table does not have it.
    pub fn values(&self, metric: &str, seeds: &[u64]) -> Option<Values> {
        let row = |seed: &u64| -> Option<Vec<f64>> {
            let rows = &self.seeds.get(seed)?.rows;
            rows.iter().map(|row| row.scores.metric(metric)).collect()
        };
        seeds.iter().map(row).collect()
    }

    /// Ids of the images.
    pub fn ids(&self) -> Vec<&str> {
        let first = self.seeds.values().next();
        let rows = first.into_iter().flat_map(|table| &table.rows);
        rows.map(|row| row.scores.image_id.as_str()).collect()
    }

    /// Which images show one lesion or one patient.
    pub fn clusters(&self) -> Vec<usize> {
        self.seeds.values().next().map(PerImage::clusters).unwrap_or_default()
    }

    /// Groups of at least this many images.
    pub fn groups(&self, least: usize) -> Vec<ImageGroup> {
        let first = self.seeds.values().next();
        first.map(|table| table.groups(least)).unwrap_or_default()
    }
}
