use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::confusion::Confusion;
use crate::error::MetricError;
use crate::registry::Metric;
use crate::registry::{ImageScores, OfficialScores};

impl ImageScores {
    /// The pixel counts.
    pub fn confusion(&self) -> Confusion {
        Confusion {
            tp: self.tp,
            fp: self.fp,
            fn_: self.fn_,
            tn: self.tn,
        }
    }

    /// One metric by its key; `None` for any other name, for metrics that a single image does not have, and for a column
    /// that the table it was read from lacks.
    pub fn metric(&self, key: &str) -> Option<f64> {
        Metric::named(key)?.of_image(self)
    }
}

/// Jaccard and Dice of all pixels of all images in one table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PooledScores {
    /// Pooled Jaccard index.
    pub jaccard: f64,
    /// Pooled Dice coefficient.
    pub dice: f64,
}

/// The official metrics of one image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OfficialRow {
    /// Which image.
    pub image_id: String,
    /// Its metrics, written beside the id.
    #[serde(flatten)]
    pub scores: OfficialScores,
}

/// What `htl score` prints: `{"images": n, "mean": {...}, "pooled": {...}, "per_image": [...]}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreSummary {
    /// Number of images.
    pub images: usize,
    /// Mean over images of each official metric.
    pub mean: OfficialScores,
    /// All pixels in one table.
    pub pooled: PooledScores,
    /// One row per image, in the order given.
    pub per_image: Vec<OfficialRow>,
}

impl ScoreSummary {
    /// Summarises images by id and pixel counts.
    ///
    /// # Errors
    /// [`MetricError::Empty`] without images, [`MetricError::DuplicateImage`] if an id occurs twice.
    pub fn of(images: &[(String, Confusion)]) -> Result<Self, MetricError> {
        if images.is_empty() {
            return Err(MetricError::Empty {
                what: "the list of image pairs",
            });
        }
        let mut seen = BTreeSet::new();
        if let Some((twice, _)) = images.iter().find(|(id, _)| !seen.insert(id.as_str())) {
            return Err(MetricError::DuplicateImage {
                image_id: twice.clone(),
                what: "the list of image pairs",
            });
        }
        let per_image: Vec<OfficialRow> = images
            .iter()
            .map(|(id, c)| OfficialRow {
                image_id: id.clone(),
                scores: c.into(),
            })
            .collect();
        let pooled: Confusion = images.iter().map(|(_, c)| c).sum();
        Ok(Self {
            images: images.len(),
            mean: OfficialScores::mean(&per_image.iter().map(|row| &row.scores).collect::<Vec<_>>()),
            pooled: PooledScores {
                jaccard: pooled.jaccard(),
                dice: pooled.dice(),
            },
            per_image,
        })
    }
}
