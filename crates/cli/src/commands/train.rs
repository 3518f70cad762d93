use std::path::PathBuf;

use candle_core::Device;
use clap::Args;
use htl_trainers::{TrainConfig, names};

use crate::progress::Progress;

/// `htl train`.
#[derive(Args)]
pub struct Train {
    /// The configuration, TOML
    #[arg(long)]
    config: PathBuf,
    /// Overrides a key of the configuration, e.g. --set seed=1 --set boxes.targets=ellipse
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The folder for checkpoint, state and history; an unfinished training there is resumed
    #[arg(long)]
    out: PathBuf,
}

impl Train {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        let config = TrainConfig::read(&self.config, &self.set)?.check()?;
        let mut progress = Progress::new("train");
        let rows = htl_trainers::train(&config, device, &self.out, &mut |done, all| progress.set(done, all))?;
        if let Some(quality) = rows.last().and_then(|row| row.val_quality) {
            eprintln!(
                "validation quality {quality:.4}, checkpoint {}",
                self.out.join(names::CHECKPOINT).display()
            );
        }
        Ok(())
    }
}
