//! Calls of `htl` outside the plan, and what to do when it cannot even start.

use crate::child;
use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What `--device` may say.
pub const DEVICES: [&str; 4] = ["auto", "cpu", "cuda", "metal"];

/// What a GPU build needs beside itself.
const LIBRARIES: &str = "A GPU build of htl needs the CUDA 13 libraries and cuDNN 9: install them, or let LD_LIBRARY_PATH \
                         name the lib folders that PyTorch's wheels bring (site-packages/nvidia/*/lib; cuRAND may need \
                         `pip install nvidia-curand`); and the NVIDIA driver 580 or later";

/// What to install when `htl` said that a shared library is missing; nothing when it failed for another reason.
pub fn missing_library(stderr: &str) -> Option<String> {
    let signs = [
        "error while loading shared libraries",
        "cannot open shared object file",
        "Unable to dynamically load",
        "Library not loaded",
    ];
    let line = stderr
        .lines()
        .find(|line| signs.iter().any(|sign| line.contains(sign)))?;
    let line = line.trim_start_matches("  | ").trim();
    Some(format!("a shared library is missing ({line}). {LIBRARIES}"))
}

fn output(htl: &Path, args: &[&str]) -> Result<Output> {
    let output = Command::new(htl)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", htl.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && (output.status.code() == Some(127) || missing_library(&said).is_some()) {
        let why = missing_library(&said).unwrap_or_else(|| LIBRARIES.into());
        bail!("{} cannot start: {why}", htl.display());
    }
    Ok(output)
}

/// The device that `asked` means to this `htl`: `cpu`, `cuda` or `metal`.
///
/// # Errors
/// When `htl` cannot use it, with its own words.
pub fn device(htl: &Path, asked: &str) -> Result<String> {
    let output = output(htl, &["--device", asked, "device"])?;
    if output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        let word = text.split_whitespace().next().unwrap_or_default();
        if !DEVICES.contains(&word) || word == "auto" {
            bail!("`htl device` says `{word}`, which is no device");
        }
        return Ok(word.into());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // An `htl` without that command computes on the CPU only, and refuses the others by itself.
    if said.contains("unrecognized subcommand") {
        return Ok(if asked == "auto" { "cpu" } else { asked }.into());
    }
    bail!(
        "--device {asked}: {}",
        said.trim().strip_prefix("error: ").unwrap_or(said.trim())
    )
}

/// Lets `htl` check the data, which also draws splits where there are none.
///
/// # Errors
/// When they are not usable; `htl` has then said why.
pub fn verify(htl: &Path, data: &Path) -> Result<()> {
    let output = output(htl, &["data", "verify", "--data", &data.to_string_lossy()])?;
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!(
            "the data in {} is not usable as it is; the messages above say why",
            data.display()
        );
    }
    Ok(())
}

/// Calls `htl` for what is quick and never kept.
///
/// # Errors
/// When it fails, with the command; `htl` has then said why.
pub fn call(htl: &Path, args: &[String]) -> Result<()> {
    let status = Command::new(htl)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {}", htl.display()))?;
    if !status.success() {
        bail!(
            "this failed; its messages are above:\n  {}",
            child::command_line(htl, args)
        );
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn asked(script: &str, device: &str) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let htl = folder.path().join("htl");
        std::fs::write(&htl, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&htl, std::fs::Permissions::from_mode(0o755)).unwrap();
        super::device(&htl, device)
    }

    /// The name comes from `htl`, which hears what was asked; an `htl` of before that command is one for the CPU.
    #[test]
    fn htl_says_which_device() {
        assert_eq!(asked("echo cuda", "auto").unwrap(), "cuda");
        assert_eq!(
            asked("[ \"$1 $2 $3\" = '--device metal device' ] && echo metal", "metal").unwrap(),
            "metal"
        );
        assert!(asked("echo auto", "auto").is_err());
        let old = "echo \"error: unrecognized subcommand 'device'\" >&2; exit 2";
        assert_eq!(asked(old, "auto").unwrap(), "cpu");
        assert_eq!(asked(old, "cuda").unwrap(), "cuda");
        let message = asked("echo 'error: no CUDA device' >&2; exit 1", "cuda")
            .unwrap_err()
            .to_string();
        assert_eq!(message, "--device cuda: no CUDA device");
    }

    /// The loader ends with 127, a library opened later with a panic: both say what to install.
    #[test]
    fn a_missing_library_is_explained() {
        let loader = "echo 'htl: error while loading shared libraries: libcudnn.so.9: cannot open shared object file' >&2; exit 127";
        let later = "echo 'Unable to dynamically load the \"cudnn\" shared library' >&2; exit 101";
        for script in [loader, later] {
            let message = asked(script, "auto").unwrap_err().to_string();
            for part in ["cudnn", "CUDA 13", "cuDNN 9", "LD_LIBRARY_PATH", "580"] {
                assert!(message.contains(part), "{part} in {message}");
            }
        }
        assert_eq!(missing_library("  | masks/a.png is missing"), None);
    }
}
