use std::process::ExitCode;
use std::time::Instant;

use clap::Args;
use htl_device::Choice;

use super::engine_args::{EngineArgs, unfinished};
use super::experiment::ExperimentArgs;

/// `htl reproduce`.
#[derive(Args)]
#[command(
    after_help = "Ctrl-C, SIGTERM and the time limit end it with exit code 75: trainings save their state, and the same \
    command goes on. With --engine slurm they cancel the jobs."
)]
pub struct ReproduceCommand {
    #[command(flatten)]
    experiment: ExperimentArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

impl ReproduceCommand {
    pub fn run(self, device: Choice) -> anyhow::Result<ExitCode> {
        let begin = Instant::now();
        let mut reproduce = self.experiment.reproduce(device)?;
        self.engine.put_to(&mut reproduce, begin)?;
        match htl_experiment::reproduce(&reproduce) {
            Ok(made) => {
                eprintln!("{}", made.summary(&reproduce.selection, begin.elapsed()));
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => unfinished(error.into()),
        }
    }
}
