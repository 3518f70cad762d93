//! Losses, one value per image, so that the caller can weight images.
//!
//! Targets, labels and pixel weights are constants: no gradient flows to them.

mod bce;
mod cross_entropy;
mod focal;
mod overlap;
mod pixel;

pub use bce::bce_with_logits;
pub use cross_entropy::cross_entropy;
pub use focal::{FocalParams, focal_with_logits};
pub use overlap::{TverskyParams, soft_dice, tversky};
pub(crate) use pixel::LossKind;
