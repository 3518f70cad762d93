use std::path::PathBuf;

use anyhow::ensure;
use candle_core::Device;
use clap::Args;
use htl_models::Checkpoint;
use htl_onnx::{ExportParams, IMAGE, export};

use crate::commands::print;

/// `htl models export`.
#[derive(Args)]
#[command(
    after_help = "The file takes images [batch, 3, N, N], RGB in [0, 1], normalises them itself, and gives `probability` \
                  [batch, 1, N, N], or `logits` and `class_probability` [batch, classes] of a classifier. Size, threshold, \
                  classes and architecture stand in its metadata. crates/onnx/README.md has the lines of Python that use it."
)]
pub struct Export {
    /// The network
    #[arg(long)]
    checkpoint: PathBuf,
    /// The ONNX file to write
    #[arg(long, value_name = "FILE")]
    onnx: PathBuf,
    /// Note for whoever makes masks: the lesion is where the probability is above this, between 0 and 1 [default: 0.5]
    #[arg(long)]
    threshold: Option<f32>,
    /// Height and width of the images that the file takes, in pixels [default: those that the network was trained at]
    #[arg(long, value_name = "N")]
    size: Option<usize>,
}

impl Export {
    pub fn run(self) -> anyhow::Result<()> {
        let (checkpoint, network) = Checkpoint::load(&self.checkpoint, &Device::Cpu)?;
        let same = |path: &PathBuf| path.canonicalize().ok();
        ensure!(
            same(&self.onnx).is_none() || same(&self.onnx) != same(&self.checkpoint),
            "{} is the checkpoint itself: choose another --onnx",
            self.onnx.display()
        );
        let params = ExportParams {
            threshold: self.threshold,
            size: self.size,
        };
        let exported = export(&checkpoint, &network, &params)?;
        exported.write(&self.onnx)?;
        print(&format!(
            "{} in {}: {IMAGE} [batch, {}, {size}, {size}] to {}",
            checkpoint.architecture,
            self.onnx.display(),
            checkpoint.architecture.in_channels(),
            exported.outputs.join(", "),
            size = exported.size,
        ))
    }
}
