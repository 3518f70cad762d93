//! One file per measurement.

mod end_to_end;
mod floor;
mod operations;
mod parts;
mod predict;
mod train_step;

pub use floor::Floor;
pub use operations::Operations;
pub use predict::Predict;
pub use train_step::TrainStep;
