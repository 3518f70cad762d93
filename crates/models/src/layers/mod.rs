//! What networks are made of, each with its variables.

mod conv;
mod conv_norm;
mod group_norm;
mod linear;
mod mode;
mod shape;

pub use conv::Conv;
pub use conv_norm::ConvNorm;
pub use group_norm::GroupNorm;
pub use linear::Linear;
pub use mode::Mode;
pub use shape::{ConvShape, Padding};
