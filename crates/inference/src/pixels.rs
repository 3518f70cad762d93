//! Images as predictors take them: bytes as stored, `[batch, 3, height, width]`, on the CPU; and what networks see of them.

use std::ops::Range;

use candle_core::{DType, Device, Tensor};
use htl_datasets::{ImageSet, RgbImage, resize_rgb};
use htl_metrics::resize_bilinear;
use htl_models::Preprocessing;
use rayon::prelude::*;

use crate::InferenceError;

/// Channels of a photograph.
const CHANNELS: usize = 3;

/// Values of a byte.
const VALUES: usize = 256;

/// A photograph as a predictor takes it.
///
/// # Shapes
/// - result: `[1, 3, height, width]`, u8, on the CPU
///
/// # Errors
/// Those of candle.
pub fn picture(rgb: &RgbImage) -> Result<Tensor, InferenceError> {
    let shape = (1, CHANNELS, rgb.height() as usize, rgb.width() as usize);
    Ok(Tensor::from_vec(planar(rgb), shape, &Device::Cpu)?)
}

/// Images of a set as a predictor takes them, `[range, 3, size, size]`.
pub(crate) fn bytes_of(images: &ImageSet, range: Range<usize>) -> Result<Tensor, InferenceError> {
    let shape = (range.len(), CHANNELS, images.size(), images.size());
    let bytes: Vec<u8> = range.flat_map(|index| images.image_bytes(index)).copied().collect();
    Ok(Tensor::from_vec(bytes, shape, &Device::Cpu)?)
}

/// What a network sees of images of its size: normalised, f32, on its device.
pub(crate) fn normalised(
    images: &Tensor,
    preprocessing: &Preprocessing,
    device: &Device,
) -> Result<Tensor, InferenceError> {
    let shape = shape(images)?;
    // Every value of a byte is normalised once for each channel.
    let values: Vec<f32> = (0..CHANNELS)
        .flat_map(|_| 0..=u8::MAX)
        .map(|value| f32::from(value) / 255.)
        .collect();
    let mut table = vec![0f32; values.len()];
    preprocessing.normalise_planes(&values, &mut table);
    let bytes = bytes(images)?;
    let plane = (shape[2] * shape[3]).max(1);
    let mut pixels = vec![0f32; bytes.len()];
    let planes = pixels.par_chunks_mut(plane).zip(bytes.par_chunks(plane)).enumerate();
    planes.for_each(|(at, (pixels, bytes))| {
        let table = &table[at % CHANNELS * VALUES..][..VALUES];
        for (pixel, byte) in pixels.iter_mut().zip(bytes) {
            *pixel = table[usize::from(*byte)];
        }
    });
    Ok(Tensor::from_vec(pixels, shape.to_vec(), device)?)
}

/// Maps of images by somebody who sees squares of `side` pixels, at the size of the images: these are resized as an [`ImageSet`]
/// does, the maps bilinearly. Images of that size, and all images where there is no side, are seen as they are.
///
/// # Shapes
/// - `images`: `[batch, 3, height, width]`; result: `[batch, 1, height, width]`
pub(crate) fn at_side(
    images: &Tensor,
    side: Option<usize>,
    maps: impl FnOnce(&Tensor) -> Result<Tensor, InferenceError>,
) -> Result<Tensor, InferenceError> {
    let [batch, _, height, width] = shape(images)?;
    match side {
        Some(side) if (height, width) != (side, side) => {
            let maps = maps(&squares(images, side)?)?;
            let maps: Vec<f32> = maps.to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
            let resized = maps
                .par_chunks(side * side)
                .map(|map| resize_bilinear(map, (side, side), (height, width)));
            let resized: Vec<Vec<f32>> = resized.collect::<Result<_, _>>()?;
            Ok(Tensor::from_vec(
                resized.concat(),
                (batch, 1, height, width),
                &Device::Cpu,
            )?)
        }
        _ => maps(images),
    }
}

/// Images resized to squares as an [`ImageSet`] does.
pub(crate) fn squares(images: &Tensor, side: usize) -> Result<Tensor, InferenceError> {
    let [batch, channels, height, width] = shape(images)?;
    if (height, width) == (side, side) {
        return Ok(images.clone());
    }
    let long = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    let plane = height * width;
    let bytes = bytes(images)?;
    let resized = bytes.par_chunks((channels * plane).max(1)).map(|image| {
        let interleaved = (0..plane).flat_map(|at| (0..channels).map(move |channel| image[channel * plane + at]));
        let rgb = RgbImage::from_raw(long(width), long(height), interleaved.collect());
        rgb.map(|rgb| planar(&resize_rgb(&rgb, long(side), long(side))))
    });
    let resized: Option<Vec<Vec<u8>>> = resized.collect();
    let resized = resized.ok_or_else(|| not_images(images))?;
    Ok(Tensor::from_vec(
        resized.concat(),
        (batch, channels, side, side),
        &Device::Cpu,
    )?)
}

/// Batch, channels, height and width of images that a predictor takes.
///
/// # Errors
/// [`InferenceError::NotImages`] for anything else.
pub(crate) fn shape(images: &Tensor) -> Result<[usize; 4], InferenceError> {
    match *images.dims() {
        [batch, CHANNELS, height, width]
            if batch * height * width > 0 && images.dtype() == DType::U8 && images.device().is_cpu() =>
        {
            Ok([batch, CHANNELS, height, width])
        }
        _ => Err(not_images(images)),
    }
}

fn not_images(images: &Tensor) -> InferenceError {
    InferenceError::NotImages {
        shape: images.dims().to_vec(),
        dtype: images.dtype().as_str(),
    }
}

fn bytes(images: &Tensor) -> Result<Vec<u8>, InferenceError> {
    Ok(images.flatten_all()?.to_vec1()?)
}

/// Red plane, green plane, blue plane.
fn planar(rgb: &RgbImage) -> Vec<u8> {
    let plane = rgb.as_raw().len() / CHANNELS;
    let mut bytes = vec![0; CHANNELS * plane];
    for (at, pixel) in rgb.pixels().enumerate() {
        for (channel, value) in pixel.0.into_iter().enumerate() {
            bytes[channel * plane + at] = value;
        }
    }
    bytes
}
