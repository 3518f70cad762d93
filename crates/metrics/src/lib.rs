//! Localization metrics, groups, and paired statistics on plain slices.
//!
//! ```
//! use htl_metrics::{ImageScores, Mask, MeanScores};
//!
//! let truth = Mask::new(2, 3, vec![0, 1, 1, 0, 1, 1])?;
//! let prediction = Mask::from_probabilities(2, 3, &[0.1, 0.9, 0.8, 0.6, 0.7, 0.2])?;
//! let scores = ImageScores::of("ISIC_0000000", &prediction, &truth)?;
//! assert_eq!(scores.jaccard, 3.0 / 5.0);
//! assert_eq!(MeanScores::of(&[scores])?.threshold_jaccard, 0.0);
//! # Ok::<(), htl_metrics::MetricError>(())
//! ```
//!
//! | what | names |
//! | --- | --- |
//! | all metrics: names, unit, direction, range | [`METRICS`], [`Metric`] |
//! | masks and boxes | [`Mask`], [`PixelBox`], [`box_iou`] |
//! | one image, many images | [`Confusion`], [`ImageScores`], [`MeanScores`], [`ScoreSummary`], [`BoundaryDistance`], [`squared_distances`] |
//! | `per_image.csv` | [`PerImage`] |
//! | probabilities and score maps | [`resize_bilinear`], [`MapCut`], [`Calibration`], [`ScoreMap`], [`BoxAccuracy`], [`PixelPrecision`] |
//! | predictors that learn nothing | [`whole_image`], [`CentredDisc`], [`otsu_darkness`] |
//! | groups | [`MetricByGroup`], [`terciles`] |
//! | gains and intervals | [`paired_gain`], [`arm_mean`] |
//! | regressions | [`Baseline`], [`Runs`], [`CheckOutcome`] |
mod boundary;
mod boxes;
mod calibration;
mod check;
mod components;
mod confusion;
mod contours;
mod distance;
mod error;
mod groups;
mod map_cut;
mod mask;
mod noise;
mod paired;
mod per_image;
mod registry;
mod resize;
mod runs;
mod scores;
mod terciles;
mod trivial;
mod unit;
mod wsol;

pub use boundary::BoundaryDistance;
pub use boxes::{PixelBox, box_iou, optional_box_iou};
pub use calibration::{CALIBRATION_BINS, Calibration, ReliabilityBin};
pub use check::{BandBasis, BandVerdict, CheckOutcome, GroupChange, ImageChange, MIN_GROUP};
pub use confusion::{Confusion, JACCARD_THRESHOLD, threshold_jaccard};
pub use distance::squared_distances;
pub use error::MetricError;
pub use groups::{Against, GroupMean, MetricByGroup};
pub use map_cut::MapCut;
pub use mask::Mask;
pub use noise::{BASELINE_VERSION, BandParams, Baseline, BaselineImage};
pub use paired::{ArmMean, BootstrapParams, Gain, Reading, SEEDS_FOR_INFERENCE, arm_mean, paired_gain, select_images};
pub use per_image::{PerImage, PerImageRow};
pub use registry::{IMAGE_SCORE_COLUMNS, ImageScores, METRICS, MeanScores, Metric, OfficialScores, Scope};
pub use resize::resize_bilinear;
pub use runs::{Attribute, Runs};
pub use scores::{OfficialRow, PooledScores, ScoreSummary};
pub use terciles::{Tercile, terciles};
pub use trivial::{CentredDisc, otsu_darkness, otsu_threshold, whole_image};
pub use unit::{Better, Unit};
pub use wsol::{BOX_IOU_THRESHOLDS, BoxAccuracy, MAP_THRESHOLDS, PixelPrecision, Proposals, ScoreMap};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
