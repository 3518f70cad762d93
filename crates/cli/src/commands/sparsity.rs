use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use candle_core::Device;
use clap::Args;
use htl_datasets::DataFolder;
use htl_inference::NetworkPredictor;
use htl_pruning::SparsitySearch;
use htl_trainers::{Outcome, StopFlag, TrainConfig, observe::on_progress, validation};
use htl_vocabulary::{SparsityChoice, file, lock_folder, sparsity::Candidate, write_whole};

use super::{
    experiment::TRY_AGAIN,
    prune::{How, prune_checkpoint},
    telling::Telling,
};
use crate::{progress::Progress, signals::raise_on_signals};

/// `htl sparsity`.
#[derive(Args)]
#[command(
    after_help = "Ctrl-C, SIGTERM and SIGUSR1 end the search at the next step, with exit code 75; nothing of it is kept."
)]
pub struct Sparsity {
    /// The dense checkpoint
    #[arg(long)]
    checkpoint: PathBuf,
    #[command(flatten)]
    how: How,
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
    #[command(flatten)]
    telling: Telling,
}

impl Sparsity {
    pub fn run(self, device: &Device) -> anyhow::Result<ExitCode> {
        let stop = StopFlag::default();
        raise_on_signals(&stop.shared()).context("cannot install signal handlers")?;
        match self.search(device, &stop) {
            Err(_) if stop.is_set() => {
                eprintln!("stopped by a signal, nothing is kept: run the same command to search again");
                Ok(ExitCode::from(TRY_AGAIN))
            }
            other => other.map(|()| ExitCode::SUCCESS),
        }
    }

    fn search(&self, device: &Device, stop: &StopFlag) -> anyhow::Result<()> {
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
            let sparse = work.path.join(numbered(PRUNED, index));
            prune_checkpoint(&self.checkpoint, &self.how, sparsity, &sparse)?;
            let folder = work.path.join(numbered(TUNED, index));
            let config = TrainConfig {
                init: Some(sparse),
                ..base.clone()
            }
            .check()?;
            let steps = config.steps();
            let mut observer = on_progress(|done, _| progress.set(index * steps + done, count * steps));
            let outcome = htl_trainers::train(&config, device, &folder, &mut observer, stop)?;
            ensure!(!matches!(outcome, Outcome::Stopped { .. }), "stopped by a signal");
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
        self.telling.tell(&choice, || {
            format!(
                "sparsity {} of {} candidates, in {}",
                choice.sparsity,
                choice.candidates.len(),
                self.out.display()
            )
        })
    }
}

/// A folder for what is made on the way, beside the result: there is room where the result will be. It is ours alone, and
/// removed in the end; what a killed search left in it is removed by the next one with the same result.
struct WorkFolder {
    path: PathBuf,
    _lock: File,
}

impl WorkFolder {
    fn beside(out: &Path) -> anyhow::Result<Self> {
        let name = out
            .file_name()
            .with_context(|| format!("--out {} is not a file", out.display()))?;
        let path = out.with_file_name(format!(".{}.work", name.to_string_lossy()));
        let not_made = || format!("cannot make the folder {}", path.display());
        fs::create_dir_all(&path).with_context(not_made)?;
        // Who put a link there wants the files behind it to stay.
        let linked = fs::symlink_metadata(&path).with_context(not_made)?.is_symlink();
        ensure!(!linked, "{} is a link: remove it", path.display());
        let lock = lock_folder(&path, Duration::ZERO).with_context(not_made)?;
        let lock = lock.with_context(|| {
            format!(
                "another `htl sparsity` is searching for {}: wait for it or end it, or choose another --out",
                out.display()
            )
        })?;
        empty(&path).with_context(|| format!("cannot remove what a search left in {}", path.display()))?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for WorkFolder {
    fn drop(&mut self) {
        // It would be removed by the next search.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Names of what a search has in its folder: networks after pruning, and folders of their trainings.
const PRUNED: [&str; 2] = ["pruned-", ".safetensors"];
const TUNED: [&str; 2] = ["tuned-", ""];

fn numbered([before, after]: [&str; 2], index: usize) -> String {
    format!("{before}{index}{after}")
}

fn is_numbered([before, after]: [&str; 2], name: &str) -> bool {
    let index = name.strip_prefix(before).and_then(|name| name.strip_suffix(after));
    index.is_some_and(|index| index.parse::<usize>().is_ok())
}

/// Removes what a search left in its folder, and nothing else.
fn empty(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type()?.is_dir() {
            true if is_numbered(TUNED, &name) => fs::remove_dir_all(entry.path())?,
            false if is_numbered(PRUNED, &name) => fs::remove_file(entry.path())?,
            // What holds the folder where folders themselves cannot be held.
            false if name == ".lock" => {}
            _ => bail!("{name} is not of a search: move it away"),
        }
    }
    Ok(())
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
        assert_eq!(left.parent(), out.parent());
        let second = WorkFolder::beside(&out).err().unwrap().to_string();
        assert!(second.contains("another `htl sparsity`"), "{second}");
        // A lock ends with its process; the folder stays.
        drop(killed);
        fs::create_dir_all(left.join("tuned-0")).unwrap();
        fs::write(left.join("tuned-0/state.safetensors"), "left").unwrap();
        {
            let again = WorkFolder::beside(&out).unwrap();
            assert_eq!(again.path, left);
            assert_eq!(fs::read_dir(&left).unwrap().count(), 0);
        }
        assert_eq!(fs::read_dir(out.parent().unwrap()).unwrap().count(), 0);
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("thesis.tex"), "precious").unwrap();
        let said = format!("{:#}", WorkFolder::beside(&out).err().unwrap());
        assert!(
            said.contains("thesis.tex") && left.join("thesis.tex").exists(),
            "{said}"
        );
    }
}
