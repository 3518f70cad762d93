mod export;

use clap::Subcommand;

/// `htl models`.
#[derive(Subcommand)]
pub enum Models {
    /// Write a trained network as one ONNX file, for Python and other programs
    Export(export::Export),
}

impl Models {
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Export(command) => command.run(),
        }
    }
}
