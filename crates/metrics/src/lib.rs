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
//! | masks and boxes | [`Mask`], [`RunLengths`], [`PixelBox`], [`box_iou`] |
//! | one image, many images | [`Confusion`], [`ImageScores`], [`MeanScores`], [`ScoreSummary`], [`BoundaryDistance`], [`squared_distances`] |
//! | `per_image.csv` | [`PerImage`] |
//! | probabilities and score maps | [`resize_bilinear`], [`MapCut`], [`Calibration`], [`ScoreMap`], [`BoxAccuracy`], [`PixelPrecision`] |
//! | predictors that learn nothing | [`whole_image`], [`CentredDisc`], [`otsu_darkness`] |
//! | groups | [`MetricByGroup`], [`worst_group`], [`terciles`], [`LEAST_SHOWN`], [`LEAST_TESTED`] |
//! | gains and intervals | [`paired_gain`], [`crossed_t`], [`gain_difference`], [`Units`], [`holm`] |
//! | referral | [`RiskCoverage`], [`risk_difference`] |
//! | regressions | [`Baseline`], [`Runs`], [`CheckOutcome`] |
mod bootstrap;
mod boundary;
mod boxes;
mod calibration;
mod check;
mod check_text;
mod clusters;
mod components;
mod confusion;
mod contours;
mod crossed;
mod distance;
mod error;
mod groups;
mod holm;
mod map_cut;
mod mask;
mod noise;
mod paired;
mod per_image;
mod registry;
mod resize;
mod risk_coverage;
mod run_lengths;
mod runs;
mod scores;
mod table;
mod terciles;
mod trivial;
mod unit;
mod worst;
mod wsol;

pub use bootstrap::BootstrapParams;
pub use boundary::BoundaryDistance;
pub use boxes::{PixelBox, box_iou, optional_box_iou};
pub use calibration::{CALIBRATION_BINS, Calibration, CalibrationErrors, ReliabilityBin};
pub use check::{BandVerdict, CheckOutcome, GroupChange, GroupTest, ImageChange, Pairing};
pub use clusters::{Units, clusters, linked};
pub use components::{ComponentMap, label_components};
pub use confusion::{Confusion, JACCARD_THRESHOLD, threshold_jaccard};
pub use crossed::{CrossedT, MeanSquares, crossed_t, gain_difference};
pub use distance::squared_distances;
pub use error::MetricError;
pub use groups::{Against, GroupMean, ImageGroup, LEAST_SHOWN, LEAST_TESTED, MetricByGroup};
pub use holm::holm;
pub use map_cut::MapCut;
pub use mask::Mask;
pub use noise::{
    BASELINE_VERSION, BandParams, Baseline, BaselineImage, GOOD_BASELINE_RUNS, LEAST_BASELINE_RUNS, median,
};
pub use paired::{Gain, Reading, SEEDS_FOR_INFERENCE, arm_mean, paired_gain};
pub use per_image::{LESION_COLUMN, PATIENT_COLUMN, PerImage, PerImageRow};
pub use registry::{IMAGE_SCORE_COLUMNS, ImageScores, METRICS, MeanScores, Metric, OfficialScores, Scope};
pub use resize::resize_bilinear;
pub use risk_coverage::{RiskCoverage, RiskDifference, RiskMeasure, RiskPoint, risk_difference};
pub use run_lengths::RunLengths;
pub use runs::{Attribute, Runs};
pub use scores::{OfficialRow, PooledScores, ScoreSummary};
pub use table::select_images;
pub use terciles::{Tercile, terciles};
pub use trivial::{CentredDisc, otsu_darkness, otsu_threshold, whole_image};
pub use unit::{Better, Unit};
pub use worst::{WorstGroup, worst_group};
pub use wsol::{BOX_IOU_THRESHOLDS, BoxAccuracy, MAP_THRESHOLDS, PixelPrecision, Proposals, ScoreMap};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
