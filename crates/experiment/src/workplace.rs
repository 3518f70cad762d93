//! The folders that a run works in: data that are usable and stay as they are, an output folder of its own.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use htl_datasets::DataFolder;
use htl_vocabulary::lock_file;

use crate::ExperimentError;
use crate::data::data_sha256;
use crate::engine::Run;
use crate::engine::local::{self, Done};
use crate::engine::slurm::run_plan;
use crate::plan::Plan;
use crate::reproduce::{Engine, Reproduce};

/// Both folders, the output folder locked.
pub(crate) struct Workplace<'a> {
    run: &'a Reproduce,
    data: DataFolder,
    data_sha256: String,
    _lock: File,
}

impl<'a> Workplace<'a> {
    /// Takes the output folder for a run, and reads all of its data.
    pub fn open(run: &'a Reproduce) -> Result<Self, ExperimentError> {
        check_paths(run)?;
        let lock = lock(&run.out)?;
        let data = usable(&run.data)?;
        Ok(Self {
            run,
            data_sha256: data_sha256(&data)?,
            data,
            _lock: lock,
        })
    }

    /// The data.
    pub fn data(&self) -> &DataFolder {
        &self.data
    }

    /// The hash of all that determines results in them.
    pub fn data_sha256(&self) -> &str {
        &self.data_sha256
    }

    /// Writes a plan, and runs what is not done of it.
    ///
    /// # Errors
    /// What the engine fails or stops with; [`ExperimentError::DataChanged`] where the data are not what they were, either.
    pub fn carry_out(&self, plan: &Plan) -> Result<Vec<Done>, ExperimentError> {
        plan.write(&self.run.out)?;
        let run = Run {
            htl: self.run.htl.clone(),
            out: self.run.out.clone(),
            threads: self.run.threads(),
            stop: self.run.stop.clone(),
        };
        let done = match &self.run.engine {
            Engine::Local => local::run(plan, &run, self.run.jobs),
            Engine::Slurm(slurm) => run_plan(plan, &run, slurm),
        };
        match done {
            // Its jobs still run; who follows them finds out.
            Err(error @ ExperimentError::Detached { .. }) => Err(error),
            Err(error) => self.check_data().and(Err(error)),
            done => done,
        }
    }

    /// # Errors
    /// [`ExperimentError::DataChanged`] if the data are not what they were.
    pub fn check_data(&self) -> Result<(), ExperimentError> {
        if data_sha256(&DataFolder::open(&self.run.data)?)? == self.data_sha256 {
            return Ok(());
        }
        Err(ExperimentError::DataChanged {
            folder: self.run.data.clone(),
        })
    }
}

/// Opens the data folder, which also draws splits where there are none, and decodes every image and mask of it.
fn usable(folder: &Path) -> Result<DataFolder, ExperimentError> {
    let data = DataFolder::open(folder)?;
    let problems: Vec<String> = data.problems().iter().map(ToString::to_string).collect();
    if problems.is_empty() {
        return Ok(data);
    }
    Err(ExperimentError::BrokenData {
        folder: folder.into(),
        problems,
    })
}

/// Paths go into configurations and results as text.
pub(crate) fn check_paths(run: &Reproduce) -> Result<(), ExperimentError> {
    for (option, path) in [("--out", &run.out), ("--data", &run.data)] {
        if path.to_str().is_none() {
            return Err(ExperimentError::Option {
                option,
                reason: format!(
                    "{} is not Unicode, and stages hand paths on as text: choose another folder",
                    path.display()
                ),
            });
        }
    }
    Ok(())
}

/// Creates the output folder and takes it for ourselves until the file is dropped.
fn lock(out: &Path) -> Result<File, ExperimentError> {
    let unusable = |source| ExperimentError::OutputFolder {
        out: out.into(),
        source,
    };
    fs::create_dir_all(out).map_err(unusable)?;
    let file = lock_file(&out.join(".lock"), Duration::ZERO).map_err(unusable)?;
    file.ok_or_else(|| ExperimentError::Busy { out: out.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let message = lock(folder.path()).unwrap_err().to_string();
        assert!(message.contains("--out"), "{message}");
        drop(first);
        lock(folder.path()).unwrap();
    }

    /// A path below a file cannot be a folder, whoever asks.
    #[test]
    fn an_impossible_output_folder_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let message = lock(&file.path().join("out")).unwrap_err().to_string();
        assert!(
            message.contains("output folder") && message.contains("--out"),
            "{message}"
        );
    }
}
