use std::ops::Range;

use candle_core::{Device, Tensor};
use htl_datasets::ImageSet;
use htl_models::{ClassChoice, Mode, Network, Preprocessing};
use rayon::prelude::*;

use crate::{TrainError, batches::normalise};

/// Images per forward pass; the result does not depend on it.
const BATCH: usize = 16;

/// Images `[count, 3, size, size]` of a range of the set, normalised, not augmented.
fn plain_batch(
    images: &ImageSet,
    range: Range<usize>,
    preprocessing: &Preprocessing,
    device: &Device,
) -> Result<Tensor, TrainError> {
    let size = images.size();
    let mut pixels = vec![0.0; range.len() * 3 * size * size];
    pixels
        .par_chunks_mut(3 * size * size)
        .zip(range.clone())
        .for_each(|(pixels, index)| normalise(&images.image(index), preprocessing, pixels));
    Ok(Tensor::from_vec(pixels, (range.len(), 3, size, size), device)?)
}

/// Runs `f` over the set in batches (which images, and what they look like) and concatenates what it gives along the first
/// axis, on the CPU.
pub(crate) fn in_batches(
    images: &ImageSet,
    preprocessing: &Preprocessing,
    device: &Device,
    f: impl Fn(Range<usize>, &Tensor) -> Result<Tensor, TrainError>,
) -> Result<Tensor, TrainError> {
    let mut parts = Vec::new();
    // What a device still computes while the host makes the next batch.
    let mut pending: Option<Tensor> = None;
    for start in (0..images.len()).step_by(BATCH) {
        let range = start..(start + BATCH).min(images.len());
        let batch = plain_batch(images, range.clone(), preprocessing, device)?;
        if let Some(part) = pending.replace(f(range, &batch)?) {
            parts.push(part.to_device(&Device::Cpu)?);
        }
    }
    if let Some(part) = pending {
        parts.push(part.to_device(&Device::Cpu)?);
    }
    Ok(Tensor::cat(&parts, 0)?)
}

/// Localization maps of a set: lesion probabilities of a localizer, or the min-max normalised class activation map of a
/// classifier's predicted class.
///
/// # Shapes
/// - result: `[images, size, size]`, f32 in [0, 1], on the CPU, in the order of the set
pub fn localization_maps(
    network: &Network,
    images: &ImageSet,
    preprocessing: &Preprocessing,
    device: &Device,
) -> Result<Tensor, TrainError> {
    let maps = in_batches(images, preprocessing, device, |_, x| localization_map(network, x))?;
    Ok(maps.squeeze(1)?)
}

/// Class logits of a classifier over a set: `[images, classes]`.
pub fn class_logits(
    network: &Network,
    images: &ImageSet,
    preprocessing: &Preprocessing,
    device: &Device,
) -> Result<Tensor, TrainError> {
    in_batches(images, preprocessing, device, |_, x| {
        Ok(network.forward(x, Mode::Evaluate)?)
    })
}

/// The localization map `[batch, 1, h, w]` of normalised images, values in [0, 1]; nothing of it is differentiable.
pub(crate) fn localization_map(network: &Network, images: &Tensor) -> Result<Tensor, TrainError> {
    if let Ok(unet) = network.as_unet() {
        return Ok(unet
            .forward(images, Mode::Evaluate)?
            .neg()?
            .exp()?
            .affine(1.0, 1.0)?
            .recip()?);
    }
    Ok(network
        .as_classifier()?
        .localization_map(images, ClassChoice::Predicted)?)
}

/// The localization map `[size, size]` of one image at the network's own size, f32 in [0, 1], on the CPU.
///
/// # Errors
/// [`TrainError`] from the forward pass.
pub fn map_of(
    network: &Network,
    rgb: &htl_datasets::RgbImage,
    preprocessing: &Preprocessing,
    device: &Device,
) -> Result<Tensor, TrainError> {
    let size = preprocessing.size;
    let side = u32::try_from(size).unwrap_or(u32::MAX);
    let resized = htl_datasets::resize_rgb(rgb, side, side);
    let planar: Vec<f32> = (0..3)
        .flat_map(|channel| resized.pixels().map(move |p| f32::from(p.0[channel]) / 255.0))
        .collect();
    let mut pixels = vec![0.0; planar.len()];
    normalise(&planar, preprocessing, &mut pixels);
    let image = Tensor::from_vec(pixels, (1, 3, size, size), device)?;
    Ok(localization_map(network, &image)?
        .squeeze(0)?
        .squeeze(0)?
        .to_device(&Device::Cpu)?)
}
