use std::path::PathBuf;

use anyhow::{Context, ensure};
use candle_core::Device;
use clap::Args;
use htl_datasets::DataFolder;
use htl_models::Checkpoint;
use htl_pruning::Criterion;
use htl_trainers::{TrainConfig, names, quality::quality, validation};
use serde::{Deserialize, Serialize};

use super::{prune::prune_checkpoint, write_atomically};
use crate::progress::Progress;

/// `htl sparsity`.
#[derive(Args)]
pub struct Sparsity {
    /// The dense checkpoint
    #[arg(long)]
    checkpoint: PathBuf,
    /// The fine-tuning after pruning, TOML as for `htl train`; its `init` is set here
    #[arg(long)]
    config: PathBuf,
    /// Sparsities to try, each in [0, 1)
    #[arg(long, value_delimiter = ',', required = true)]
    candidates: Vec<f64>,
    /// Largest loss of validation quality against the dense network
    #[arg(long, default_value_t = 0.02)]
    tolerance: f64,
    /// The choice, JSON
    #[arg(long)]
    out: PathBuf,
}

/// What `htl sparsity` writes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Choice {
    /// The largest candidate within the tolerance; the smallest candidate if none is.
    pub sparsity: f64,
    /// Whether that candidate is within the tolerance.
    pub within: bool,
    /// Validation quality of the dense network.
    pub dense: f64,
    /// Largest loss allowed.
    pub tolerance: f64,
    /// Every candidate tried, from the largest down to the first that fits.
    pub candidates: Vec<Candidate>,
}

/// One sparsity and what it leaves.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Candidate {
    pub sparsity: f64,
    pub quality: f64,
}

impl Sparsity {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        let mut sparsities = self.candidates.clone();
        sparsities.sort_by(f64::total_cmp);
        for s in &sparsities {
            ensure!(
                (0.0..1.0).contains(s),
                "--candidates: sparsity must be in [0, 1), found {s}"
            );
        }
        let base = TrainConfig::read(&self.config, &[])?;
        let data = DataFolder::open(&base.data)?;
        let (images, judge) = validation(&base, &data)?.with_context(|| {
            format!(
                "{}: the val split has no labels of the setting's kind to choose a sparsity with",
                base.data.display()
            )
        })?;
        let measure = |path: &std::path::Path| -> anyhow::Result<f64> {
            let (meta, network) = Checkpoint::load(path, device)?;
            Ok(quality(&judge, &network, &images, &meta.preprocessing, device)?)
        };
        let dense = measure(&self.checkpoint)?;
        let work = tempfile::tempdir().context("cannot make a temporary folder")?;
        let mut tried = Vec::new();
        let mut progress = Progress::new("sparsity");
        let count = sparsities.len();
        for (index, &sparsity) in sparsities.iter().rev().enumerate() {
            let pruned = work.path().join(format!("pruned-{index}.safetensors"));
            prune_checkpoint(&self.checkpoint, Criterion::GLOBAL_MAGNITUDE, sparsity, 0, &pruned)?;
            let folder = work.path().join(format!("tuned-{index}"));
            let config = TrainConfig {
                init: Some(pruned),
                ..base.clone()
            }
            .check()?;
            let steps = config.steps();
            htl_trainers::train(&config, device, &folder, &mut |done, _| {
                progress.set(index * steps + done, count * steps);
            })?;
            tried.push(Candidate {
                sparsity,
                quality: measure(&folder.join(names::CHECKPOINT))?,
            });
            if tried[index].quality >= dense - self.tolerance {
                break;
            }
        }
        progress.set(count, count);
        let chosen = tried.last().context("no candidate")?;
        let choice = Choice {
            sparsity: chosen.sparsity,
            within: chosen.quality >= dense - self.tolerance,
            dense,
            tolerance: self.tolerance,
            candidates: tried.clone(),
        };
        if !choice.within {
            tracing::warn!(
                "no candidate keeps validation quality within {} of the dense {dense:.4}; taking the smallest, {}",
                self.tolerance,
                choice.sparsity
            );
        }
        write_atomically(&self.out, &serde_json::to_vec_pretty(&choice)?)
    }
}
