use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use htl_experiment::engine::{Run, StopAt};
use htl_experiment::{cores, run_stage};

use super::experiment::TRY_AGAIN;
use crate::signals::raise_on_signals;

/// `htl stage`.
#[derive(Args)]
#[command(
    after_help = "SIGTERM and SIGUSR1 end it with exit code 75: a training saves its state, and the same command goes on. \
    A stage that is finished is left as it is."
)]
pub struct StageCommand {
    /// The stage, as `htl plan` names it
    name: String,
    /// The folder of the run: `--out` of `htl reproduce`
    #[arg(long)]
    run: PathBuf,
    /// Threads; if left out, as many as there are cores
    #[arg(long)]
    threads: Option<usize>,
}

impl StageCommand {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let out = std::path::absolute(&self.run).with_context(|| format!("{} is no path", self.run.display()))?;
        let run = Run {
            htl: std::env::current_exe().context("this program cannot find itself")?,
            out,
            threads: self.threads.unwrap_or_else(cores),
            stop: StopAt::default(),
        };
        raise_on_signals(&run.stop.signal).context("cannot install signal handlers")?;
        match run_stage(&run, &self.name)? {
            Some(record) => {
                eprintln!(
                    "{}: finished in {:.1} s, {}",
                    record.name, record.seconds, record.folder
                );
                Ok(ExitCode::SUCCESS)
            }
            None => {
                eprintln!("{}: stopped before its end; the same command goes on", self.name);
                Ok(ExitCode::from(TRY_AGAIN))
            }
        }
    }
}
