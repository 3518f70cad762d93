//! Where the repository lies, and how to build and call `htl`.

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
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
    command.args(["build", "--release", "--package", package, "--bin", binary]);
    let status = command.status().context("cannot run cargo")?;
    if !status.success() {
        bail!("building `{binary}` failed; cargo's messages above say why");
    }
    Ok(target()?
        .join("release")
        .join(format!("{binary}{}", std::env::consts::EXE_SUFFIX)))
}

/// SHA-256 of a file's bytes.
pub fn file_hash(path: &Path) -> Result<[u8; 32]> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 16];
    loop {
        let count = file
            .read(&mut buffer)
            .with_context(|| format!("cannot read {}", path.display()))?;
        if count == 0 {
            return Ok(hasher.finalize().into());
        }
        hasher.update(&buffer[..count]);
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Number of processor cores we may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Writes a file to a temporary name in the same folder, then renames it, so that it is never seen half-written.
pub fn write_whole(path: &Path, contents: impl AsRef<[u8]>) -> Result<()> {
    let folder = path.parent().context("a file needs a folder")?;
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(|| {
        format!(
            "cannot write in {}: is it writable, and the disk not full?",
            folder.display()
        )
    })?;
    std::io::Write::write_all(&mut file, contents.as_ref())
        .with_context(|| format!("cannot write {}: is the disk full?", path.display()))?;
    let file = file
        .persist(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o644)).ok();
    }
    drop(file);
    Ok(())
}
