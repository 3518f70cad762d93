use std::path::PathBuf;

use clap::Args;

use super::print;

/// `htl status`.
#[derive(Args)]
pub struct StatusCommand {
    /// The folder of the run: `--out` of `htl reproduce`
    #[arg(long)]
    run: PathBuf,
}

impl StatusCommand {
    pub fn run(self) -> anyhow::Result<()> {
        print(htl_experiment::status(&self.run)?.to_string().trim_end())
    }
}
