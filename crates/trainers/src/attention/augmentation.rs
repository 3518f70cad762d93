use super::{form::Form, image_info::ImageInfo};

/// Augments attended images more strongly.
pub(super) struct Augmentation;

impl Form for Augmentation {
    fn key(&self) -> &'static str {
        "augmentation"
    }

    fn about(&self) -> &'static str {
        "Attended images are augmented from `weight` times the ordinary ranges."
    }

    fn augmentation_strength(&self, image: &ImageInfo) -> f32 {
        image.weight as f32
    }
}
