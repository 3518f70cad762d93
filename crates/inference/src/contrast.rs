use htl_datasets::{GrayImage, Sample, attributes, read_rgb, resize_rgb};
use htl_metrics::Mask;

use crate::InferenceError;

/// Colour contrast of the lesion to the skin around it, as [`htl_datasets::attributes`] measures it, with a mask that networks
/// made: CIE 1976 distance, at the mask's size. `None` if the mask is empty or leaves no skin.
///
/// # Errors
/// [`InferenceError::Data`] if the image cannot be read.
pub fn contrast_within(sample: &Sample, mask: &Mask) -> Result<Option<f64>, InferenceError> {
    let (width, height) = (mask.width() as u32, mask.height() as u32);
    let image = resize_rgb(&read_rgb(&sample.image)?, width, height);
    let bytes: Vec<u8> = mask.pixels().iter().map(|pixel| pixel * 255).collect();
    let mask = GrayImage::from_raw(width, height, bytes).unwrap_or_default();
    Ok(attributes(&image, &mask)?.delta_e)
}
