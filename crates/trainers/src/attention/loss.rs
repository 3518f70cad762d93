use super::{form::Form, image_info::ImageInfo};

/// Weights attended images more in the loss.
pub(super) struct Loss;

impl Form for Loss {
    fn key(&self) -> &'static str {
        "loss"
    }

    fn about(&self) -> &'static str {
        "The loss of attended images counts `weight` times."
    }

    fn loss_weight(&self, image: &ImageInfo) -> f64 {
        image.weight
    }
}
