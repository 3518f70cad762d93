//! Where the stages of a run stand, for the engine that runs it.

use super::failure::tail;
use super::record::{Ended, Records};
use super::{Failures, Outcome, Settings, SlurmError, SlurmStage, StageFailure, Why};
use crate::engine::{LOGS, RECORD};
use std::path::{Path, PathBuf};

/// Times that a stage is submitted again after a job that was lost.
const MOST_LOSSES: usize = 5;

/// Lines that Slurm itself writes into a job's output, shown beside the stage's own log.
const WORDS_OF_SLURM: [&str; 2] = ["slurmstepd", "slurmd"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    Missing,
    Queued(String),
    Finished,
    Failed,
    /// Needs a stage that failed.
    Dropped,
}

pub(super) struct Board<'a> {
    pub stages: &'a [SlurmStage],
    pub settings: &'a Settings,
    pub records: Records,
    states: Vec<State>,
    losses: Vec<usize>,
    failures: Vec<StageFailure>,
    /// Stages in the queue when Slurm took no more.
    pub full_at: Option<usize>,
}

/// Whether a stage is finished: its folder holds the record that `htl stage` writes last.
pub(super) fn finished(out: &Path, stage: &SlurmStage) -> bool {
    out.join(&stage.folder).join(RECORD).exists()
}

/// The log that `htl stage` writes.
pub(super) fn log(out: &Path, stage: &SlurmStage) -> PathBuf {
    out.join(LOGS).join(format!("{}.log", stage.folder_name()))
}

impl<'a> Board<'a> {
    pub fn new(stages: &'a [SlurmStage], settings: &'a Settings) -> Result<Self, SlurmError> {
        let records = Records::create(&settings.out)?;
        let state = |stage| match finished(&settings.out, stage) {
            true => State::Finished,
            false => State::Missing,
        };
        Ok(Self {
            stages,
            settings,
            records,
            states: stages.iter().map(state).collect(),
            losses: vec![0; stages.len()],
            failures: Vec::new(),
            full_at: None,
        })
    }

    pub fn state(&self, index: usize) -> &State {
        self.states.get(index).unwrap_or(&State::Missing)
    }

    pub fn set(&mut self, index: usize, state: State) {
        if let Some(old) = self.states.get_mut(index) {
            *old = state;
        }
    }

    /// Stages in a state, in the plan's order.
    pub fn in_state(&self, wanted: State) -> impl Iterator<Item = usize> {
        let states = self.states.iter().enumerate();
        states
            .filter(move |(_, state)| **state == wanted)
            .map(|(index, _)| index)
    }

    /// Stages with a job, and the job.
    pub fn queued(&self) -> impl Iterator<Item = (usize, &str)> {
        self.states.iter().enumerate().filter_map(|(index, state)| match state {
            State::Queued(job) => Some((index, job.as_str())),
            _ => None,
        })
    }

    pub fn finished(&self) -> usize {
        self.in_state(State::Finished).count()
    }

    pub fn failed(&self) -> usize {
        self.failures.len()
    }

    /// Whether a stage needs one that failed.
    pub fn is_barred(&self, index: usize) -> bool {
        let needs = self.stages.get(index).map_or(&[][..], |stage| &stage.needs);
        needs
            .iter()
            .any(|need| matches!(self.state(*need), State::Failed | State::Dropped))
    }

    /// Drops what needs a stage that failed.
    pub fn drop_barred(&mut self) {
        for index in 0..self.stages.len() {
            if *self.state(index) == State::Missing && self.is_barred(index) {
                self.set(index, State::Dropped);
            }
        }
    }

    /// Notes that a job was lost without a fault of its own. The stage is missing again, or has failed if that happened too
    /// often: the failure is then returned.
    pub fn lose(&mut self, index: usize, job: &str, node: &str, why: &str) -> Result<Option<StageFailure>, SlurmError> {
        let losses = self.losses.get(index).copied().unwrap_or_default() + 1;
        if losses > MOST_LOSSES {
            let why = Why::LostTooOften { last: why.into() };
            return self.fail(index, job, node, why).map(Some);
        }
        if let Some(old) = self.losses.get_mut(index) {
            *old = losses;
        }
        self.set(index, State::Missing);
        Ok(None)
    }

    /// Notes a failure, here and for `htl status`.
    pub fn fail(&mut self, index: usize, job: &str, node: &str, why: Why) -> Result<StageFailure, SlurmError> {
        let Some(stage) = self.stages.get(index) else {
            return Err(SlurmError::Order { stage: job.into() });
        };
        let log = log(&self.settings.out, stage);
        let mut lines = tail(&log);
        let said = self.output_of(job).map(|path| tail(&path)).unwrap_or_default();
        // The whole output where there is no log: the stage did not get so far.
        let alone = lines.is_empty();
        lines.extend(
            said.into_iter()
                .filter(|line| alone || WORDS_OF_SLURM.iter().any(|word| line.starts_with(word))),
        );
        let ended = Ended {
            exit: match why {
                Why::Exit(code) => Some(code),
                _ => None,
            },
            why: Some(why.to_string()),
            job: job.into(),
            node: node.into(),
        };
        self.records.set_ended(stage.folder_name(), &ended)?;
        let failure = StageFailure {
            stage: stage.name.clone(),
            job: job.into(),
            node: node.into(),
            why,
            tail: lines,
            log,
        };
        self.set(index, State::Failed);
        self.failures.push(failure.clone());
        Ok(failure)
    }

    /// The file in which Slurm keeps what a job writes: it begins with what the job does and ends with its number.
    fn output_of(&self, job: &str) -> Option<PathBuf> {
        let folder = std::fs::read_dir(self.settings.out.join(LOGS)).ok()?;
        let end = format!(".{job}{OUTPUT_END}");
        let mut names = folder.filter_map(|entry| entry.ok()).map(|entry| entry.path());
        names.find(|path| path.to_string_lossy().ends_with(&end))
    }

    /// The end of a run of which nothing is in the queue any more.
    pub fn close(mut self) -> Result<Outcome, SlurmError> {
        self.drop_barred();
        if self.failures.is_empty() {
            let (finished, stages) = (self.finished(), self.stages.len());
            return Ok(match finished == stages {
                true => Outcome::Finished,
                false => Outcome::Stopped { finished, stages },
            });
        }
        let dropped = self.in_state(State::Dropped).count();
        Err(SlurmError::Stages(Box::new(Failures {
            failed: self.failures,
            dropped,
            stages: self.stages.len(),
        })))
    }
}

/// End of the name of a file in which Slurm keeps what a job writes.
pub(super) const OUTPUT_END: &str = ".slurm.log";
