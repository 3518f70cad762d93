use htl_datasets::{DataFolder, ImageSet, Sample, Split, image_size, read_mask_for};
use htl_metrics::{Mask, resize_bilinear};

use crate::InferenceError;
use crate::mask_rule::MaskRule;

/// The samples of a split that have a mask to be evaluated against.
///
/// # Errors
/// [`InferenceError::NoMasks`] if there is none.
pub fn with_masks(data: &DataFolder, split: Split) -> Result<Vec<&Sample>, InferenceError> {
    let samples: Vec<&Sample> = data.split(split).into_iter().filter(|s| s.mask.is_some()).collect();
    if samples.is_empty() {
        return Err(InferenceError::NoMasks {
            data: data.root().to_owned(),
            split,
        });
    }
    Ok(samples)
}

/// The mask of one sample at its stored size.
///
/// # Errors
/// [`InferenceError::NoMask`], and from reading the file.
pub fn stored_mask(sample: &Sample) -> Result<Mask, InferenceError> {
    let path = sample.mask.as_deref().ok_or_else(|| InferenceError::NoMask {
        image_id: sample.image_id.clone(),
    })?;
    of_luma(&read_mask_for(path, &sample.image, image_size(&sample.image)?)?)
}

/// The masks of a set at their stored size, in the order of the set.
///
/// # Errors
/// [`InferenceError::NoMask`] for an image whose mask is absent or was not to be read, and from reading the files.
pub fn stored_masks(images: &ImageSet) -> Result<Vec<Mask>, InferenceError> {
    let ids = images.ids();
    let mask = |(index, id): (usize, &&str)| match images.stored_mask(index)? {
        Some(stored) => of_luma(&stored),
        None => Err(InferenceError::NoMask {
            image_id: (*id).to_owned(),
        }),
    };
    ids.iter().enumerate().map(mask).collect()
}

/// A square map of `size` pixels a side, resized bilinearly to the truth's size and then made a mask.
pub(crate) fn mask_at_stored_size(
    map: &[f32],
    size: usize,
    truth: &Mask,
    rule: MaskRule,
) -> Result<Mask, InferenceError> {
    let (height, width) = (truth.height(), truth.width());
    let resized = resize_bilinear(map, (size, size), (height, width))?;
    Ok(rule.mask(height, width, &resized)?)
}

fn of_luma(mask: &htl_datasets::GrayImage) -> Result<Mask, InferenceError> {
    let (height, width) = (mask.height() as usize, mask.width() as usize);
    Ok(Mask::from_luma(height, width, mask.as_raw())?)
}
