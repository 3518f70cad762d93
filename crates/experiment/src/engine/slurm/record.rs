//! What the engine remembers in the folder of a run, so that a later run, `htl status` and the jobs know it.

use super::SlurmError;
use crate::engine::LOGS;
use htl_vocabulary::write_whole;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The run's own name, by which its jobs and their nodes know it.
pub(super) const RUN_FILE: &str = "slurm/run";
/// A file per stage whose job ended otherwise than well.
pub(super) const ENDED: &str = "slurm/ended";
/// A file per job that was or will be submitted.
const BATCHES: &str = "slurm/batches";

/// The stages of one job, written before it is submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Batch {
    /// Stage folder by task number.
    pub tasks: BTreeMap<usize, String>,
    /// What the job asks for.
    pub options: Vec<String>,
}

/// How the job of a stage ended, if not well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ended {
    /// The exit code, where there was one.
    pub exit: Option<i32>,
    /// What the engine found out.
    #[serde(default)]
    pub why: Option<String>,
    /// The job.
    pub job: String,
    /// The node, where it had one.
    #[serde(default)]
    pub node: String,
}

fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> SlurmError {
    let path = path.to_owned();
    move |source| SlurmError::Io { path, action, source }
}

/// The records in the folder of a run.
#[derive(Debug, Clone)]
pub(super) struct Records {
    out: PathBuf,
    /// The run's own name.
    pub run: String,
}

impl Records {
    /// The records of a run, which gets a name if it has none.
    pub fn create(out: &Path) -> Result<Self, SlurmError> {
        for folder in ["stages", LOGS, BATCHES, ENDED] {
            let folder = out.join(folder);
            fs::create_dir_all(&folder).map_err(io(&folder, "create"))?;
        }
        if let Some(records) = Self::open(out)? {
            return Ok(records);
        }
        // A standard hasher starts from random numbers.
        let run = format!("{:016x}", std::hash::RandomState::new().build_hasher().finish());
        let path = out.join(RUN_FILE);
        write_whole(&path, format!("{run}\n")).map_err(io(&path, "write"))?;
        Ok(Self { out: out.into(), run })
    }

    /// The records of a run; nothing if none of its stages ever went to Slurm.
    pub fn open(out: &Path) -> Result<Option<Self>, SlurmError> {
        let path = out.join(RUN_FILE);
        match fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => Ok(Some(Self {
                out: out.into(),
                run: text.trim().into(),
            })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(&path, "read")(error)),
        }
    }

    /// Writes down a job that is about to be submitted; returns its number among the jobs of the run.
    pub fn add(&self, batch: &Batch) -> Result<usize, SlurmError> {
        let folder = self.out.join(BATCHES);
        let numbers = fs::read_dir(&folder).map_err(io(&folder, "read"))?.filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .to_str()?
                .strip_suffix(".json")?
                .parse::<usize>()
                .ok()
        });
        let number = numbers.max().map_or(1, |last| last + 1);
        let path = folder.join(format!("{number}.json"));
        let text = serde_json::to_string(batch).unwrap_or_default();
        write_whole(&path, text + "\n").map_err(io(&path, "write"))?;
        Ok(number)
    }

    /// A job that was written down; nothing if the file is gone or is none.
    pub fn batch(&self, number: usize) -> Option<Batch> {
        let text = fs::read_to_string(self.out.join(BATCHES).join(format!("{number}.json"))).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// The name under which Slurm knows a job: what it does, for people, and where it is written down.
    pub fn job_name(&self, label: &str, number: usize) -> String {
        format!("{label}.htl-{}.{number}", self.run)
    }

    /// The number of the job with this name, if it is one of this run.
    pub fn number(&self, job_name: &str) -> Option<usize> {
        let (rest, number) = job_name.rsplit_once('.')?;
        let (_, run) = rest.rsplit_once(".htl-")?;
        (run == self.run).then(|| number.parse().ok())?
    }

    /// How the last job of a stage ended, if not well.
    pub fn ended(&self, folder_name: &str) -> Option<Ended> {
        let text = fs::read_to_string(self.out.join(ENDED).join(folder_name)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Notes how a job ended, for `htl status`.
    pub fn set_ended(&self, folder_name: &str, ended: &Ended) -> Result<(), SlurmError> {
        let path = self.out.join(ENDED).join(folder_name);
        let text = serde_json::to_string(ended).unwrap_or_default();
        write_whole(&path, text + "\n").map_err(io(&path, "write"))
    }

    /// Forgets how earlier jobs of a stage ended.
    pub fn clear_ended(&self, folder_name: &str) {
        fs::remove_file(self.out.join(ENDED).join(folder_name)).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_found_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Records::open(folder.path()).unwrap().is_none());
        let records = Records::create(folder.path()).unwrap();
        let batch = Batch {
            tasks: BTreeMap::from([(0, "stages/a-1".into()), (4, "stages/b-2".into())]),
            options: vec!["--mem=1G".into()],
        };
        assert_eq!(records.add(&batch).unwrap(), 1);
        assert_eq!(records.add(&batch).unwrap(), 2);
        let again = Records::create(folder.path()).unwrap();
        assert_eq!(again.run, records.run);
        let number = again.number(&records.job_name("train.x", 2)).unwrap();
        assert_eq!(again.batch(number), Some(batch));
        let other = tempfile::tempdir().unwrap();
        let other = Records::create(other.path()).unwrap();
        for name in [
            other.job_name("train", 1),
            "train".into(),
            format!("x.htl-{}.y", records.run),
        ] {
            assert_eq!(records.number(&name), None, "{name}");
        }
    }
}
