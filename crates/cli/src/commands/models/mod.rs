//! `htl models`: what networks can be made of, and networks for other programs.

mod export;
mod list;
mod measure;

use candle_core::Device;
use clap::Subcommand;

/// `htl models`.
#[derive(Subcommand)]
pub enum Models {
    /// Encoders, decoders and heads, and what networks of them cost
    List(list::List),
    /// Write a trained network as one ONNX file, for Python and other programs
    Export(export::Export),
}

impl Models {
    pub fn run(self, device: impl FnOnce() -> anyhow::Result<Device>) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(device),
            Self::Export(command) => command.run(),
        }
    }
}
