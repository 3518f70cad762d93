//! Localizers and classifiers on candle, and their checkpoints.
//!
//! An [`Architecture`] says what to build, a [`Network`] is that with weights, its [`Parameters`] are sorted lists of
//! (name, [`Var`](candle_core::Var)) for optimisers, averages and masks, and a [`Checkpoint`] is the file in between.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use htl_models::{Architecture, Mode, Network, UNetConfig};
//!
//! let architecture = Architecture::UNet(UNetConfig { width: 4, ..UNetConfig::default() });
//! let network = Network::build(&architecture, 7, &Device::Cpu)?;
//! let images = Tensor::zeros((2, 3, 32, 32), DType::F32, &Device::Cpu)?;
//! let logits = network.forward(&images, Mode::Evaluate)?;
//! assert_eq!(logits.dims(), [2, 1, 32, 32]);
//! # Ok::<(), htl_models::ModelError>(())
//! ```
//!
//! Parameter names are those of the PyTorch networks they match, so weights move both ways as safetensors.
mod checkpoint;
mod classifier;
mod error;
mod layers;
mod network;
mod parameters;
mod preprocessing;
mod unet;

pub use checkpoint::{CHECKPOINT_VERSION, Checkpoint, PruningRecord};
pub use classifier::{ClassChoice, Classifier, ClassifierConfig};
pub use error::ModelError;
pub use layers::{ConvNorm, ConvShape, Mode};
pub use network::{Architecture, Network};
pub use parameters::{ParameterBuilder, Parameters};
pub use preprocessing::Preprocessing;
pub use unet::{UNet, UNetConfig};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
