//! `cargo xtask check-cuda`: does the feature `cuda` still compile? No GPU is needed, but a CUDA toolkit is.

use crate::workspace::{cargo, root};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `check-cuda` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A bash script that puts a CUDA toolkit into the environment; without it, the toolkit that CUDA_HOME names or whose
    /// nvcc is on the path
    #[arg(long)]
    toolkit: Option<PathBuf>,
}

/// A target folder of its own: features change everything below candle.
const TARGET: &str = "target/cuda";

/// Runs the command: kernels to PTX, then every crate with the feature, tests included.
pub fn run(args: &Args) -> Result<()> {
    let mut command = cargo();
    command.args([
        "check",
        "--release",
        "--package",
        "htl-cli",
        "--features",
        "cuda",
        "--target-dir",
        TARGET,
    ]);
    command.env(
        "CUDA_COMPUTE_CAP",
        std::env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| "90".into()),
    );
    if let Some(script) = &args.toolkit {
        for (name, value) in environment(script)? {
            command.env(name, value);
        }
    }
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!(
            "the feature `cuda` does not build; where nvcc is missing, install the CUDA toolkit 13 and set CUDA_HOME, or name a \
             script with --toolkit"
        );
    }
    println!("check-cuda: the kernels and the feature `cuda` compile; nothing was run");
    Ok(())
}

/// Where the toolkit is, after the script. Its linker flags are not needed: nothing is linked.
fn environment(script: &Path) -> Result<Vec<(String, String)>> {
    let output = Command::new("bash")
        .args(["-c", r#"source "$0" >&2 && printf '%s\n' "$PATH" "$CUDA_HOME""#])
        .arg(script)
        .current_dir(root())
        .output()
        .context("cannot run bash")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    match (output.status.success(), lines.next(), lines.next()) {
        (true, Some(path), Some(home)) => Ok(vec![
            ("PATH".into(), path.into()),
            ("CUDA_HOME".into(), home.into()),
            ("CUDA_PATH".into(), home.into()),
            ("CUDA_ROOT".into(), home.into()),
        ]),
        _ => bail!(
            "{} failed:\n{}",
            script.display(),
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}
