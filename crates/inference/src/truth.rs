use htl_datasets::ImageSet;
use htl_metrics::Mask;

use crate::InferenceError;

/// The masks of a set at their stored size, in the order of the set.
///
/// # Errors
/// From reading the files; [`InferenceError::Metric`] for an image without a mask.
pub fn stored_masks(images: &ImageSet) -> Result<Vec<Mask>, InferenceError> {
    (0..images.len())
        .map(|index| {
            let stored = images.stored_mask(index)?.unwrap_or_default();
            Ok(Mask::from_luma(
                stored.height() as usize,
                stored.width() as usize,
                stored.as_raw(),
            )?)
        })
        .collect()
}
