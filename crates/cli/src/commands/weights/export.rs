use std::path::PathBuf;

use candle_core::Device;
use clap::{Args, ValueEnum};
use htl_models::Checkpoint;
use htl_models::weights::{self, Naming};

use super::super::print;

/// `htl weights export`.
#[derive(Args)]
#[command(after_help = "In Python: model.load_state_dict(safetensors.torch.load_file(\"FILE.safetensors\"))")]
pub struct Export {
    /// The checkpoint
    #[arg(long)]
    checkpoint: PathBuf,
    /// Whose names tensors get
    #[arg(long)]
    naming: NamingChoice,
    /// The result, safetensors
    #[arg(long)]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum NamingChoice {
    /// Those of this program, which are PyTorch's of its own networks
    Htl,
    /// Those of segmentation_models_pytorch
    Smp,
}

impl Export {
    pub fn run(self) -> anyhow::Result<()> {
        let (checkpoint, network) = Checkpoint::load(&self.checkpoint, &Device::Cpu)?;
        let naming = match self.naming {
            NamingChoice::Htl => Naming::Htl,
            NamingChoice::Smp => Naming::Smp,
        };
        let state = network.state_dict(naming)?;
        weights::write(&self.out, &state)?;
        let architecture = &checkpoint.architecture;
        print(&format!(
            "{} tensors of {architecture} in {}",
            state.len(),
            self.out.display()
        ))
    }
}
