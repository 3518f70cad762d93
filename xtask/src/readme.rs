//! `cargo xtask readme`: keeps the tables of the documentation equal to what they are tables of: the registries, and the committed
//! results of the embedded run. The test `tables` compares and writes them; this command commits results first.

use crate::workspace::{cargo, root};
use anyhow::{Context, Result, bail};
use htl_vocabulary::{Results, write_whole};
use std::fs;
use std::path::PathBuf;

/// Committed results, relative to the root.
const RESULTS: &str = "tests/baselines/embedded-results.json";

/// The profile whose results the README shows.
const PROFILE: &str = "embedded";

/// What `readme` takes.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Args {
    /// Fails if a table is not what it should be
    #[arg(long)]
    check: bool,
    /// Writes the tables
    #[arg(long)]
    write: bool,
    /// Commits these results (a results.json of the embedded profile) first, then writes
    #[arg(long)]
    from: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Results that cannot be read or are of another profile; with `--check`, a table that is not what it should be.
pub fn run(args: &Args) -> Result<()> {
    if let Some(from) = &args.from {
        let results = Results::read(from)?;
        if results.profile != PROFILE {
            bail!(
                "{} is of the profile {}, not {PROFILE}",
                from.display(),
                results.profile
            );
        }
        let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        write_whole(&root().join(RESULTS), bytes)?;
    }
    let mut command = cargo();
    // The whole workspace: what its other tests were built with is used again.
    command.args(["test", "--quiet", "--workspace", "--test", "tables"]);
    if !args.check {
        command.env("UPDATE_TABLES", "1");
    }
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("a table is not what it should be; the message above names it");
    }
    Ok(())
}
