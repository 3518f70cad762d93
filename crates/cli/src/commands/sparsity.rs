use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::Context;
use candle_core::Device;
use clap::Args;
use htl_datasets::DataFolder;
use htl_inference::NetworkPredictor;
use htl_pruning::{Criterion, SparsitySearch};
use htl_trainers::{StopFlag, TrainConfig, observe::on_progress, validation};
use htl_vocabulary::{SparsityChoice, file, sparsity::Candidate, write_whole};

use super::prune::prune_checkpoint;
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

impl Sparsity {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        let search = SparsitySearch::new(&self.candidates, self.tolerance).context("--candidates, --tolerance")?;
        let base = TrainConfig::read(&self.config, &[])?;
        let data = DataFolder::open(&base.data)?;
        let (images, validator) = validation(&base, &data)?.with_context(|| {
            format!(
                "{}: the val split has no labels of the setting's kind to choose a sparsity with",
                base.data.display()
            )
        })?;
        let measure = |path: &Path| -> anyhow::Result<f64> {
            Ok(validator.quality(&NetworkPredictor::load(path, device)?, &images)?)
        };
        let dense = measure(&self.checkpoint)?;
        let work = WorkFolder::beside(&self.out)?;
        let mut progress = Progress::new("sparsity");
        let count = search.candidates().len();
        let mut tried = 0;
        let found = search.run(dense, |sparsity| -> anyhow::Result<f64> {
            let index = tried;
            tried += 1;
            let pruned = work.path.join(format!("pruned-{index}.safetensors"));
            prune_checkpoint(&self.checkpoint, Criterion::GLOBAL_MAGNITUDE, sparsity, 0, &pruned)?;
            let folder = work.path.join(format!("tuned-{index}"));
            let config = TrainConfig {
                init: Some(pruned),
                ..base.clone()
            }
            .check()?;
            let steps = config.steps();
            let mut observer = on_progress(|done, _| progress.set(index * steps + done, count * steps));
            let _ = htl_trainers::train(&config, device, &folder, &mut observer, &StopFlag::default())?;
            measure(&folder.join(file::CHECKPOINT))
        })?;
        progress.set(count, count);
        if !found.within {
            tracing::warn!(
                "no candidate keeps validation quality within {} of the dense {dense:.4}; taking the smallest, {}",
                self.tolerance,
                found.sparsity
            );
        }
        let candidate = |(sparsity, quality)| Candidate { sparsity, quality };
        let choice = SparsityChoice {
            sparsity: found.sparsity,
            within: found.within,
            dense,
            tolerance: self.tolerance,
            candidates: found.tried.into_iter().map(candidate).collect(),
        };
        write_whole(&self.out, serde_json::to_vec_pretty(&choice)?)?;
        Ok(())
    }
}

/// A folder for what is made on the way, beside the result: there is room where the result will be. Removed in the end,
/// and what a killed search left in it is removed by the next one with the same result.
struct WorkFolder {
    path: PathBuf,
}

impl WorkFolder {
    fn beside(out: &Path) -> anyhow::Result<Self> {
        let name = out
            .file_name()
            .with_context(|| format!("--out {} is not a file", out.display()))?;
        let path = out.with_file_name(format!(".{}.work", name.to_string_lossy()));
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove what a search left in {}", path.display()));
            }
            _ => {}
        }
        fs::create_dir_all(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // It would be removed by the next search.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a killed search left behind is gone after the next, and everything is beside the result.
    #[test]
    fn a_work_folder_begins_empty_and_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("results/sparsity.json");
        let killed = WorkFolder::beside(&out).unwrap();
        fs::write(killed.path.join("pruned-0.safetensors"), "left").unwrap();
        let left = killed.path.clone();
        std::mem::forget(killed);
        assert_eq!(left.parent(), out.parent());
        {
            let again = WorkFolder::beside(&out).unwrap();
            assert_eq!(again.path, left);
            assert_eq!(fs::read_dir(&left).unwrap().count(), 0);
        }
        assert_eq!(fs::read_dir(out.parent().unwrap()).unwrap().count(), 0);
    }
}
