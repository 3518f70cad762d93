use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use htl_device::Choice;
use htl_experiment::ExperimentError;

use super::experiment::{ExperimentArgs, TRY_AGAIN};
use crate::signals::raise_on_signals;

/// `htl reproduce`.
#[derive(Args)]
#[command(
    after_help = "Ctrl-C, SIGTERM and the time limit end it with exit code 75: trainings save their state, and the same \
    command goes on."
)]
pub struct ReproduceCommand {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// Stages at a time; if left out, as many as there are cores, or 4 where they share a GPU
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Stop after so many minutes, with exit code 75; the same command then goes on. Trainings save their state, other
    /// stages may finish
    #[arg(long, value_name = "MINUTES")]
    time_limit: Option<f64>,
}

impl ReproduceCommand {
    pub fn run(self, device: Choice) -> anyhow::Result<ExitCode> {
        let begin = Instant::now();
        let mut reproduce = self.experiment.reproduce(device)?;
        if let Some(jobs) = self.jobs {
            reproduce.jobs = jobs.get();
        }
        if let Some(minutes) = self.time_limit {
            reproduce.stop.deadline = Some(htl_experiment::time_limit(begin, minutes)?);
        }
        raise_on_signals(&reproduce.stop.signal).context("cannot install signal handlers")?;
        match htl_experiment::reproduce(&reproduce) {
            Ok(made) => {
                eprintln!("{}", made.summary(&reproduce.selection, begin.elapsed()));
                Ok(ExitCode::SUCCESS)
            }
            Err(stopped @ ExperimentError::Stopped { .. }) => {
                eprintln!("{stopped}");
                Ok(ExitCode::from(TRY_AGAIN))
            }
            Err(error) => Err(error.into()),
        }
    }
}
