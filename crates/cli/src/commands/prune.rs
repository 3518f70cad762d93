use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::Device;
use clap::Args;
use htl_models::{Checkpoint, Network, PruningRecord};
use htl_pruning::{Criterion, PruneParams, WeightSet};

use super::choices;

/// `htl prune`.
#[derive(Args)]
pub struct Prune {
    /// The dense checkpoint
    #[arg(long)]
    checkpoint: PathBuf,
    /// Which weights go first
    #[arg(long, default_value = Criterion::GLOBAL_MAGNITUDE.name, value_parser = choices::criterion())]
    method: &'static Criterion,
    /// Share of the prunable weights that become zero, in [0, 1)
    #[arg(long)]
    sparsity: f64,
    /// Seed of the random methods
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The sparse checkpoint
    #[arg(long)]
    out: PathBuf,
}

impl Prune {
    pub fn run(self) -> anyhow::Result<()> {
        let sparsity = prune_checkpoint(&self.checkpoint, self.method, self.sparsity, self.seed, &self.out)?;
        eprintln!("sparsity {sparsity:.4} in {}", self.out.display());
        Ok(())
    }
}

/// Prunes a checkpoint into another; gives the sparsity counted afterwards.
pub fn prune_checkpoint(
    checkpoint: &Path,
    criterion: &'static Criterion,
    sparsity: f64,
    seed: u64,
    out: &Path,
) -> anyhow::Result<f64> {
    let (meta, network): (Checkpoint, Network) = Checkpoint::load(checkpoint, &Device::Cpu)?;
    let trainable = network.parameters().trainable();
    let masks = PruneParams::new(criterion)
        .sparsity(sparsity)
        .seed(seed)
        .check()?
        .masks(&WeightSet::from_vars(trainable))
        .with_context(|| format!("pruning {}", checkpoint.display()))?;
    masks.apply(trainable)?;
    let achieved = masks.sparsity();
    let meta = Checkpoint {
        pruning: Some(PruningRecord {
            method: criterion.name.into(),
            sparsity: achieved,
        }),
        ..meta
    };
    meta.save(&network, out)?;
    Ok(achieved)
}
