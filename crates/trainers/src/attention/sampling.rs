use super::{form::Form, image_info::ImageInfo};

/// Draws attended images more often.
pub(super) struct Sampling;

impl Form for Sampling {
    fn key(&self) -> &'static str {
        "sampling"
    }

    fn about(&self) -> &'static str {
        "Attended images are drawn `weight` times as often."
    }

    fn sampling_weight(&self, image: &ImageInfo) -> Option<f64> {
        Some(image.weight)
    }
}
