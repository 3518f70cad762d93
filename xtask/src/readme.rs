//! `cargo xtask readme`: keeps the tables of the documentation equal to what they are tables of: the registries, and the committed
//! results of the embedded runs. The test `tables` compares and writes them; this command commits results first.

use crate::workspace::{cargo, root};
use anyhow::{Context, Result, bail};
use htl_vocabulary::{Results, write_whole};
use std::fs;
use std::path::PathBuf;

/// Profiles whose results the documentation shows; they are committed as `NAME-results.json` in this folder.
const PROFILES: [&str; 2] = ["embedded", "embedded-pretrained"];
const BASELINES: &str = "tests/baselines";

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
    /// Commits these results (a results.json of the embedded or embedded-pretrained profile) first, then writes
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
        let profile = &results.profile;
        if !PROFILES.contains(&profile.as_str()) {
            bail!(
                "{} is of the profile {profile}, not {}",
                from.display(),
                PROFILES.join(" or ")
            );
        }
        let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        write_whole(&root().join(BASELINES).join(format!("{profile}-results.json")), bytes)?;
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
