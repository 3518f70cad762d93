use std::path::Path;

use anyhow::{Result, ensure};
use htl_datasets::{DataFolder, sha256_file};
use htl_vocabulary::write_whole;
use serde::{Deserialize, Serialize};

/// Everything that determines the results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Hash of the data folder.
    pub data_sha256: String,
    /// Hash of the list of revised masks.
    pub revisions_sha256: Option<String>,
    /// Trainings per scenario.
    pub seeds: u64,
    /// Epochs of a dense training on the data as they are.
    pub epochs: usize,
    /// Side of the images that networks see, in pixels.
    pub size: usize,
    /// Channels of their first block.
    pub width: usize,
    /// Images per gradient step.
    pub batch: usize,
    /// Images through the gradient of a dense training.
    pub image_steps: usize,
    /// Of the fine-tuning after pruning, and of its sham.
    pub fine_tune_steps: usize,
    /// Of the short training whose gradients give GraNd.
    pub early_steps: usize,
    /// Peak learning rate of a training.
    pub learning_rate: f64,
    /// Peak learning rate of a fine-tuning.
    pub fine_tune_rate: f64,
    /// Sparsity of the fine-tuned pruned networks.
    pub sparsity: f64,
    /// Sparsities of forgetting curves.
    pub sparsities: Vec<f64>,
    /// Epochs between two judgements of the training images.
    pub judge_every: usize,
}

impl Settings {
    /// Those of a run on this data.
    ///
    /// Trainings are those of the `embedded` profile: 30 epochs, a fine-tuning of a fifth of that.
    pub fn of(
        data: &Path,
        revised: Option<&Path>,
        quick: bool,
        seeds: Option<u64>,
        epochs: Option<u64>,
    ) -> Result<Self> {
        let folder = DataFolder::open(data)?;
        let images = folder.split(htl_datasets::Split::Train).len();
        let epochs = epochs.map_or(if quick { 8 } else { 30 }, |epochs| epochs as usize);
        let image_steps = (images * epochs).max(64);
        Ok(Self {
            data_sha256: folder.sha256()?,
            revisions_sha256: revised.map(|dir| sha256_file(&dir.join("revisions.csv"))).transpose()?,
            seeds: seeds.unwrap_or(if quick { 3 } else { 6 }),
            epochs,
            size: 64,
            width: 8,
            batch: 16,
            image_steps,
            fine_tune_steps: image_steps / 5,
            early_steps: image_steps / 5,
            learning_rate: 3e-3,
            fine_tune_rate: 2e-3,
            sparsity: 0.8,
            // Those of exemplars among them.
            sparsities: match quick {
                true => vec![0.3, 0.5, 0.7, 0.9],
                false => vec![0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95],
            },
            // Eight to ten judgements.
            judge_every: (epochs / 10).max(1),
        })
    }

    /// Writes them into a new folder, and compares them with those of one that is there.
    pub fn keep(&self, path: &Path) -> Result<()> {
        if path.exists() {
            let found: Self = htl_vocabulary::read_json(path, "settings.json")?;
            ensure!(
                found == *self,
                "{} was made with other settings or data: choose another --out, or remove it",
                path.display()
            );
            return Ok(());
        }
        Ok(write_whole(path, serde_json::to_string_pretty(self)? + "\n")?)
    }
}
