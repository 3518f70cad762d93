use candle_core::{Device, Tensor};
use htl_vocabulary::LARGEST_SIDE;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// What is done to an image before a network sees it; stored in its checkpoint, so that it is never guessed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preprocessing {
    /// Side to which images are resized, in pixels; a multiple of 8 from 8 to [`LARGEST_SIDE`](htl_vocabulary::LARGEST_SIDE).
    /// Default: 128.
    pub size: usize,
    /// Mean per channel of images in [0, 1] that is subtracted. Default: ImageNet's.
    pub mean: Vec<f32>,
    /// Standard deviation per channel by which is divided then, above 0. Default: ImageNet's.
    pub std: Vec<f32>,
}

impl Default for Preprocessing {
    fn default() -> Self {
        Self {
            size: 128,
            mean: vec![0.485, 0.456, 0.406],
            std: vec![0.229, 0.224, 0.225],
        }
    }
}

impl Preprocessing {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first bad one.
    pub fn check(&self) -> Result<(), ModelError> {
        let error = |key: &'static str, expected: &'static str, found: String| {
            Err(ModelError::Config {
                key: key.into(),
                expected: expected.into(),
                found,
            })
        };
        if !(8..=LARGEST_SIDE).contains(&self.size) || !self.size.is_multiple_of(8) {
            return error("size", "a multiple of 8 from 8 to 2048", self.size.to_string());
        }
        if self.mean.is_empty() || self.mean.iter().any(|mean| !mean.is_finite()) {
            return error("mean", "one finite number per channel", format!("{:?}", self.mean));
        }
        if self.std.len() != self.mean.len() || self.std.iter().any(|std| !std.is_finite() || *std <= 0.0) {
            return error(
                "std",
                "one number above 0 for each of `mean`",
                format!("{:?}", self.std),
            );
        }
        Ok(())
    }

    /// `(image - mean) / std`, channel by channel.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]` in [0, 1], one channel per `mean`; result: the same shape and type
    ///
    /// # Errors
    /// [`ModelError::ImageShape`] if the number of channels differs.
    pub fn normalise(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        let channels = self.mean.len();
        if images.rank() != 4 || images.dims()[1] != channels {
            return Err(ModelError::ImageShape {
                expected: format!("[batch, {channels}, height, width]"),
                found: images.dims().to_vec(),
                hint: "the preprocessing has one mean per channel",
            });
        }
        let per_channel = |values: &[f32]| -> Result<Tensor, ModelError> {
            let column = Tensor::from_slice(values, (1, channels, 1, 1), &Device::Cpu)?;
            Ok(column.to_dtype(images.dtype())?.to_device(images.device())?)
        };
        Ok(images
            .broadcast_sub(&per_channel(&self.mean)?)?
            .broadcast_div(&per_channel(&self.std)?)?)
    }

    /// [`normalise`](Self::normalise) of one image in memory, without a tensor; up to rounding the same, since it multiplies
    /// by the reciprocal of the standard deviation.
    ///
    /// # Shapes
    /// - `image`, `out`: `[channels * height * width]`, one plane after the other; one channel per `mean`
    pub fn normalise_planes(&self, image: &[f32], out: &mut [f32]) {
        let plane = (image.len() / self.mean.len().max(1)).max(1);
        let planes = image.chunks_exact(plane).zip(out.chunks_exact_mut(plane));
        for (((values, out), mean), std) in planes.zip(&self.mean).zip(&self.std) {
            let scale = 1.0 / std;
            for (out, value) in out.iter_mut().zip(values) {
                *out = (value - mean) * scale;
            }
        }
    }
}
