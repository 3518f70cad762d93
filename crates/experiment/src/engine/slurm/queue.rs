//! What Slurm says about a job: its state, and why it waits.

use super::SlurmError;
use std::path::PathBuf;

/// The columns that [`QueueEntry::parse`] reads. The working folder comes last, as it may hold the separator.
pub(super) const QUEUE_FORMAT: &str = "%i|%T|%j|%r|%R|%Z";

/// One job, or one task of an array, in Slurm's queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueEntry {
    /// `12`, or `12_3` for task 3 of an array.
    pub job: String,
    /// Where it stands.
    pub state: JobState,
    /// The job's name.
    pub name: String,
    /// Why it waits, or ended as it did; empty when there is nothing to say.
    pub reason: String,
    /// The nodes it runs or ran on; empty before that.
    pub nodes: String,
    /// Its working folder.
    pub folder: PathBuf,
}

impl QueueEntry {
    /// Reads one line of `squeue`.
    pub(super) fn parse(line: &str) -> Result<Self, SlurmError> {
        let mut columns = line.splitn(6, '|');
        let mut next = || columns.next().map(str::trim);
        let (Some(job), Some(state), Some(name), Some(reason), Some(place), Some(folder)) =
            (next(), next(), next(), next(), next(), next())
        else {
            return Err(SlurmError::Answer {
                command: "squeue",
                found: line.into(),
                expected: "six columns",
            });
        };
        // The fifth column is `(reason in words)` before a job runs, the nodes from then on.
        let in_words = place.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
        let reason = match (in_words, reason) {
            (Some(words), "None" | "") => words,
            (_, reason) => reason,
        };
        Ok(Self {
            job: job.into(),
            state: JobState::parse(state),
            name: name.into(),
            reason: if reason == "None" { String::new() } else { reason.into() },
            nodes: if in_words.is_some() {
                String::new()
            } else {
                place.into()
            },
            folder: folder.into(),
        })
    }
}

/// Where a job stands, as far as the engine acts differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum JobState {
    /// In the queue, also after it was requeued.
    Waiting,
    /// On a node.
    Running,
    /// Leaves its node: it ends, or goes back to the queue.
    Ending,
    /// Ended with exit code 0.
    Completed,
    /// Ended with another exit code, or could not be started on its node.
    Failed,
    /// Killed as it used more memory than it had asked for.
    OutOfMemory,
    /// Cancelled by somebody, or by Slurm as what it needs failed.
    Cancelled,
    /// Reached its time limit.
    TimedOut,
    /// Gave way to a more urgent job, and was not requeued.
    Preempted,
    /// Its node failed, and it was not requeued.
    NodeFailed,
}

impl JobState {
    fn parse(word: &str) -> Self {
        match word {
            "COMPLETED" => Self::Completed,
            "FAILED" | "DEADLINE" | "SPECIAL_EXIT" | "LAUNCH_FAILED" | "RECONFIG_FAIL" => Self::Failed,
            "OUT_OF_MEMORY" => Self::OutOfMemory,
            "CANCELLED" | "REVOKED" => Self::Cancelled,
            "TIMEOUT" => Self::TimedOut,
            "PREEMPTED" => Self::Preempted,
            "NODE_FAIL" | "BOOT_FAIL" => Self::NodeFailed,
            "PENDING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "RESV_DEL_HOLD" => Self::Waiting,
            "COMPLETING" => Self::Ending,
            // RUNNING, CONFIGURING, SUSPENDED, STOPPED and what a later Slurm invents: it is not over.
            _ => Self::Running,
        }
    }

    /// Whether the job will not run again.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running | Self::Ending)
    }
}

/// What Slurm's reason for a waiting job means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// The job starts when its turn comes.
    Waits,
    /// The job starts when somebody repairs or reopens something.
    Stuck(&'static str),
    /// The job as it was submitted never starts; the text says what to do.
    Hopeless(&'static str),
}

/// What the reason of a waiting job means. The names are those of `job_reasons` in the manual of `squeue`.
pub fn outlook(reason: &str) -> Outlook {
    const NODES_DOWN: &str = "the nodes it could run on are down, drained or reserved";
    const ASKED_TOO_MUCH: &str = "one job may not ask for so much here: ask for less";
    let reason = reason.replace(' ', "_");
    let name = reason.split(',').next().unwrap_or_default();
    match name {
        "PartitionDown" | "PartitionInactive" => Outlook::Stuck("the partition takes jobs but starts none"),
        "ReqNodeNotAvail" | "NodeDown" => Outlook::Stuck(NODES_DOWN),
        _ if name.starts_with("Nodes_required_for_job_are_DOWN") => Outlook::Stuck(NODES_DOWN),
        "BadConstraints" => {
            Outlook::Hopeless("no node has what it asks for: see --constraint, --gres, --mem and --cpus-per-task")
        }
        "PartitionTimeLimit" => Outlook::Hopeless("the partition does not allow so much time: see --time"),
        "PartitionNodeLimit" => Outlook::Hopeless("the partition does not have the nodes it asks for"),
        "JobHeldUser" | "JobHeldAdmin" => Outlook::Hopeless("it is held; `scontrol release` lets a held job start"),
        "launch_failed_requeued_held" | "job_requeued_in_held_state" => {
            Outlook::Hopeless("its node could not start it: ask who runs the cluster to look at the node's slurmd log")
        }
        "InvalidAccount" | "AccountNotAllowed" => Outlook::Hopeless("the account is not valid here: see --account"),
        "InvalidQOS" | "QOSNotAllowed" => Outlook::Hopeless("the quality of service is not valid here: see --qos"),
        "DeadLine" => Outlook::Hopeless("it cannot end before its --deadline"),
        _ if name.ends_with("PerJobLimit") || name.ends_with("PerJob") => Outlook::Hopeless(ASKED_TOO_MUCH),
        _ => Outlook::Waits,
    }
}

/// The reason of a job whose dependencies can no longer be met.
pub(super) const NEVER_SATISFIED: &str = "DependencyNeverSatisfied";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_squeue() {
        let entry = QueueEntry::parse("12_3|RUNNING|train.htl-ab.1|None|n1|/shared/a|b").unwrap();
        assert_eq!(entry.job, "12_3");
        assert_eq!(entry.state, JobState::Running);
        assert_eq!((entry.reason.as_str(), entry.nodes.as_str()), ("", "n1"));
        assert_eq!(entry.folder, PathBuf::from("/shared/a|b"));
        let entry = QueueEntry::parse("7|PENDING|x|BadConstraints|(BadConstraints)|/o").unwrap();
        assert_eq!((entry.reason.as_str(), entry.nodes.as_str()), ("BadConstraints", ""));
        let drained = "7|PENDING|x|None|(Nodes required for job are DOWN, DRAINED or reserved for jobs in higher \
                       priority partitions)|/o";
        assert!(matches!(
            outlook(&QueueEntry::parse(drained).unwrap().reason),
            Outlook::Stuck(_)
        ));
        assert!(QueueEntry::parse("slurm_load_jobs error").is_err());
    }

    #[test]
    fn only_ends_are_ends() {
        for word in [
            "PENDING",
            "RUNNING",
            "COMPLETING",
            "CONFIGURING",
            "REQUEUED",
            "SUSPENDED",
            "NEW_WORD",
        ] {
            assert!(!JobState::parse(word).is_over(), "{word}");
        }
        for word in [
            "COMPLETED",
            "FAILED",
            "CANCELLED",
            "TIMEOUT",
            "NODE_FAIL",
            "PREEMPTED",
            "OUT_OF_MEMORY",
        ] {
            assert!(JobState::parse(word).is_over(), "{word}");
        }
    }

    #[test]
    fn reasons_that_pass_and_reasons_that_do_not() {
        for waits in [
            "Resources",
            "Priority",
            "BeginTime",
            "Dependency",
            "QOSMaxCpuPerUserLimit",
            "Licenses",
            "",
        ] {
            assert_eq!(outlook(waits), Outlook::Waits, "{waits}");
        }
        for stuck in ["PartitionDown", "ReqNodeNotAvail, UnavailableNodes:n[1-2]"] {
            assert!(matches!(outlook(stuck), Outlook::Stuck(_)), "{stuck}");
        }
        for hopeless in [
            "BadConstraints",
            "JobHeldUser",
            "QOSMaxMemoryPerJob",
            "launch failed requeued held",
        ] {
            assert!(matches!(outlook(hopeless), Outlook::Hopeless(_)), "{hopeless}");
        }
    }
}
