use candle_core::{DType, Device, ModuleT, Tensor};
use htl_ops::Precision;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::layers::{Block, Encoder, HALVINGS, Mode, Pointwise, builder};
use crate::parameters::{ParameterBuilder, Parameters};

/// Size of the reference U-Net.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UNetConfig {
    /// Channels of the first block, in 1..=1024; the deepest has eight times as many. Default: 16.
    pub width: usize,
    /// Channels of the images, in 1..=1024. Default: 3 (RGB).
    pub in_channels: usize,
}

impl Default for UNetConfig {
    fn default() -> Self {
        Self {
            width: 16,
            in_channels: 3,
        }
    }
}

impl UNetConfig {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first bad one.
    pub fn check(&self) -> Result<(), ModelError> {
        check_size("width", self.width)?;
        check_size("in_channels", self.in_channels)
    }
}

pub(crate) fn check_size(key: &'static str, found: usize) -> Result<(), ModelError> {
    if (1..=1024).contains(&found) {
        return Ok(());
    }
    Err(ModelError::Config {
        key,
        expected: "in 1..=1024",
        found: found.to_string(),
    })
}

/// The reference U-Net, a localizer: images to one logit per pixel.
///
/// Of width `w`: encoder blocks of `w`, `2w`, `4w`, `8w` channels with 2x2 max pooling between them; decoder blocks of
/// `4w`, `2w`, `w` channels on the concatenation of the nearest-neighbour upsampled features and those of the encoder;
/// a 1x1 convolution as head. A block is two times (3x3 convolution without bias, batch normalisation, ReLU). After
/// Ronneberger et al. 2015.
///
/// Names, initial distribution and results equal those of the PyTorch network in `tests/golden/make.py`.
#[derive(Debug)]
pub struct UNet {
    config: UNetConfig,
    encoder: Encoder,
    decoder: Vec<Block>,
    head: Pointwise,
    parameters: Parameters,
}

impl UNet {
    /// A network with initial weights from the seed.
    ///
    /// # Errors
    /// [`ModelError::Config`] if a size or `dtype` (f32 or f64) makes no sense.
    pub fn new(config: &UNetConfig, seed: u64, dtype: DType, device: &Device) -> Result<Self, ModelError> {
        config.check()?;
        let mut builder = builder(seed, dtype, device)?;
        let (encoder, decoder, head) = Self::layers(config, &mut builder)?;
        Ok(Self {
            config: config.clone(),
            encoder,
            decoder,
            head,
            parameters: builder.finish(),
        })
    }

    /// Its layers, with variables of the builder's.
    pub(crate) fn layers(
        config: &UNetConfig,
        builder: &mut ParameterBuilder,
    ) -> Result<(Encoder, Vec<Block>, Pointwise), ModelError> {
        let width = config.width;
        let encoder = Encoder::new(builder, config.in_channels, width)?;
        let mut decoder = Vec::new();
        for (index, level) in (0..HALVINGS).rev().enumerate() {
            let outputs = width << level;
            decoder.push(Block::new(builder, &format!("decoder.{index}"), 3 * outputs, outputs)?);
        }
        let head = Pointwise::new(builder, "head", width, 1)?;
        Ok((encoder, decoder, head))
    }

    /// Chooses the numbers that its features are kept and convolved in; a new network's are [`Precision::F32`].
    pub fn set_precision(&mut self, precision: Precision) {
        self.encoder.precision = precision;
    }

    /// What [`set_precision`](Self::set_precision) chose.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.encoder.precision
    }

    /// The sizes it was built with.
    #[must_use]
    pub fn config(&self) -> &UNetConfig {
        &self.config
    }

    pub(crate) fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// Its variables.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Logits of the lesion, one per pixel; a probability is their sigmoid.
    ///
    /// # Shapes
    /// - `images`: `[batch, in_channels, height, width]`, normalised, height and width divisible by 8
    /// - result: `[batch, 1, height, width]`
    ///
    /// # Errors
    /// [`ModelError::ImageShape`] for other shapes.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        let (mut features, skips) = self.encoder.forward(images, mode)?;
        for (block, skip) in self.decoder.iter().zip(skips.iter().rev()) {
            features = block.forward_joined(&features, skip, mode)?;
        }
        self.head.forward(&features, mode)
    }
}

impl ModuleT for UNet {
    fn forward_t(&self, images: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        self.forward(images, Mode::from_train(train)).map_err(Into::into)
    }
}
