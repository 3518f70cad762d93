//! From checkpoints to maps, masks and results, image by image.
mod error;
mod predict;
mod predictor;
mod truth;
mod validation;

pub use error::InferenceError;
pub use predict::{class_logits, localization_maps, map_of};
pub use predictor::{NetworkPredictor, Predictor, localization_map};
pub use truth::stored_masks;
pub use validation::Validator;
