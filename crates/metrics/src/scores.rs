use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::boundary::BoundaryDistance;
use crate::boxes::optional_box_iou;
use crate::confusion::Confusion;
use crate::error::MetricError;
use crate::mask::Mask;

/// Column names of a per-image table, in the order in which [`ImageScores`] serialises.
pub const IMAGE_SCORE_COLUMNS: [&str; 14] = [
    "image_id",
    "jaccard",
    "threshold_jaccard",
    "dice",
    "accuracy",
    "sensitivity",
    "specificity",
    "box_iou",
    "surface_distance",
    "hd95",
    "tp",
    "fp",
    "fn",
    "tn",
];

/// Every metric of one image, with the image's id and its pixel counts. A row of `per_image.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageScores {
    /// Which image.
    pub image_id: String,
    /// Jaccard index, the primary metric.
    pub jaccard: f64,
    /// Jaccard index, 0 where it is under 0.65.
    pub threshold_jaccard: f64,
    /// Dice coefficient.
    pub dice: f64,
    /// Share of pixels that are right.
    pub accuracy: f64,
    /// Share of lesion pixels found.
    pub sensitivity: f64,
    /// Share of background pixels left alone.
    pub specificity: f64,
    /// IoU of the boxes of the largest components of prediction and truth; one empty: 0, both: 1.
    pub box_iou: f64,
    /// Mean distance of the outlines as a share of the image diagonal (lower is better), see [`BoundaryDistance`].
    pub surface_distance: f64,
    /// 95th percentile of the distances of the outlines as a share of the image diagonal (lower is better).
    pub hd95: f64,
    /// Lesion pixels found.
    pub tp: u64,
    /// Background pixels called lesion.
    pub fp: u64,
    /// Lesion pixels missed.
    #[serde(rename = "fn")]
    pub fn_: u64,
    /// Background pixels left alone.
    pub tn: u64,
}

impl ImageScores {
    /// Scores one prediction.
    ///
    /// # Errors
    /// [`MetricError::Shape`] if the masks differ in size.
    pub fn of(image_id: impl Into<String>, prediction: &Mask, truth: &Mask) -> Result<Self, MetricError> {
        let c = Confusion::of(prediction, truth)?;
        let distance = BoundaryDistance::between(prediction, truth)?;
        Ok(Self {
            image_id: image_id.into(),
            jaccard: c.jaccard(),
            threshold_jaccard: c.threshold_jaccard(),
            dice: c.dice(),
            accuracy: c.accuracy(),
            sensitivity: c.sensitivity(),
            specificity: c.specificity(),
            box_iou: optional_box_iou(prediction.largest_component_box(), truth.largest_component_box()),
            surface_distance: distance.mean_fraction(),
            hd95: distance.hd95_fraction(),
            tp: c.tp,
            fp: c.fp,
            fn_: c.fn_,
            tn: c.tn,
        })
    }

    /// The pixel counts.
    pub fn confusion(&self) -> Confusion {
        Confusion {
            tp: self.tp,
            fp: self.fp,
            fn_: self.fn_,
            tn: self.tn,
        }
    }

    /// Checks that every metric is a number in its range, as one read from a file may not be.
    ///
    /// # Errors
    /// [`MetricError::Range`] with the column.
    pub(crate) fn check_ranges(&self) -> Result<(), MetricError> {
        for column in &IMAGE_SCORE_COLUMNS[1..10] {
            let found = self.metric(column).unwrap_or(f64::NAN);
            if !(0.0..=1.0).contains(&found) {
                return Err(MetricError::Range {
                    what: column,
                    found,
                    expected: "a value in [0, 1]",
                });
            }
        }
        Ok(())
    }

    /// One metric by its column name, `None` for a name that is no metric.
    pub fn metric(&self, name: &str) -> Option<f64> {
        Some(match name {
            "jaccard" => self.jaccard,
            "threshold_jaccard" => self.threshold_jaccard,
            "dice" => self.dice,
            "accuracy" => self.accuracy,
            "sensitivity" => self.sensitivity,
            "specificity" => self.specificity,
            "box_iou" => self.box_iou,
            "surface_distance" => self.surface_distance,
            "hd95" => self.hd95,
            _ => return None,
        })
    }
}

/// Means over images (every image counts the same) and the pooled Jaccard and Dice beside them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanScores {
    /// Number of images.
    pub images: usize,
    /// Mean Jaccard index.
    pub jaccard: f64,
    /// Mean thresholded Jaccard index.
    pub threshold_jaccard: f64,
    /// Mean Dice coefficient.
    pub dice: f64,
    /// Mean accuracy.
    pub accuracy: f64,
    /// Mean sensitivity.
    pub sensitivity: f64,
    /// Mean specificity.
    pub specificity: f64,
    /// Mean box IoU.
    pub box_iou: f64,
    /// Mean of the mean outline distance, share of the diagonal.
    pub surface_distance: f64,
    /// Mean of the 95th percentile of the outline distance, share of the diagonal.
    pub hd95: f64,
    /// Jaccard index of all pixels of all images in one table.
    pub pooled_jaccard: f64,
    /// Dice coefficient of all pixels of all images in one table.
    pub pooled_dice: f64,
}

impl MeanScores {
    /// Averages rows; their order does not matter beyond the last bits.
    ///
    /// # Errors
    /// [`MetricError::Empty`] without rows.
    pub fn of(rows: &[ImageScores]) -> Result<Self, MetricError> {
        if rows.is_empty() {
            return Err(MetricError::Empty {
                what: "the list of scored images",
            });
        }
        let mean = |of: fn(&ImageScores) -> f64| rows.iter().map(of).sum::<f64>() / rows.len() as f64;
        let pooled: Confusion = rows.iter().map(ImageScores::confusion).sum();
        Ok(Self {
            images: rows.len(),
            jaccard: mean(|r| r.jaccard),
            threshold_jaccard: mean(|r| r.threshold_jaccard),
            dice: mean(|r| r.dice),
            accuracy: mean(|r| r.accuracy),
            sensitivity: mean(|r| r.sensitivity),
            specificity: mean(|r| r.specificity),
            box_iou: mean(|r| r.box_iou),
            surface_distance: mean(|r| r.surface_distance),
            hd95: mean(|r| r.hd95),
            pooled_jaccard: pooled.jaccard(),
            pooled_dice: pooled.dice(),
        })
    }
}

/// The six official ISIC metrics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OfficialScores {
    /// Jaccard index.
    pub jaccard: f64,
    /// Jaccard index, 0 where it is under 0.65.
    pub threshold_jaccard: f64,
    /// Dice coefficient.
    pub dice: f64,
    /// Share of pixels that are right.
    pub accuracy: f64,
    /// Share of lesion pixels found.
    pub sensitivity: f64,
    /// Share of background pixels left alone.
    pub specificity: f64,
}

impl From<&Confusion> for OfficialScores {
    fn from(c: &Confusion) -> Self {
        Self {
            jaccard: c.jaccard(),
            threshold_jaccard: c.threshold_jaccard(),
            dice: c.dice(),
            accuracy: c.accuracy(),
            sensitivity: c.sensitivity(),
            specificity: c.specificity(),
        }
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
pub struct ScoreRow {
    /// Which image.
    pub image_id: String,
    /// Its six metrics, written beside the id.
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
    pub per_image: Vec<ScoreRow>,
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
        let per_image: Vec<ScoreRow> = images
            .iter()
            .map(|(id, c)| ScoreRow {
                image_id: id.clone(),
                scores: c.into(),
            })
            .collect();
        let mean = |of: fn(&OfficialScores) -> f64| {
            per_image.iter().map(|r| of(&r.scores)).sum::<f64>() / per_image.len() as f64
        };
        let pooled: Confusion = images.iter().map(|(_, c)| c).sum();
        Ok(Self {
            images: images.len(),
            mean: OfficialScores {
                jaccard: mean(|s| s.jaccard),
                threshold_jaccard: mean(|s| s.threshold_jaccard),
                dice: mean(|s| s.dice),
                accuracy: mean(|s| s.accuracy),
                sensitivity: mean(|s| s.sensitivity),
                specificity: mean(|s| s.specificity),
            },
            pooled: PooledScores {
                jaccard: pooled.jaccard(),
                dice: pooled.dice(),
            },
            per_image,
        })
    }
}
