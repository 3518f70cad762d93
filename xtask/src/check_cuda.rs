//! `cargo xtask check-cuda`: does the feature `cuda` still build? No GPU is needed, but a CUDA toolkit is.

use crate::workspace::{cargo, root, target};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What `check-cuda` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    toolkit: Toolkit,
}

/// Where a CUDA build finds its compiler, and where it goes.
#[derive(Debug, clap::Args)]
pub struct Toolkit {
    /// A bash script that puts a CUDA toolkit into the environment; without it, the toolkit that CUDA_HOME names or whose
    /// nvcc is on the path
    #[arg(long, value_name = "SCRIPT")]
    toolkit: Option<PathBuf>,
    /// Folder to build in; `cuda` in cargo's target folder if left out, as features change everything below candle
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
}

/// Programs built with the feature `cuda`.
#[derive(Debug)]
pub struct Built {
    /// The command.
    pub htl: PathBuf,
    /// What measures its speed.
    pub bench: PathBuf,
    /// The test `agreement` of htl-ops.
    pub agreement: PathBuf,
}

/// Compute capability of the device that kernels are compiled for, where nobody says: Hopper's, as H100 and H200 are.
const CAPABILITY: &str = "90";

/// What of the toolkit's script a build needs.
const VARIABLES: [&str; 8] = [
    "PATH",
    "CUDA_HOME",
    "CUDA_PATH",
    "CUDA_ROOT",
    "CUDA_TOOLKIT_ROOT_DIR",
    "CUDA_COMPUTE_CAP",
    "LIBRARY_PATH",
    "RUSTFLAGS",
];

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let built = args.toolkit.build()?;
    println!(
        "check-cuda: the kernels and the feature `cuda` build; nothing was run\n  {}\n  {}\n  {}",
        built.htl.display(),
        built.bench.display(),
        built.agreement.display()
    );
    Ok(())
}

impl Toolkit {
    /// Builds kernels, `htl`, `htl-bench` and the agreement test, all in one go so that they share their dependencies.
    ///
    /// # Errors
    /// When the toolkit or the build fails; their messages have been shown.
    pub fn build(&self) -> Result<Built> {
        let folder = match &self.target_dir {
            Some(folder) => std::path::absolute(folder)?,
            None => target()?.join("cuda"),
        };
        let mut command = cargo();
        command.args(["build", "--release", "--message-format", "json-render-diagnostics"]);
        command.args(["--package", "htl-cli", "--bin", "htl"]);
        command.args(["--package", "htl-bench", "--bin", "htl-bench"]);
        command.args(["--package", "htl-ops", "--test", "agreement"]);
        command.args(["--features", "htl-cli/cuda,htl-bench/cuda,htl-ops/cuda"]);
        // With a target named, RUSTFLAGS are not for build scripts: those could not start with a stand-in for the driver.
        command.args(["--target", "host-tuple", "--target-dir"]).arg(&folder);
        // The script's own choice, if it makes one, comes after.
        if std::env::var_os("CUDA_COMPUTE_CAP").is_none() {
            command.env("CUDA_COMPUTE_CAP", CAPABILITY);
        }
        if let Some(script) = &self.toolkit {
            command.envs(environment(script)?);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
        let stdout = child.stdout.take().context("cargo has no output")?;
        let mut programs = Vec::new();
        for line in BufReader::new(stdout).lines() {
            programs.extend(program(&line?));
        }
        if !child.wait()?.success() {
            bail!(
                "the feature `cuda` does not build; where nvcc is missing, install the CUDA toolkit 13 and set CUDA_HOME, \
                 or name a script with --toolkit"
            );
        }
        let named = |name: &str| {
            let found = programs.iter().find(|(known, _)| known == name);
            found
                .map(|(_, path)| path.clone())
                .with_context(|| format!("cargo built no `{name}`"))
        };
        Ok(Built {
            htl: named("htl")?,
            bench: named("htl-bench")?,
            agreement: named("agreement")?,
        })
    }
}

/// Name and place of the program that a line of cargo's messages is about.
fn program(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = message["executable"].as_str()?;
    Some((message["target"]["name"].as_str()?.into(), path.into()))
}

/// What the script says.
fn environment(script: &Path) -> Result<Vec<(&'static str, String)>> {
    let script = std::path::absolute(script)?;
    let print = format!(
        r#"source "$0" >&2 && printf '%s\n' {}"#,
        VARIABLES.map(|name| format!("\"${{{name}:-}}\"")).join(" ")
    );
    let output = Command::new("bash")
        .args(["-c", &print])
        .arg(&script)
        .current_dir(root())
        .output()
        .context("cannot run bash")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let values: Vec<&str> = text.lines().collect();
    if !output.status.success() || values.len() != VARIABLES.len() {
        bail!(
            "{} failed:\n{}",
            script.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let set = VARIABLES.into_iter().zip(values).filter(|(_, value)| !value.is_empty());
    Ok(set.map(|(name, value)| (name, value.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_named_by_cargos_messages() {
        let line =
            r#"{"reason":"compiler-artifact","target":{"name":"htl","kind":["bin"]},"executable":"/t/release/htl"}"#;
        assert_eq!(program(line), Some(("htl".into(), "/t/release/htl".into())));
        let library = r#"{"reason":"compiler-artifact","target":{"name":"htl_ops"},"executable":null}"#;
        assert_eq!(program(library), None);
        assert_eq!(program("warning: not JSON"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_script_says_where_the_toolkit_is() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("toolkit.sh");
        std::fs::write(
            &script,
            "export CUDA_HOME=/toolkit RUSTFLAGS=' -L /toolkit/lib64 -C x'\necho noise",
        )
        .unwrap();
        let found = environment(&script).unwrap();
        assert!(found.contains(&("CUDA_HOME", "/toolkit".into())), "{found:?}");
        assert!(
            found.contains(&("RUSTFLAGS", " -L /toolkit/lib64 -C x".into())),
            "{found:?}"
        );
        std::fs::write(&script, "echo no wheels >&2; return 1").unwrap();
        let message = environment(&script).unwrap_err().to_string();
        assert!(message.contains("no wheels"), "{message}");
    }
}
