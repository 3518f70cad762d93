use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use htl_device::Choice;
use htl_experiment::engine::slurm::{Follow, Slurm, SlurmOption};
use htl_experiment::{Engine, ExperimentError};

use super::experiment::{ExperimentArgs, TRY_AGAIN};
use crate::signals::raise_on_signals;

/// `htl reproduce`.
#[derive(Args)]
#[command(
    after_help = "Ctrl-C, SIGTERM and the time limit end it with exit code 75: trainings save their state, and the same \
    command goes on. With --engine slurm they cancel the jobs."
)]
pub struct ReproduceCommand {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// What runs the stages: this machine, or jobs of a Slurm cluster (docs/cluster.md)
    #[arg(long, value_enum, default_value = "local")]
    engine: EngineName,
    /// With --engine slurm, an option of sbatch for every stage (--slurm-option=--partition=gpu) or for one kind of stage
    /// (--slurm-option=train:--gres=gpu:1); may be given again
    #[arg(long, value_name = "[KIND:]OPTION", allow_hyphen_values = true)]
    slurm_option: Vec<SlurmOption>,
    /// With --engine slurm, submit the jobs and leave them to themselves; the same command later follows them
    #[arg(long)]
    detach: bool,
    /// Stages at a time; if left out, as many as there are cores, or 4 where they share a GPU
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Stop after so many minutes, with exit code 75; the same command then goes on. Trainings save their state, other
    /// stages may finish
    #[arg(long, value_name = "MINUTES")]
    time_limit: Option<f64>,
}

/// What runs the stages.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum EngineName {
    Local,
    Slurm,
}

impl ReproduceCommand {
    /// The engine and how it is used.
    fn engine(&self) -> anyhow::Result<Engine> {
        match self.engine {
            EngineName::Local if self.detach || !self.slurm_option.is_empty() => {
                bail!("--slurm-option and --detach are for --engine slurm")
            }
            EngineName::Local => Ok(Engine::Local),
            EngineName::Slurm => Ok(Engine::Slurm(Slurm {
                options: self.slurm_option.clone(),
                follow: if self.detach {
                    Follow::Submission
                } else {
                    Follow::ToTheEnd
                },
                ..Slurm::default()
            })),
        }
    }

    pub fn run(self, device: Choice) -> anyhow::Result<ExitCode> {
        let begin = Instant::now();
        let mut reproduce = self.experiment.reproduce(device)?;
        reproduce.engine = self.engine()?;
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
            Err(detached @ ExperimentError::Detached { .. }) => {
                eprintln!("{detached}");
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => Err(error.into()),
        }
    }
}
