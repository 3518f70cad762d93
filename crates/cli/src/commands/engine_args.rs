use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use htl_experiment::engine::slurm::{Follow, Slurm, SlurmOption};
use htl_experiment::{Engine, ExperimentError, Reproduce};

use super::experiment::TRY_AGAIN;
use crate::signals::raise_on_signals;

/// What runs the stages of an experiment, and for how long.
#[derive(Args)]
pub struct EngineArgs {
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

impl EngineArgs {
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

    /// Makes a run one on this engine, which signals and the time limit stop.
    pub fn put_to(&self, run: &mut Reproduce, begin: Instant) -> anyhow::Result<()> {
        run.engine = self.engine()?;
        if let Some(jobs) = self.jobs {
            run.jobs = jobs.get();
        }
        if let Some(minutes) = self.time_limit {
            run.stop.deadline = Some(htl_experiment::time_limit(begin, minutes)?);
        }
        raise_on_signals(&run.stop.signal).context("cannot install signal handlers")
    }
}

/// The exit code of a run that was stopped or left to itself, which is told; any other error is passed on.
pub fn unfinished(error: anyhow::Error) -> anyhow::Result<ExitCode> {
    let code = match error.downcast_ref() {
        Some(ExperimentError::Stopped { .. }) => ExitCode::from(TRY_AGAIN),
        Some(ExperimentError::Detached { .. }) => ExitCode::SUCCESS,
        _ => return Err(error),
    };
    eprintln!("{error}");
    Ok(code)
}
