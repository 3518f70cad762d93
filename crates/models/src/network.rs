use std::fmt;

use candle_core::{DType, Device, ModuleT, Tensor};
use htl_ops::Precision;
use serde::{Deserialize, Serialize};

use crate::classifier::{Classifier, ClassifierConfig};
use crate::error::ModelError;
use crate::layers::Mode;
use crate::parameters::{ParameterBuilder, Parameters, Shapes};
use crate::unet::{UNet, UNetConfig};

/// What network to build. In JSON or TOML `kind` names it and its sizes stand beside:
/// `{"kind": "unet", "width": 16}`, `{"kind": "unet-encoder-classifier", "width": 16, "classes": 3}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
#[non_exhaustive]
pub enum Architecture {
    /// The reference U-Net, a localizer.
    #[serde(rename = "unet")]
    UNet(UNetConfig),
    /// Its encoder with global average pooling and a linear layer.
    #[serde(rename = "unet-encoder-classifier")]
    UNetEncoderClassifier(ClassifierConfig),
}

impl Architecture {
    /// The name in `kind`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UNet(_) => "unet",
            Self::UNetEncoderClassifier(_) => "unet-encoder-classifier",
        }
    }

    /// Checks the sizes.
    ///
    /// # Errors
    /// [`ModelError::Config`] naming the first bad one.
    pub fn check(&self) -> Result<(), ModelError> {
        match self {
            Self::UNet(config) => config.check(),
            Self::UNetEncoderClassifier(config) => config.check(),
        }
    }

    /// Shapes of a network's variables by name, without building it: what a file claims to hold may be larger than memory.
    pub(crate) fn shapes(&self) -> Result<Shapes, ModelError> {
        let mut builder = ParameterBuilder::of_shapes();
        match self {
            Self::UNet(config) => drop(UNet::layers(config, &mut builder)?),
            Self::UNetEncoderClassifier(config) => drop(Classifier::layers(config, &mut builder)?),
        }
        Ok(builder.into_shapes())
    }

    /// Channels of the images that the network takes.
    #[must_use]
    pub fn in_channels(&self) -> usize {
        match self {
            Self::UNet(config) => config.in_channels,
            Self::UNetEncoderClassifier(config) => config.in_channels,
        }
    }

    /// How many classes it tells apart; `None` for a localizer.
    #[must_use]
    pub fn classes(&self) -> Option<usize> {
        match self {
            Self::UNet(_) => None,
            Self::UNetEncoderClassifier(config) => Some(config.classes),
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UNet(config) => write!(f, "{} of width {}", self.kind(), config.width),
            Self::UNetEncoderClassifier(config) => {
                write!(
                    f,
                    "{} of width {} with {} classes",
                    self.kind(),
                    config.width,
                    config.classes
                )
            }
        }
    }
}

/// A network of any architecture, with its weights.
#[derive(Debug)]
#[non_exhaustive]
pub enum Network {
    /// See [`UNet`].
    UNet(UNet),
    /// See [`Classifier`].
    Classifier(Classifier),
}

impl Network {
    /// A 32-bit network with initial weights from the seed: the same seed gives the same bits.
    ///
    /// # Errors
    /// [`ModelError::Config`] if the architecture makes no sense.
    pub fn build(architecture: &Architecture, seed: u64, device: &Device) -> Result<Self, ModelError> {
        Self::build_with_dtype(architecture, seed, DType::F32, device)
    }

    /// [`build`](Self::build) with f32 or f64 weights; the f32 weights are the rounded f64 ones.
    ///
    /// # Errors
    /// [`ModelError::Config`] if the architecture or the type makes no sense.
    pub fn build_with_dtype(
        architecture: &Architecture,
        seed: u64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        Ok(match architecture {
            Architecture::UNet(config) => Self::UNet(UNet::new(config, seed, dtype, device)?),
            Architecture::UNetEncoderClassifier(config) => {
                Self::Classifier(Classifier::new(config, seed, dtype, device)?)
            }
        })
    }

    /// What it was built from.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        match self {
            Self::UNet(unet) => Architecture::UNet(unet.config().clone()),
            Self::Classifier(classifier) => Architecture::UNetEncoderClassifier(classifier.config().clone()),
        }
    }

    /// Chooses the numbers that its features are kept and convolved in: part of neither architecture nor checkpoint. A new
    /// network's are [`Precision::F32`]; the others need a CUDA device, or the forward pass is an error.
    pub fn set_precision(&mut self, precision: Precision) {
        match self {
            Self::UNet(unet) => unet.set_precision(precision),
            Self::Classifier(classifier) => classifier.set_precision(precision),
        }
    }

    /// What [`set_precision`](Self::set_precision) chose.
    #[must_use]
    pub fn precision(&self) -> Precision {
        match self {
            Self::UNet(unet) => unet.precision(),
            Self::Classifier(classifier) => classifier.precision(),
        }
    }

    /// Its variables.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        match self {
            Self::UNet(unet) => unet.parameters(),
            Self::Classifier(classifier) => classifier.parameters(),
        }
    }

    /// One logit per pixel from a localizer, `[batch, 1, height, width]`; one per class from a classifier,
    /// `[batch, classes]`.
    ///
    /// # Shapes
    /// - `images`: `[batch, in_channels, height, width]`, normalised, height and width divisible by 8
    ///
    /// # Errors
    /// [`ModelError::ImageShape`] for other shapes.
    pub fn forward(&self, images: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        match self {
            Self::UNet(unet) => unet.forward(images, mode),
            Self::Classifier(classifier) => classifier.forward(images, mode),
        }
    }

    /// The encoder's output averaged over positions: images that are alike to the network have features that are near each
    /// other. Gradients are not tracked.
    ///
    /// # Shapes
    /// - `images`: as in [`forward`](Self::forward)
    /// - result: `[batch, 8w]`, w being the network's width
    ///
    /// # Errors
    /// [`ModelError::ImageShape`] for other shapes.
    pub fn deep_features(&self, images: &Tensor) -> Result<Tensor, ModelError> {
        let encoder = match self {
            Self::UNet(unet) => unet.encoder(),
            Self::Classifier(classifier) => classifier.encoder(),
        };
        let (features, _) = encoder.forward(images, Mode::Evaluate)?;
        Ok(htl_ops::global_avg_pool2d(&features.into_tensor()?)?.detach())
    }

    /// A copy with variables of its own and the same precision, for a teacher or a pruned competitor: training one leaves
    /// the other alone.
    ///
    /// # Errors
    /// Those of candle.
    pub fn duplicate(&self) -> Result<Self, ModelError> {
        let (dtype, device) = match self.parameters().trainable().first() {
            Some((_, var)) => (var.dtype(), var.device().clone()),
            None => (DType::F32, Device::Cpu),
        };
        let mut copy = Self::build_with_dtype(&self.architecture(), 0, dtype, &device)?;
        copy.set_precision(self.precision());
        copy.copy_from(self)?;
        Ok(copy)
    }

    /// Takes over the weights and running statistics of another network of the same architecture.
    ///
    /// # Errors
    /// [`ModelError::OtherNetwork`] if the architectures differ; then nothing has been changed.
    pub fn copy_from(&self, other: &Self) -> Result<(), ModelError> {
        let (mine, theirs) = (self.architecture(), other.architecture());
        if mine != theirs {
            return Err(ModelError::OtherNetwork {
                problem: format!("they are of a {theirs}, expected a {mine}"),
            });
        }
        self.parameters().copy_from(other.parameters())
    }

    /// The localizer.
    ///
    /// # Errors
    /// [`ModelError::Kind`] if it is a classifier.
    pub fn as_unet(&self) -> Result<&UNet, ModelError> {
        match self {
            Self::UNet(unet) => Ok(unet),
            Self::Classifier(_) => Err(ModelError::Kind {
                expected: "localizer (unet)",
                found: "classifier",
            }),
        }
    }

    /// The classifier.
    ///
    /// # Errors
    /// [`ModelError::Kind`] if it is a localizer.
    pub fn as_classifier(&self) -> Result<&Classifier, ModelError> {
        match self {
            Self::Classifier(classifier) => Ok(classifier),
            Self::UNet(_) => Err(ModelError::Kind {
                expected: "classifier (unet-encoder-classifier)",
                found: "localizer",
            }),
        }
    }
}

impl ModuleT for Network {
    fn forward_t(&self, images: &Tensor, train: bool) -> candle_core::Result<Tensor> {
        self.forward(images, Mode::from_train(train)).map_err(Into::into)
    }
}
