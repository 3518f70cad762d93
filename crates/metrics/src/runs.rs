use std::collections::BTreeMap;

use crate::error::{MetricError, check_finite};
use crate::noise::check_seeds;

/// Results of one or more runs on the same images, brought into the order of the image ids.
#[derive(Debug, Clone, PartialEq)]
pub struct Runs {
    image_ids: Vec<String>,
    table: Vec<Vec<f64>>,
    seeds: Option<Vec<u64>>,
}

impl Runs {
    /// Takes (image id, value) of every image for every run; the order of the images does not matter.
    ///
    /// # Errors
    /// [`MetricError::Empty`] without runs or images, [`MetricError::DuplicateImage`], [`MetricError::OtherImages`] if
    /// a run is not about the first run's images, [`MetricError::NotFinite`].
    pub fn new(runs: &[Vec<(String, f64)>]) -> Result<Self, MetricError> {
        let mut image_ids: Option<Vec<String>> = None;
        let mut table = Vec::with_capacity(runs.len());
        for (number, run) in runs.iter().enumerate() {
            let mut rows: Vec<&(String, f64)> = run.iter().collect();
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            if let Some(pair) = rows.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                return Err(MetricError::DuplicateImage {
                    image_id: pair[0].0.clone(),
                    what: "the results",
                });
            }
            let values: Vec<f64> = rows.iter().map(|row| row.1).collect();
            check_finite(
                &format!("results of run number {number} (from 0), sorted by image"),
                &values,
            )?;
            let ids: Vec<String> = rows.iter().map(|row| row.0.clone()).collect();
            match &image_ids {
                None => image_ids = Some(ids),
                Some(known) => same_images(known, &ids)?,
            }
            table.push(values);
        }
        match image_ids {
            Some(image_ids) if !image_ids.is_empty() => Ok(Self {
                image_ids,
                table,
                seeds: None,
            }),
            _ => Err(MetricError::Empty {
                what: "the list of results",
            }),
        }
    }

    /// The same runs with the seed of each, so that they can be paired with others' of the same seed.
    ///
    /// # Errors
    /// [`MetricError::Length`] unless there is one seed per run, [`MetricError::DuplicateSeed`].
    pub fn with_seeds(self, seeds: Vec<u64>) -> Result<Self, MetricError> {
        check_seeds(&seeds, self.table.len(), "seeds, one per run")?;
        Ok(Self {
            seeds: Some(seeds),
            ..self
        })
    }

    /// Seed of every run, where they are known.
    pub fn seeds(&self) -> Option<&[u64]> {
        self.seeds.as_deref()
    }

    /// Sorted ids of the images.
    pub fn image_ids(&self) -> &[String] {
        &self.image_ids
    }

    /// Values, `[runs][images]`, images as in [`image_ids`](Self::image_ids).
    pub fn table(&self) -> &[Vec<f64>] {
        &self.table
    }
}

/// Two sorted lists of ids must be equal.
pub(crate) fn same_images(known: &[String], found: &[String]) -> Result<(), MetricError> {
    let missing: Vec<&String> = known.iter().filter(|id| found.binary_search(id).is_err()).collect();
    let unknown: Vec<&String> = found.iter().filter(|id| known.binary_search(id).is_err()).collect();
    if missing.is_empty() && unknown.is_empty() {
        return Ok(());
    }
    Err(MetricError::OtherImages {
        missing: missing.len(),
        first_missing: missing.first().map(|id| id.to_string()),
        unknown: unknown.len(),
        first_unknown: unknown.first().map(|id| id.to_string()),
    })
}

/// An attribute of images, e.g. sex: which image has which level. Images without a level are left out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Level by image id.
    pub levels: BTreeMap<String, String>,
}
