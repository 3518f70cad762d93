use std::borrow::Borrow;
use std::ops::Range;

use candle_core::{Device, Tensor};
use htl_datasets::{ImageSet, RgbImage};
use htl_models::{Mode, Network, Preprocessing};

use crate::pixels::{bytes_of, normalised, picture};
use crate::{InferenceError, NetworkPredictor, Predictor};

/// Images per forward pass; the result does not depend on it.
const BATCH: usize = 16;

/// Images `[count, 3, size, size]` of a range of the set, normalised, not augmented.
pub(crate) fn plain_batch(
    images: &ImageSet,
    range: Range<usize>,
    preprocessing: &Preprocessing,
    device: &Device,
) -> Result<Tensor, InferenceError> {
    normalised(&bytes_of(images, range)?, preprocessing, device)
}

/// Runs `f` over the set in batches (which images, and they as a predictor takes them) and concatenates what it gives along the first
/// axis, on the CPU.
pub(crate) fn in_batches(
    images: &ImageSet,
    f: impl Fn(Range<usize>, &Tensor) -> Result<Tensor, InferenceError>,
) -> Result<Tensor, InferenceError> {
    let mut parts = Vec::new();
    // What a device still computes while the host makes the next batch.
    let mut pending: Option<Tensor> = None;
    for start in (0..images.len()).step_by(BATCH) {
        let range = start..(start + BATCH).min(images.len());
        let batch = bytes_of(images, range.clone())?;
        if let Some(part) = pending.replace(f(range, &batch)?) {
            parts.push(part.to_device(&Device::Cpu)?);
        }
    }
    if let Some(part) = pending {
        parts.push(part.to_device(&Device::Cpu)?);
    }
    Ok(Tensor::cat(&parts, 0)?)
}

/// Hands the raw outputs of a network over a set to `take`, batch by batch in order, so that no more than a batch is in
/// memory: logits of masks or of classes, which tell a sure answer from a very sure one where probabilities are 1.
///
/// # Shapes
/// - `take` gets the range of the set and `[range, 1, size, size]` of a localizer, `[range, classes]` of a classifier, f32,
///   on the CPU
///
/// # Errors
/// [`InferenceError`] from the forward pass, and whatever `take` fails with.
pub fn for_each_output<N: Borrow<Network>, E: From<InferenceError>>(
    predictor: &NetworkPredictor<N>,
    images: &ImageSet,
    mut take: impl FnMut(Range<usize>, &Tensor) -> Result<(), E>,
) -> Result<(), E> {
    let outputs = |range: Range<usize>| -> Result<Tensor, InferenceError> {
        let batch = plain_batch(images, range, predictor.preprocessing(), predictor.device())?;
        let outputs = predictor.network().forward(&batch, Mode::Evaluate)?;
        Ok(outputs.detach().to_device(&Device::Cpu)?)
    };
    for start in (0..images.len()).step_by(BATCH) {
        let range = start..(start + BATCH).min(images.len());
        take(range.clone(), &outputs(range)?)?;
    }
    Ok(())
}

/// Localization maps of a set, as [`Predictor::localization_maps`].
///
/// # Shapes
/// - result: `[images, size, size]`, f32 in [0, 1], on the CPU, in the order of the set
///
/// # Errors
/// [`InferenceError::NotFinite`] for a map with a value that is not finite: a broken network must not pass for one that
/// found no lesion.
pub fn localization_maps(predictor: &dyn Predictor, images: &ImageSet) -> Result<Tensor, InferenceError> {
    let maps = in_batches(images, |_, x| predictor.localization_maps(x))?;
    check_finite("localization map", &maps, images)?;
    Ok(maps.squeeze(1)?)
}

/// Class logits over a set; `None` if the predictor does not tell classes apart.
///
/// # Shapes
/// - result: `[images, classes]`, f32, on the CPU, in the order of the set
///
/// # Errors
/// [`InferenceError::NotFinite`] for logits that are not finite.
pub fn class_logits(predictor: &dyn Predictor, images: &ImageSet) -> Result<Option<Tensor>, InferenceError> {
    if predictor.classes().is_empty() {
        return Ok(None);
    }
    let logits = in_batches(images, |_, x| {
        predictor.class_logits(x)?.ok_or(InferenceError::NoClasses)
    })?;
    check_finite("class logits", &logits, images)?;
    Ok(Some(logits))
}

/// The localization map of one photograph, at its size.
///
/// # Shapes
/// - result: `[height * width]`, row by row, f32 in [0, 1]
///
/// # Errors
/// As [`localization_maps`]; `name` stands for the photograph in the message.
pub fn map_of(predictor: &dyn Predictor, name: &str, rgb: &RgbImage) -> Result<Vec<f32>, InferenceError> {
    let map = predictor.localization_maps(&picture(rgb)?)?;
    let map: Vec<f32> = map.flatten_all()?.to_vec1()?;
    match map.iter().find(|value| !value.is_finite()) {
        Some(&found) => Err(InferenceError::NotFinite {
            image_id: name.to_owned(),
            what: "localization map",
            found,
        }),
        None => Ok(map),
    }
}

/// Refuses values that are not finite, with the image that has them.
///
/// # Shapes
/// - `values`: `[images, ...]`
fn check_finite(what: &'static str, values: &Tensor, images: &ImageSet) -> Result<(), InferenceError> {
    for image in 0..images.len() {
        let of_image: Vec<f32> = values.get(image)?.flatten_all()?.to_vec1()?;
        if let Some(&found) = of_image.iter().find(|value| !value.is_finite()) {
            return Err(not_finite(what, images, image, found));
        }
    }
    Ok(())
}

pub(crate) fn not_finite(what: &'static str, images: &ImageSet, image: usize, found: f32) -> InferenceError {
    InferenceError::NotFinite {
        image_id: images.ids().get(image).copied().unwrap_or_default().to_owned(),
        what,
        found,
    }
}
