use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use htl_experiment::engine::slurm::{Client, cancel};

use super::print;

/// `htl cancel`.
#[derive(Args)]
#[command(
    after_help = "Trainings save their state; `htl reproduce` goes on from there. A run on this machine is stopped by \
    Ctrl-C instead."
)]
pub struct CancelCommand {
    /// The folder of the run: `--out` of `htl reproduce`
    #[arg(long)]
    run: PathBuf,
}

impl CancelCommand {
    pub fn run(self) -> anyhow::Result<()> {
        let out = std::path::absolute(&self.run).with_context(|| format!("{} is no path", self.run.display()))?;
        match cancel(&Client::default(), &out)? {
            0 => print("this run has no Slurm jobs"),
            jobs => print(&format!("{jobs} jobs cancelled")),
        }
    }
}
