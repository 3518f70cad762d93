//! Where the repository lies, and how to build and call `htl`.

use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The repository's root, if we are in it or it is where we were built.
pub fn repository() -> Option<PathBuf> {
    let manifest =
        std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let root = manifest.parent()?;
    root.join("Cargo.toml").is_file().then(|| root.to_path_buf())
}

/// The repository's root; where there is no repository (this binary was copied elsewhere), the current folder.
pub fn root() -> PathBuf {
    repository()
        .or_else(|| std::env::current_dir().ok())
        .unwrap_or_else(|| PathBuf::from("."))
}

/// The cargo that runs us, or the one on the path.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The folder cargo builds into, as cargo itself says.
pub fn target() -> Result<PathBuf> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run `cargo metadata`")?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("`cargo metadata` printed something that is not JSON")?;
    let folder = metadata["target_directory"]
        .as_str()
        .context("`cargo metadata` names no target directory")?;
    Ok(PathBuf::from(folder))
}

/// Builds the `htl` binary in release mode and says where it lies.
///
/// # Errors
/// When the build fails; cargo has then said why.
pub fn build_htl() -> Result<PathBuf> {
    build("htl-cli", "htl")
}

/// Builds a package's binary in release mode and says where it lies.
///
/// # Errors
/// When the build fails; cargo has then said why.
pub fn build(package: &str, binary: &str) -> Result<PathBuf> {
    if repository().is_none() {
        bail!("there is no repository here to build `{binary}` from: give a ready-made one");
    }
    let mut command = cargo();
    // Beside htl-cli, for the same features of what all programs are built from: nothing of it is built twice.
    command.args([
        "build",
        "--release",
        "--package",
        "htl-cli",
        "--package",
        package,
        "--bin",
        binary,
    ]);
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("building `{binary}` failed; cargo's messages above say why");
    }
    Ok(target()?
        .join("release")
        .join(format!("{binary}{}", std::env::consts::EXE_SUFFIX)))
}
