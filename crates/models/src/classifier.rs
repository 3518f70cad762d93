use candle_core::{D, DType, Device, ModuleT, Tensor};
use htl_ops::{Conv2dParams, Corners, Precision};
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::layers::{Encoder, Linear, Mode, builder};
use crate::parameters::{ParameterBuilder, Parameters};
use crate::unet::check_size;

/// Size of the classifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassifierConfig {
    /// Channels of the first block, in 1..=1024; the deepest has eight times as many. Default: 16.
    pub width: usize,
    /// Channels of the images, in 1..=1024. Default: 3 (RGB).
    pub in_channels: usize,
    /// How many classes, in 2..=1024. Default: 2.
    pub classes: usize,
}

impl Default for ClassifierConfig {
    fn default() -> Self {
        Self {
            width: 16,
            in_channels: 3,
            classes: 2,
        }
    }
}

impl ClassifierConfig {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first bad one.
    pub fn check(&self) -> Result<(), ModelError> {
        check_size("width", self.width)?;
        check_size("in_channels", self.in_channels)?;
        if (2..=1024).contains(&self.classes) {
            return Ok(());
        }
        Err(ModelError::Config {
            key: "classes",
            expected: "in 2..=1024",
            found: self.classes.to_string(),
        })
    }
}

/// Which class a localization map is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassChoice<'a> {
    /// The class of the largest logit, image by image; the smaller one of equals.
    Predicted,
    /// The same class for all images.
    Class(usize),
    /// A class for each image.
    PerImage(&'a [usize]),
}

/// The encoder of the reference U-Net with global average pooling and a linear layer: a classifier whose class activation
/// maps localize. Names are `encoder.*` as in [`UNet`](crate::UNet), and `head.weight`, `head.bias`.
#[derive(Debug)]
pub struct Classifier {
    config: ClassifierConfig,
    encoder: Encoder,
    head: Linear,
    parameters: Parameters,
}

impl Classifier {
    /// A network with initial weights from the seed; those of the encoder equal the ones a [`UNet`](crate::UNet) of the
    /// same seed and width begins with.
    ///
    /// # Errors
    /// [`ModelError::Config`] if a size or `dtype` (f32 or f64) makes no sense.
    pub fn new(config: &ClassifierConfig, seed: u64, dtype: DType, device: &Device) -> Result<Self, ModelError> {
        config.check()?;
        let mut builder = builder(seed, dtype, device)?;
        let (encoder, head) = Self::layers(config, &mut builder)?;
        Ok(Self {
            config: config.clone(),
            encoder,
            head,
            parameters: builder.finish(),
        })
    }

    /// Its layers, with variables of the builder's.
    pub(crate) fn layers(
        config: &ClassifierConfig,
        builder: &mut ParameterBuilder,
    ) -> Result<(Encoder, Linear), ModelError> {
        let encoder = Encoder::new(builder, config.in_channels, config.width)?;
        let head = Linear::new(builder, "head", 8 * config.width, config.classes)?;
        Ok((encoder, head))
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
    pub fn config(&self) -> &ClassifierConfig {
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

    /// Logits of the classes; probabilities are their softmax.
    ///
    /// # Shapes
    /// - `images`: `[batch, in_channels, height, width]`, normalised, height and width divisible by 8
    /// - result: `[batch, classes]`
    ///
    /// # Errors
    /// [`ModelError::ImageShape`] for other shapes.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        Ok(self.features_and_logits(images, mode)?.1)
    }

    /// The encoder's output and the logits of one pass.
    ///
    /// # Shapes
    /// - `images`: as in [`forward`](Self::forward)
    /// - result: `[batch, 8w, height / 8, width / 8]` and `[batch, classes]`
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn features_and_logits(&self, images: &Tensor, mode: Mode) -> Result<(Tensor, Tensor), ModelError> {
        let (features, _) = self.encoder.forward(images, mode)?;
        let features = features.into_tensor()?;
        let logits = self.head.forward(&htl_ops::global_avg_pool2d(&features)?, mode)?;
        Ok((features, logits))
    }

    /// Class activation maps (Zhou et al. 2016): the linear layer's weights applied at every position of the features.
    /// Their mean over positions plus the bias is the logit. Gradients are not tracked.
    ///
    /// # Shapes
    /// - `images`: as in [`forward`](Self::forward)
    /// - result: `[batch, classes, height / 8, width / 8]`, any real numbers
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn class_activation_maps(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        Ok(self.maps_and_logits(images)?.0)
    }

    /// The class activation map of one class per image as a localizer's output: resized bilinearly to the images' size, then
    /// scaled image by image so that its minimum is 0 and its maximum 1, as the WSOL evaluation does. A map that is the
    /// same everywhere becomes 0: it localizes nothing.
    ///
    /// # Shapes
    /// - `images`: as in [`forward`](Self::forward)
    /// - result: `[batch, 1, height, width]`, in [0, 1]
    ///
    /// # Errors
    /// As [`forward`](Self::forward); [`ModelError::NoSuchClass`] if a class does not exist, [`ModelError::ClassCount`]
    /// if their number is not the batch's.
    pub fn localization_map(&self, images: &Tensor, choice: ClassChoice<'_>) -> Result<Tensor, ModelError> {
        let (maps, logits) = self.maps_and_logits(images)?;
        let (batch, classes, height, width) = maps.dims4()?;
        let chosen = choose(choice, &logits)?;
        // Row `image * classes + class` of the maps of all images and classes one below the other.
        let rows: Vec<u32> = chosen
            .iter()
            .enumerate()
            .map(|(image, class)| (image * classes + class) as u32)
            .collect();
        let rows = Tensor::from_vec(rows, batch, maps.device())?;
        let maps = maps
            .reshape((batch * classes, 1, height, width))?
            .index_select(&rows, 0)?;
        let (_, _, height, width) = images.dims4()?;
        let maps = htl_ops::upsample_bilinear2d(&maps, (height, width), Corners::HalfPixel)?.flatten_from(1)?;
        let lowest = maps.min_keepdim(1)?;
        let range = (maps.max_keepdim(1)? - &lowest)?;
        // Where the range is 0 so are the differences, and 0 / 1 is the 0 that is promised.
        let range = range.eq(0.0)?.where_cond(&range.ones_like()?, &range)?;
        let scaled = maps.broadcast_sub(&lowest)?.broadcast_div(&range)?;
        Ok(scaled.reshape((batch, 1, height, width))?)
    }

    fn maps_and_logits(&self, images: &Tensor) -> Result<(Tensor, Tensor), ModelError> {
        let (features, logits) = self.features_and_logits(images, Mode::Evaluate)?;
        let weight = self
            .head
            .weight()
            .as_detached_tensor()
            .unsqueeze(D::Minus1)?
            .unsqueeze(D::Minus1)?;
        Ok((
            htl_ops::conv2d(&features, &weight, None, Conv2dParams::default())?,
            logits,
        ))
    }
}

/// A class for each image, checked.
fn choose(choice: ClassChoice<'_>, logits: &Tensor) -> Result<Vec<usize>, ModelError> {
    let (images, classes) = logits.dims2()?;
    let chosen = match choice {
        ClassChoice::Predicted => {
            let rows = logits.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
            rows.iter().map(|row| largest(row)).collect()
        }
        ClassChoice::Class(class) => vec![class; images],
        ClassChoice::PerImage(chosen) => chosen.to_vec(),
    };
    if chosen.len() != images {
        return Err(ModelError::ClassCount {
            images,
            found: chosen.len(),
        });
    }
    match chosen.iter().position(|class| *class >= classes) {
        Some(image) => Err(ModelError::NoSuchClass {
            image,
            found: chosen[image],
            classes,
        }),
        None => Ok(chosen),
    }
}

fn largest(row: &[f64]) -> usize {
    let better = |best: usize, (class, logit): (usize, &f64)| if *logit > row[best] { class } else { best };
    row.iter().enumerate().fold(0, better)
}

impl ModuleT for Classifier {
    fn forward_t(&self, images: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        self.forward(images, Mode::from_train(train)).map_err(Into::into)
    }
}
