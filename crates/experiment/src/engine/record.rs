use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use htl_vocabulary::write_whole;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ExperimentError;
use crate::error::io;
use crate::plan::Stage;

/// Name of the file that makes a stage's folder a finished one.
pub const RECORD: &str = "stage.json";

/// Folder of the stages' logs, in the output folder.
pub const LOGS: &str = "logs";

/// Ending of the note that a failed stage leaves beside its log.
pub const FAILURE_SUFFIX: &str = ".failed.json";

/// What became of a stage: `stage.json` in its folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The stage.
    pub name: String,
    /// Its folder, relative to the output folder.
    pub folder: String,
    /// Time it took when it was done.
    pub seconds: f64,
    /// SHA-256 of every file it made, by path inside its folder.
    pub files: BTreeMap<String, String>,
}

impl Record {
    /// The record of a stage whose files lie in `folder`.
    ///
    /// # Errors
    /// Those of reading the files.
    pub(super) fn of(stage: &Stage, folder: &Path, seconds: f64) -> Result<Self, ExperimentError> {
        let mut files = Vec::new();
        list(folder, folder, &mut files)?;
        let hashed = files.into_par_iter().map(|name| {
            let hash = htl_datasets::sha256_file(&folder.join(&name))?;
            Ok((name, hash))
        });
        Ok(Self {
            name: stage.name.clone(),
            folder: stage.folder.clone(),
            seconds,
            files: hashed.collect::<Result<_, ExperimentError>>()?,
        })
    }

    /// Writes it into the folder of its stage.
    pub(super) fn write(&self, folder: &Path) -> Result<(), ExperimentError> {
        let path = folder.join(RECORD);
        let text = serde_json::to_string_pretty(self).unwrap_or_default() + "\n";
        write_whole(&path, text).map_err(ExperimentError::NotWritten)
    }

    /// Whether every file is there as it was made.
    fn holds(&self, folder: &Path) -> bool {
        self.files
            .par_iter()
            .all(|(name, hash)| htl_datasets::sha256_file(&folder.join(name)).is_ok_and(|found| found == *hash))
    }
}

/// The files below `folder`, as paths relative to `root`, the record left out.
fn list(root: &Path, folder: &Path, files: &mut Vec<String>) -> Result<(), ExperimentError> {
    for entry in fs::read_dir(folder).map_err(io(folder, "read"))? {
        let path = entry.map_err(io(folder, "read"))?.path();
        if path.is_dir() {
            list(root, &path, files)?;
        } else if let Ok(relative) = path.strip_prefix(root)
            && relative != Path::new(RECORD)
        {
            files.push(relative.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

/// The record of a finished stage; `None` if it is not finished, or if a file of it is missing or not as it was made.
pub fn finished(out: &Path, stage: &Stage) -> Option<Record> {
    let folder = out.join(&stage.folder);
    let text = fs::read_to_string(folder.join(RECORD)).ok()?;
    let record: Record = serde_json::from_str(&text).ok()?;
    if !record.holds(&folder) {
        tracing::warn!("{}: files are damaged or missing, so it is done again", stage.name);
        return None;
    }
    Some(Record {
        name: stage.name.clone(),
        folder: stage.folder.clone(),
        ..record
    })
}

/// Whether a stage says that it is finished; its files are not looked at.
pub(crate) fn claims_to_be_finished(out: &Path, stage: &Stage) -> Option<Record> {
    let text = fs::read_to_string(out.join(&stage.folder).join(RECORD)).ok()?;
    serde_json::from_str(&text).ok()
}

/// The folder of a stage in progress.
pub(crate) fn partial(out: &Path, stage: &Stage) -> PathBuf {
    out.join(format!("{}.partial", stage.folder))
}

/// What a stage's log and the note of its failure begin with.
fn log_stem(stage: &Stage) -> &str {
    stage.folder.trim_start_matches("stages/")
}

/// The log of a stage.
pub fn log_path(out: &Path, stage: &Stage) -> PathBuf {
    out.join(LOGS).join(format!("{}.log", log_stem(stage)))
}

/// Why a stage failed the last time: a note beside its log, until it is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The stage.
    pub name: String,
    /// What it said.
    pub message: String,
}

impl Failure {
    fn path(out: &Path, stage: &Stage) -> PathBuf {
        out.join(LOGS).join(format!("{}{FAILURE_SUFFIX}", log_stem(stage)))
    }

    /// The note of a stage, if it failed the last time.
    pub fn read(out: &Path, stage: &Stage) -> Option<Self> {
        let text = fs::read_to_string(Self::path(out, stage)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Leaves a note. That it cannot be left is not worth hiding the failure itself for.
    pub(super) fn leave(out: &Path, stage: &Stage, message: &str) {
        let note = Self {
            name: stage.name.clone(),
            message: message.to_owned(),
        };
        let text = serde_json::to_string_pretty(&note).unwrap_or_default() + "\n";
        if let Err(error) = write_whole(&Self::path(out, stage), text) {
            tracing::warn!("{}: its failure could not be noted: {error}", stage.name);
        }
    }

    pub(super) fn forget(out: &Path, stage: &Stage) {
        // Absent, as a rule.
        fs::remove_file(Self::path(out, stage)).ok();
    }
}
