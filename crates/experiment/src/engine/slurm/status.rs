//! Where the stages of a run stand, for whoever asks from outside.

use super::adopt::known;
use super::board::finished;
use super::queue::JobState;
use super::record::Records;
use super::{Client, SlurmError, SlurmStage};
use std::collections::BTreeMap;
use std::path::Path;

/// Where a stage stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Finished.
    Finished,
    /// On a node.
    Running {
        /// Its job.
        job: String,
        /// Its node.
        node: String,
    },
    /// In the queue.
    Waiting {
        /// Its job.
        job: String,
        /// Slurm's reason.
        reason: String,
    },
    /// Its last job did not end well.
    Failed {
        /// That job.
        job: String,
        /// Why.
        why: String,
    },
    /// Not finished, and no job of its own.
    Missing,
}

/// Where each stage stands, in the plan's order. Changes nothing, and does not ask Slurm if the run never used it.
///
/// # Errors
/// Those of `squeue`.
pub fn status(client: &Client, out: &Path, stages: &[SlurmStage]) -> Result<Vec<Standing>, SlurmError> {
    let records = Records::open(out)?;
    let mut jobs = BTreeMap::new();
    if let Some(records) = &records {
        for job in known(records, out, client.queue()?) {
            if let Some(folder) = job.folder
                && !job.entry.state.is_over()
            {
                jobs.insert(folder, job.entry);
            }
        }
    }
    let standing = |stage: &SlurmStage| {
        if finished(out, stage) {
            return Standing::Finished;
        }
        if let Some(entry) = jobs.get(&stage.folder) {
            let job = entry.job.clone();
            return match entry.state {
                JobState::Running | JobState::Ending => Standing::Running {
                    job,
                    node: entry.nodes.clone(),
                },
                _ => Standing::Waiting {
                    job,
                    reason: entry.reason.clone(),
                },
            };
        }
        match records.as_ref().and_then(|records| records.ended(stage.folder_name())) {
            Some(ended) => Standing::Failed {
                why: match (ended.why, ended.exit) {
                    (Some(why), _) => why,
                    (None, Some(code)) => format!("it ended with exit code {code}"),
                    (None, None) => "it ended".into(),
                },
                job: ended.job,
            },
            None => Standing::Missing,
        }
    };
    Ok(stages.iter().map(standing).collect())
}
