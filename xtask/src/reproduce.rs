//! `cargo xtask reproduce`: builds `htl` in release mode and calls `htl reproduce` with the same arguments.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::{build_htl, repository};

/// Data in the repository.
pub const EMBEDDED_DATA: &str = "data-manifest/embedded";

/// What `reproduce` takes: `--htl PATH`, a ready-made program, and everything that `htl reproduce` takes.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Args {
    /// `--htl PATH`, a ready-made htl that is not built first, and what `htl reproduce` takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    options: Vec<OsString>,
}

/// Runs the command; on Unix this process becomes `htl`, so that signals reach it.
///
/// # Errors
/// When `htl` cannot be built or started.
pub fn run(args: &Args) -> Result<()> {
    let (htl, options) = split(&args.options)?;
    let htl = match htl {
        Some(htl) => htl
            .canonicalize()
            .with_context(|| format!("there is no htl at {}", htl.display()))?,
        None => build_htl()?,
    };
    let mut command = Command::new(&htl);
    command.arg("reproduce").args(options);
    if let Some(repository) = repository() {
        command.arg("--repository").arg(repository);
    }
    replace(command).with_context(|| format!("cannot start {}", htl.display()))
}

/// The value of `--htl`, and the other options.
fn split(options: &[OsString]) -> Result<(Option<PathBuf>, Vec<&OsString>)> {
    let (mut htl, mut others) = (None, Vec::new());
    let mut options = options.iter();
    while let Some(option) = options.next() {
        if option == "--htl" {
            let path = options.next().context("--htl needs the path of a program")?;
            htl = Some(PathBuf::from(path));
        } else if let Some(path) = option.to_str().and_then(|text| text.strip_prefix("--htl=")) {
            htl = Some(PathBuf::from(path));
        } else {
            others.push(option);
        }
    }
    Ok((htl, others))
}

#[cfg(unix)]
fn replace(mut command: Command) -> Result<()> {
    use std::os::unix::process::CommandExt;
    Err(command.exec().into())
}

#[cfg(not(unix))]
fn replace(mut command: Command) -> Result<()> {
    let status = command.status()?;
    std::process::exit(status.code().unwrap_or(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_taken_out_and_the_rest_passed_on() {
        let words = |text: &str| -> Vec<OsString> { text.split(' ').map(OsString::from).collect() };
        for text in [
            "--profile tiny --htl a/htl --jobs 2",
            "--htl=a/htl --profile tiny --jobs 2",
        ] {
            let options = words(text);
            let (htl, others) = split(&options).unwrap();
            assert_eq!(htl, Some(PathBuf::from("a/htl")));
            assert_eq!(others, ["--profile", "tiny", "--jobs", "2"]);
        }
        assert!(split(&words("--htl")).is_err());
    }
}
