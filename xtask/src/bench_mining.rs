//! `cargo xtask bench-mining`: makes the development data at 64 pixels, and lets `htl-bench mining` train, score and judge.

use crate::workspace::{build, root, target};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Side of the images, in pixels.
const SIDE: &str = "64";

/// What `bench-mining` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the collected ISIC copies: metadata.csv, extra.csv, isic2018, isic2017_fullframe ...
    #[arg(long, value_name = "DIR")]
    isic: PathBuf,
    /// A few scenarios, seeds and steps: minutes instead of hours
    #[arg(long)]
    quick: bool,
    /// Trainings per scenario
    #[arg(long)]
    seeds: Option<u64>,
    /// Epochs of a dense training
    #[arg(long)]
    epochs: Option<u64>,
    /// Only this scenario; may be repeated
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Scenarios at a time; as many as there are cores if left out
    #[arg(long)]
    jobs: Option<u64>,
    /// Where data, networks and tables go; target/bench-mining, or target/bench-mining-quick
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Runs the command; what is done already is not done again.
///
/// # Errors
/// When a build or a program fails; its message has then been printed.
pub fn run(args: &Args) -> Result<()> {
    let out = match &args.out {
        Some(out) => out.clone(),
        None => target()?.join(if args.quick {
            "bench-mining-quick"
        } else {
            "bench-mining"
        }),
    };
    let (data, old) = (out.join("development"), out.join("masks-2017"));
    if !data.exists() || !old.exists() {
        let isic_data = build("htl-isic-data", "htl-isic-data")?;
        let isic = args.isic.as_path();
        if !data.exists() {
            let splits = root().join("data-manifest/development.csv");
            let mut command = Command::new(&isic_data);
            command.args(["make-data-folder", "--source", "isic2018", "--side", SIDE]);
            give(
                &mut command,
                &[("--isic", isic), ("--splits", &splits), ("--out", &data)],
            )?;
        }
        if !old.exists() {
            let mut command = Command::new(&isic_data);
            command.arg("make-old-masks");
            give(&mut command, &[("--isic", isic), ("--data", &data), ("--out", &old)])?;
        }
    }
    let mut command = Command::new(build("htl-bench", "htl-bench")?);
    command.arg("mining");
    if args.quick {
        command.arg("--quick");
    }
    let numbers = [
        ("--seeds", args.seeds),
        ("--epochs", args.epochs),
        ("--jobs", args.jobs),
    ];
    for (flag, value) in numbers {
        if let Some(value) = value {
            command.args([flag, &value.to_string()]);
        }
    }
    args.only.iter().for_each(|name| {
        command.args(["--only", name]);
    });
    give(&mut command, &[("--data", &data), ("--revised", &old), ("--out", &out)])
}

/// Runs a program with these paths.
fn give(command: &mut Command, paths: &[(&str, &Path)]) -> Result<()> {
    for (flag, path) in paths {
        command.arg(flag).arg(path);
    }
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "{program} ended with {status}; its message is above");
    Ok(())
}
