//! `cargo xtask readme`: keeps the results in README.md equal to the committed results of the embedded run.

use crate::workspace::{cargo, root};
use anyhow::{Context, Result, bail};
use htl_vocabulary::{Results, write_whole};
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

/// Committed results, relative to the root.
pub const RESULTS: &str = "tests/baselines/embedded-results.json";
const BEGIN: &str = "<!-- results:begin (cargo xtask readme --write) -->";
const END: &str = "<!-- results:end -->";

/// The profile whose results the README shows.
const PROFILE: &str = "embedded";

/// What `readme` takes.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Args {
    /// Fails if the table is not that of the committed results
    #[arg(long)]
    check: bool,
    /// Writes the table from the committed results
    #[arg(long)]
    write: bool,
    /// Commits these results (a results.json of the embedded profile) first, then writes
    #[arg(long)]
    from: Option<PathBuf>,
}

/// Runs the command.
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
    if args.check { check() } else { write() }
}

/// Fails if README.md differs from what `write` would make of it.
pub fn check() -> Result<()> {
    let (path, found, expected) = sides()?;
    if found != expected {
        bail!(
            "the results in {} are not those of {RESULTS}: run `cargo xtask readme --write`",
            path.display()
        );
    }
    println!("readme: the results are the committed ones");
    Ok(())
}

fn write() -> Result<()> {
    let (path, found, expected) = sides()?;
    if found != expected {
        write_whole(&path, expected)?;
        println!("{} written", path.display());
    }
    Ok(())
}

/// The committed results as tables, by an example of `htl-report`: this program is built sooner without that crate.
fn table() -> Result<String> {
    let output = cargo()
        .args([
            "run",
            "--quiet",
            "--package",
            "htl-report",
            "--example",
            "markdown_table",
            "--",
        ])
        .arg(root().join(RESULTS))
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("{RESULTS} cannot be made into tables; the message is above. `cargo xtask readme --from` makes it anew");
    }
    String::from_utf8(output.stdout).context("the tables are not text")
}

/// The README's path, its text, and the text it should have.
fn sides() -> Result<(PathBuf, String, String)> {
    let path = root().join("README.md");
    let found = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let expected = replaced(&found, &table()?)?;
    Ok((path, found, expected))
}

/// The text with everything between the markers replaced.
fn replaced(text: &str, table: &str) -> Result<String> {
    let (Some(begin), Some(end)) = (text.find(BEGIN), text.find(END)) else {
        bail!("README.md has no lines `{BEGIN}` and `{END}`");
    };
    if end < begin {
        bail!("README.md has `{END}` before `{BEGIN}`");
    }
    Ok(format!("{}\n\n{table}\n{}", &text[..begin + BEGIN.len()], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacing_is_stable() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let once = replaced(&text, "new\n").unwrap();
        assert!(
            once.contains("new") && !once.contains("old") && once.starts_with("before") && once.ends_with("after\n")
        );
        assert_eq!(replaced(&once, "new\n").unwrap(), once);
        assert!(replaced("nothing", "new").is_err());
    }
}
