use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::Device;
use clap::Args;
use htl_models::{Checkpoint, Network, PruningRecord};
use htl_pruning::{Criterion, PruneParams, WeightSet};

/// `htl prune`.
#[derive(Args)]
pub struct Prune {
    /// The dense checkpoint
    #[arg(long)]
    checkpoint: PathBuf,
    /// How weights are ranked: global-magnitude, layer-magnitude or random
    #[arg(long, default_value = "global-magnitude")]
    method: Method,
    /// Share of the prunable weights that become zero, in [0, 1)
    #[arg(long)]
    sparsity: f64,
    /// Seed of the random method
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The sparse checkpoint
    #[arg(long)]
    out: PathBuf,
}

/// The criteria by the names that `--method` takes.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Method {
    GlobalMagnitude,
    LayerMagnitude,
    Random,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Self::GlobalMagnitude => "global-magnitude",
            Self::LayerMagnitude => "layer-magnitude",
            Self::Random => "random",
        }
    }
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
    method: Method,
    sparsity: f64,
    seed: u64,
    out: &Path,
) -> anyhow::Result<f64> {
    let (meta, network): (Checkpoint, Network) = Checkpoint::load(checkpoint, &Device::Cpu)?;
    let criterion = match method {
        Method::GlobalMagnitude => Criterion::GlobalMagnitude,
        Method::LayerMagnitude => Criterion::LayerMagnitude,
        Method::Random => Criterion::Random,
    };
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
            method: method.name().into(),
            sparsity: achieved,
        }),
        ..meta
    };
    meta.save(&network, out)?;
    Ok(achieved)
}
