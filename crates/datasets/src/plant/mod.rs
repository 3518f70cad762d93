//! Data folders with a planted truth: a group made rare, or masks made wrong. What was planted is known, so whatever looks for
//! it can be judged.

mod group;
mod noise;
mod planting;

pub use group::{GroupRule, Side};
pub use noise::MaskNoise;
pub use planting::{PLANTED, Planting};
