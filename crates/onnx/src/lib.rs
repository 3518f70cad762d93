//! Trained networks as ONNX files that prepare images themselves.
//!
//! [`export`] walks the [graph](htl_models::graph) of a network and writes each of its operations with those of ONNX: what
//! comes out is one file that ONNX Runtime, tract and others run, without this workspace.
//!
//! ```
//! use candle_core::Device;
//! use htl_models::{Architecture, Checkpoint, Network};
//! use htl_onnx::{ExportParams, PROBABILITY, export};
//!
//! let architecture = Architecture::unet(4)?;
//! let network = Network::build(&architecture, 7, &Device::Cpu)?;
//! let exported = export(&Checkpoint::new(architecture), &network, &ExportParams::default())?;
//! assert_eq!((exported.size, exported.outputs.as_slice()), (128, &[PROBABILITY][..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod error;
mod export;
mod metadata;
mod operations;
mod params;
mod proto;
mod weights;
mod writer;

pub use error::OnnxError;
pub use export::{CLASS_PROBABILITY, Exported, IMAGE, LOGITS, OPSET, PROBABILITY, export};
pub use params::ExportParams;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;
