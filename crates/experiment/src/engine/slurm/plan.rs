//! Runs a plan with the engine, for `htl reproduce`.

use super::{
    Client, Display, Event, Outcome, Pace, Resources, Settings, SlurmOption, SlurmStage, Supervisor, Wish, run,
};
use crate::ExperimentError;
use crate::engine::local::Done;
use crate::engine::{RECORD, Run, StopAt, claims_to_be_finished, finished};
use crate::error::io;
use crate::plan::Plan;
use std::collections::BTreeSet;
use std::fs;

/// The cluster, and how a run uses it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Slurm {
    /// The commands of Slurm.
    pub client: Client,
    /// What stages ask for beyond the defaults.
    pub options: Vec<SlurmOption>,
    /// Waiting times.
    pub pace: Pace,
    /// Whether the jobs are followed to their end.
    pub follow: Follow,
}

/// Whether a run stays with its jobs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Follow {
    /// Until the last one has ended.
    #[default]
    ToTheEnd,
    /// Until all are submitted.
    Submission,
}

/// Runs every stage that is not finished yet as a Slurm job.
///
/// A signal cancels the jobs; at the deadline, those that can go on later or have not started.
///
/// # Errors
/// [`ExperimentError::Slurm`]; [`ExperimentError::Stopped`] by a signal or at the deadline; [`ExperimentError::Detached`] when
/// the jobs are not followed. Running again goes on from there.
pub fn run_plan(plan: &Plan, by: &Run, slurm: &Slurm) -> Result<Vec<Done>, ExperimentError> {
    let mut reused = BTreeSet::new();
    for stage in &plan.stages {
        let folder = by.out.join(&stage.folder);
        if finished(&by.out, stage).is_some() {
            reused.insert(stage.name.as_str());
        } else if folder.exists() {
            // Damaged: a record in it must not pass for that of the job.
            fs::remove_dir_all(&folder).map_err(io(&folder, "remove"))?;
        }
    }
    let stages = SlurmStage::of(plan);
    let settings = Settings {
        client: slurm.client.clone(),
        out: by.out.clone(),
        command: vec![by.htl.to_string_lossy().into_owned()],
        resources: Resources::new(slurm.options.clone()),
        pace: slurm.pace,
    };
    let mut watcher = Watcher {
        display: Display::new(&stages),
        stop: &by.stop,
        follow: slurm.follow,
    };
    let outcome = run(&stages, &settings, &mut watcher);
    watcher.display.close();
    match outcome? {
        Outcome::Finished => {}
        Outcome::Detached { missing } => {
            let out = by.out.clone();
            return Err(ExperimentError::Detached { out, missing });
        }
        Outcome::Stopped { finished, stages } => {
            let why = by.stop.reason();
            return Err(ExperimentError::Stopped { why, finished, stages });
        }
    }
    let done = plan.stages.iter().map(|stage| {
        let record = claims_to_be_finished(&by.out, stage).ok_or_else(|| {
            let path = by.out.join(&stage.folder).join(RECORD);
            io(path, "read")(std::io::ErrorKind::InvalidData.into())
        })?;
        Ok(Done {
            reused: reused.contains(stage.name.as_str()),
            record,
        })
    });
    done.collect()
}

struct Watcher<'a> {
    display: Display,
    stop: &'a StopAt,
    follow: Follow,
}

impl Supervisor for Watcher<'_> {
    fn event(&mut self, event: Event) {
        self.display.show(&event);
    }

    fn wish(&mut self) -> Wish {
        if self.stop.is_signalled() {
            Wish::Cancel
        } else if self.stop.is_late() {
            Wish::WindDown
        } else if self.follow == Follow::Submission {
            Wish::Detach
        } else {
            Wish::GoOn
        }
    }
}
