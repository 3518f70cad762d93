//! Localizers and classifiers on candle, and their checkpoints.
//!
//! An [`Architecture`] says what to build: an encoder, a decoder and a head of the registries [`ENCODERS`], [`DECODERS`] and
//! [`HEADS`]. A [`Network`] is that with weights, its [`Parameters`] are sorted lists of (name, [`Var`](candle_core::Var)) for
//! optimisers, averages and masks, its [`graph`] is what it computes as data, and a [`Checkpoint`] is the file in between.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use htl_models::{Architecture, Mode, Network, Part};
//!
//! let encoder = Part::new("efficientnet-lite0");
//! let architecture = Architecture::localizer(encoder, Part::new("unet").with("width", 4))?;
//! let network = Network::build(&architecture, 7, &Device::Cpu)?;
//! let images = Tensor::zeros((2, 3, 50, 64), DType::F32, &Device::Cpu)?;
//! let logits = network.forward(&images, Mode::Evaluate)?;
//! assert_eq!(logits.dims(), [2, 1, 50, 64]);
//! # Ok::<(), htl_models::ModelError>(())
//! ```
//!
//! Parameter names are those of the PyTorch networks they match, and [`weights`] reads and writes files of theirs.
mod activation_maps;
mod architecture;
mod checkpoint;
mod decoders;
mod encoders;
mod error;
pub mod graph;
mod heads;
mod layers;
mod narrow;
mod network;
mod parameters;
mod preprocessing;
pub mod weights;

pub use activation_maps::ClassChoice;
pub use architecture::{Allowed, Architecture, Channels, Part, Setting, Settings};
pub use checkpoint::{CHECKPOINT_VERSION, Checkpoint, PruningRecord};
pub use decoders::{DECODERS, DecoderRow};
pub use encoders::{ENCODERS, EncoderRow, Normalisation};
pub use error::ModelError;
pub use heads::{HEADS, HeadInput, HeadRow};
pub use layers::{Conv, ConvNorm, ConvShape, GroupNorm, Linear, Mode, Padding};
pub use network::{Network, Outputs};
pub use parameters::{ParameterBuilder, Parameters};
pub use preprocessing::Preprocessing;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
