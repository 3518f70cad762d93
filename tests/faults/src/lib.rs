//! Trainings with a mistake in them, to show that regression checks find it.
//!
//! The binary `htl-planted` stands in for `htl` in `cargo xtask check-iou --htl htl-planted`: it trains with the [`Fault`]
//! that the environment variable [`VARIABLE`] names. [`train`] is made of public functions of the library crates alone, so
//! nothing in them knows of any fault; without one it writes the same checkpoint as `htl train`, byte for byte.
mod fault;
mod train;
mod unet;

pub use fault::{Fault, NONE, VARIABLE};
pub use train::train;
