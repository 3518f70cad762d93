//! `cargo xtask check-iou`: builds `htl` and `htl-iou`, and lets `htl-iou` compare.

use crate::workspace::{build, build_htl, root};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::process::Command;

/// What `check-iou` takes.
#[derive(Debug, Default, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// What `htl-iou` takes; --help lists it. Without --htl, htl is built first
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    rest: Vec<OsString>,
}

/// Runs the command.
///
/// # Errors
/// When a build fails, or localization does not come out as in the baseline.
pub fn run(args: &Args) -> Result<()> {
    let tool = build("htl-iou", "htl-iou")?;
    let mut command = Command::new(&tool);
    if !args.rest.iter().any(is_help_or_htl) {
        command.arg("--htl").arg(build_htl()?);
    }
    let status = command
        .args(&args.rest)
        .arg("--repository")
        .arg(root())
        .status()
        .with_context(|| format!("cannot start {}", tool.display()))?;
    if !status.success() {
        bail!("the comparison ended with {status}; its message is above");
    }
    Ok(())
}

/// Whether a tool given this argument needs no htl of ours.
pub fn is_help_or_htl(argument: &OsString) -> bool {
    let argument = argument.to_string_lossy();
    matches!(&*argument, "--help" | "-h" | "--htl") || argument.starts_with("--htl=")
}
