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
mod boundary;
mod boxes;
mod components;
mod confusion;
mod error;
mod mask;
mod resize;
mod scores;

pub use boundary::BoundaryDistance;
pub use boxes::{PixelBox, box_iou, optional_box_iou};
pub use confusion::{Confusion, JACCARD_THRESHOLD, threshold_jaccard};
pub use error::MetricError;
pub use mask::Mask;
pub use resize::resize_bilinear;
pub use scores::{
    IMAGE_SCORE_COLUMNS, ImageScores, MeanScores, OfficialScores, PooledScores, ScoreRow,
    ScoreSummary,
};
