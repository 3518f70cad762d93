//! `cargo xtask bench`: builds `htl` and `htl-bench`, and lets `htl-bench compare` measure.

use crate::check_iou::is_help_or_htl;
use crate::workspace::{build, build_htl};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// What `bench` takes.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// A ready-made htl-bench; built first if left out. Comes before all other flags
    #[arg(long, value_name = "PROGRAM")]
    tool: Option<PathBuf>,
    /// What `htl-bench compare` takes; --help lists it. Without --htl, htl is built first
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    rest: Vec<OsString>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let tool = match &args.tool {
        Some(tool) => tool.clone(),
        None => build("htl-bench", "htl-bench")?,
    };
    let mut command = Command::new(&tool);
    command.arg("compare");
    if !args.rest.iter().any(is_help_or_htl) {
        command.arg("--htl").arg(build_htl()?);
    }
    let status = command
        .args(&args.rest)
        .status()
        .with_context(|| format!("cannot start {}", tool.display()))?;
    if !status.success() {
        bail!("the measurement ended with {status}; its message is above");
    }
    Ok(())
}
