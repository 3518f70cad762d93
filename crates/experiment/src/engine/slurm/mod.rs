//! Runs stages as jobs of a Slurm cluster.
//!
//! [`run`] submits what is missing, alike stages as arrays, each after what it needs (`afterok`, `aftercorr`), and follows
//! the jobs to their end. All it knows is in the folder of the run and in Slurm's queue, so that a run that was killed or
//! left alone is taken up by the next one: stages that are finished stay finished, jobs in the queue are adopted.
//!
//! The nodes, and the machine that submits, share the folder of the run and the program. Each task runs
//! `htl stage ID --run OUT --threads N`. A stage that is told to stop (`SIGUSR1` before the time limit) saves its state, exits with 75
//! and goes back to the queue; a job whose node failed is requeued by Slurm.

mod adopt;
mod arrays;
mod board;
mod client;
mod display;
pub(crate) mod error;
mod failure;
mod plan;
mod queue;
mod record;
mod resources;
mod script;
mod status;
mod submit;
mod watch;

pub use adopt::cancel;
pub use client::Client;
pub use display::Display;
pub use error::SlurmError;
pub use failure::{Failures, StageFailure, Why};
pub use plan::{Follow, Slurm, run_plan};
pub use queue::{JobState, Outlook, QueueEntry, outlook};
pub use resources::{Resources, SlurmOption};
pub use status::{Standing, status};

use crate::plan::{Kind, Plan, Unfinished};
use board::Board;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use watch::Watch;

/// A stage, as far as Slurm is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlurmStage {
    /// What `htl stage` is given.
    pub name: String,
    /// Its folder, relative to that of the run: `stages/NAME-KEY`.
    pub folder: String,
    /// What kind of stage it is: what it asks for, and whether it can go on from where it was stopped.
    pub kind: Kind,
    /// Positions of the stages that it needs; they come before it.
    pub needs: Vec<usize>,
}

impl SlurmStage {
    /// The stages of a plan.
    pub fn of(plan: &Plan) -> Vec<Self> {
        let stages = plan.stages.iter().zip(plan.dependencies());
        stages
            .map(|(stage, needs)| Self {
                name: stage.name.clone(),
                folder: stage.folder.clone(),
                kind: stage.kind,
                needs,
            })
            .collect()
    }

    /// The last part of its folder, which also names its log.
    fn folder_name(&self) -> &str {
        self.folder.rsplit('/').next().unwrap_or(&self.folder)
    }

    /// Whether it can go on from where it was stopped.
    fn goes_on(&self) -> bool {
        self.kind.unfinished() == Unfinished::Continue
    }
}

/// How to run stages.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The commands of Slurm.
    pub client: Client,
    /// The folder of the run, absolute, as the nodes see it.
    pub out: PathBuf,
    /// `htl`, absolute, and arguments before `stage`.
    pub command: Vec<String>,
    /// What stages ask for.
    pub resources: Resources,
    /// Waiting times.
    pub pace: Pace,
}

/// Waiting times of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two looks at the queue.
    pub poll: Duration,
    /// Until a file that a node wrote must be visible here. Shared storage may be a minute late.
    pub storage: Duration,
    /// Until a reason for which a job can never start is believed.
    pub hopeless: Duration,
    /// Until a run of which nothing can start, for a reason that may pass, is left alone.
    pub stuck: Duration,
    /// Until a controller that does not answer is given up.
    pub controller: Duration,
    /// Until cancelled jobs must have ended.
    pub cancel: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(5),
            storage: Duration::from_secs(90),
            hopeless: Duration::from_secs(30),
            stuck: Duration::from_secs(600),
            controller: Duration::from_secs(1800),
            cancel: Duration::from_secs(120),
        }
    }
}

/// How a run ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every stage is finished.
    Finished,
    /// The jobs go on without us.
    Detached {
        /// Stages that Slurm did not take yet, as too many are in the queue.
        missing: usize,
    },
    /// The jobs were cancelled, as [`Wish::Cancel`] or [`Wish::WindDown`] asked.
    Stopped {
        /// Stages finished, by this run or before.
        finished: usize,
        /// Stages of the plan.
        stages: usize,
    },
}

/// What is to become of a run that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It goes on.
    GoOn,
    /// What is missing is submitted, and we leave the jobs to themselves.
    Detach,
    /// Its jobs are cancelled.
    Cancel,
    /// What waits, or can go on later, is cancelled; the rest runs to its end.
    WindDown,
}

/// What happens in a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The run begins.
    Begins {
        /// Stages that are finished.
        finished: usize,
        /// Stages whose jobs are in the queue already.
        adopted: usize,
        /// Stages of the plan.
        stages: usize,
    },
    /// A job was submitted.
    Submitted {
        /// Its number.
        job: &'a str,
        /// Its stages, by their positions.
        stages: &'a [usize],
    },
    /// A stage is finished.
    Finished(usize),
    /// A stage failed.
    Failed(usize, &'a StageFailure),
    /// A job ended without a fault of its own; the stage is submitted again.
    Lost {
        /// The stage's position.
        stage: usize,
        /// What happened.
        why: &'a str,
    },
    /// The controller does not answer; we go on asking.
    Silent(&'a SlurmError),
    /// A look at the queue.
    Looked(&'a Snapshot),
}

/// Where all stages stand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Stages of the plan.
    pub stages: usize,
    /// Stages that are finished.
    pub finished: usize,
    /// Positions of those that run.
    pub running: Vec<usize>,
    /// Stages that failed.
    pub failed: usize,
    /// How many wait, by Slurm's reason.
    pub waiting: BTreeMap<String, usize>,
}

/// Who started a run: hears what happens and says whether it goes on.
pub trait Supervisor {
    /// Something happened.
    fn event(&mut self, event: Event);

    /// Asked several times a second.
    fn wish(&mut self) -> Wish {
        Wish::GoOn
    }
}

/// Runs every stage that is not finished, as jobs, and follows them to their end.
///
/// # Errors
/// [`SlurmError::Stages`] after everything ended that does not need a failed stage; the other errors at once. Running again
/// goes on from there.
pub fn run(stages: &[SlurmStage], settings: &Settings, supervisor: &mut dyn Supervisor) -> Result<Outcome, SlurmError> {
    for (index, stage) in stages.iter().enumerate() {
        if stage.needs.iter().any(|need| *need >= index) {
            return Err(SlurmError::Order {
                stage: stage.name.clone(),
            });
        }
    }
    let mut board = Board::new(stages, settings)?;
    adopt::adopt(&mut board)?;
    supervisor.event(Event::Begins {
        finished: board.finished(),
        adopted: board.queued().count(),
        stages: stages.len(),
    });
    let mut watch = Watch::default();
    loop {
        if !watch.is_winding_down() {
            submit::submit(&mut board, supervisor)?;
        }
        if board.queued().next().is_none() {
            return board.close();
        }
        if let Some(outcome) = watch.step(&mut board, supervisor)? {
            return Ok(outcome);
        }
    }
}
