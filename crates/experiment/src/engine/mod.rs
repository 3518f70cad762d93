//! What runs a plan: this machine, several stages at a time, or a cluster.

mod child;
pub mod local;
mod perform;
mod progress;
mod record;
pub mod slurm;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

pub(crate) use child::is_held;
pub use child::{command_line, missing_library, run_to_end};
pub use perform::perform;
pub use record::{FAILURE_SUFFIX, Failure, LOGS, RECORD, Record, finished, log_path};
pub(crate) use record::{claims_to_be_finished, partial};

/// What every stage of a run has in common.
#[derive(Debug, Clone)]
pub struct Run {
    /// The `htl` program.
    pub htl: PathBuf,
    /// The output folder; must exist.
    pub out: PathBuf,
    /// Threads of each stage.
    pub threads: usize,
    /// When to stop before the end.
    pub stop: StopAt,
}

/// Reasons to stop before the end.
#[derive(Debug, Clone, Default)]
pub struct StopAt {
    /// Start nothing new and stop what can continue after this moment.
    pub deadline: Option<Instant>,
    /// Raised by a signal: stop everything.
    pub signal: Arc<AtomicBool>,
}

impl StopAt {
    /// Whether the deadline is over.
    pub fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Why a run was stopped, in words.
    pub(crate) fn reason(&self) -> &'static str {
        if self.is_signalled() {
            "by a signal"
        } else {
            "at the limit"
        }
    }

    /// What happens now that it is stopped, in words.
    pub(crate) fn consequence(&self) -> &'static str {
        if self.is_signalled() {
            "stopping: trainings save their state, other stages are ended; a second signal ends everything at once"
        } else {
            "stopping at the limit: trainings save their state, other stages may finish"
        }
    }

    /// Whether a signal came.
    pub fn is_signalled(&self) -> bool {
        self.signal.load(Ordering::Relaxed)
    }
}

/// What a stage in progress is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Go on.
    GoOn,
    /// End soon: save what can be saved.
    End,
    /// End now: nothing of it is kept.
    Drop,
}
