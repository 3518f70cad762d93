//! What is said about stages that failed.

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a log that a message shows.
const TAIL: usize = 25;
/// Failures that are told with the ends of their logs; of more only the reasons.
const WITH_TAIL: usize = 3;

/// Why a stage failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It ended with this exit code.
    Exit(i32),
    /// The node it was on does not see the folder of the run.
    Folder,
    /// The node it was on does not see the program.
    Program,
    /// It was killed by this signal.
    Signal(i32),
    /// It used more memory than it had asked for.
    Memory,
    /// Its job was cancelled.
    Cancelled,
    /// It reached its time limit and cannot go on from where it was.
    Time,
    /// It can never start.
    NeverStarts {
        /// Slurm's reason.
        reason: String,
        /// What to do.
        advice: &'static str,
    },
    /// Its job ended, but the stage is not finished.
    Unfinished,
    /// Its job ended without a fault of its own more often than can be chance.
    LostTooOften {
        /// What happened last.
        last: String,
    },
}

impl Display for Why {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        match self {
            Self::Exit(code) => write!(f, "it ended with exit code {code}"),
            Self::Folder => f.write_str(
                "its node does not see the folder of this run: --out must lie on storage that all nodes share",
            ),
            Self::Program => {
                f.write_str("its node does not see htl: the program must lie on storage that all nodes share")
            }
            Self::Signal(9) => f.write_str(
                "it was killed (signal 9), as a system out of memory does: more memory is --slurm-option --mem=...",
            ),
            Self::Signal(signal) => write!(f, "it was killed by signal {signal}"),
            Self::Memory => {
                f.write_str("it used more memory than it had asked for: ask for more with --slurm-option --mem=...")
            }
            Self::Cancelled => f.write_str("its job was cancelled"),
            Self::Time => f.write_str(
                "it reached its time limit: give it more with --slurm-option KIND:--time=..., as it cannot go on from \
                 where it was",
            ),
            Self::NeverStarts { reason, advice } => write!(f, "it can never start: Slurm says {reason} ({advice})"),
            Self::Unfinished => f.write_str("its job ended well, but the stage is not finished"),
            Self::LostTooOften { last } => write!(f, "it was submitted again and again, and at last {last}"),
        }
    }
}

/// A stage that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageFailure {
    /// Its name.
    pub stage: String,
    /// Its job.
    pub job: String,
    /// The node it was on; empty if it never started.
    pub node: String,
    /// Why.
    pub why: Why,
    /// The end of its log.
    pub tail: Vec<String>,
    /// Its log.
    pub log: PathBuf,
}

impl StageFailure {
    fn heading(&self, f: &mut Formatter) -> fmt::Result {
        write!(f, "`{}` (job {}", self.stage, self.job)?;
        if !self.node.is_empty() {
            write!(f, " on {}", self.node)?;
        }
        write!(f, "): {}", self.why)
    }
}

impl Display for StageFailure {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        self.heading(f)?;
        for line in &self.tail {
            write!(f, "\n  | {line}")?;
        }
        if !self.tail.is_empty() {
            write!(f, "\n  The whole log: {}", self.log.display())?;
        }
        Ok(())
    }
}

/// All that failed in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// The stages that failed.
    pub failed: Vec<StageFailure>,
    /// Stages that were not run as they need one that failed.
    pub dropped: usize,
    /// Stages of the plan.
    pub stages: usize,
}

impl Display for Failures {
    fn fmt(&self, f: &mut Formatter) -> fmt::Result {
        let Self {
            failed,
            dropped,
            stages,
        } = self;
        write!(f, "{} of {stages} stages failed", failed.len())?;
        if *dropped > 0 {
            write!(f, ", {dropped} more need what failed and did not run")?;
        }
        f.write_str(":")?;
        for (index, failure) in failed.iter().enumerate() {
            f.write_str("\n")?;
            if index < WITH_TAIL {
                failure.fmt(f)?;
            } else {
                failure.heading(f)?;
                write!(f, "; log {}", failure.log.display())?;
            }
        }
        let finished = stages.saturating_sub(failed.len() + dropped);
        write!(
            f,
            "\nFinished stages are kept ({finished} of {stages}); the same command submits only what is missing"
        )
    }
}

/// The last lines of a log; none if there is no such file.
pub(super) fn tail(log: &Path) -> Vec<String> {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(TAIL))
        .map(|line| line.to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(stage: &str, why: Why) -> StageFailure {
        StageFailure {
            stage: stage.into(),
            job: "12_3".into(),
            node: "n1".into(),
            why,
            tail: vec!["no such image".into()],
            log: "logs/a.log".into(),
        }
    }

    #[test]
    fn a_message_says_which_why_and_what_is_kept() {
        let mut failures = Failures {
            failed: vec![failure("a", Why::Exit(1))],
            dropped: 2,
            stages: 10,
        };
        let text = failures.to_string();
        for part in [
            "1 of 10",
            "2 more need what failed",
            "`a` (job 12_3 on n1)",
            "exit code 1",
            "| no such image",
            "7 of 10",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        failures.failed = vec![failure("a", Why::Memory); 6];
        let text = failures.to_string();
        assert_eq!(text.matches("| no such image").count(), WITH_TAIL, "{text}");
        assert_eq!(text.matches("`a`").count(), 6, "{text}");
    }

    #[test]
    fn a_tail_is_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert!(tail(&log).is_empty());
        let lines: Vec<String> = (0..100).map(|line| line.to_string()).collect();
        fs::write(&log, lines.join("\n")).unwrap();
        assert_eq!(tail(&log), lines[75..]);
    }
}
