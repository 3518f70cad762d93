//! `htl weights`: pretrained weights, and weights of other programs.

mod export;
mod fetch;
mod import;
mod list;
mod verify;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use htl_models::weights::locate;

/// Where weights are kept: the folder that HTL_WEIGHTS names, or `weights` where we stand.
fn folder() -> PathBuf {
    std::env::var_os("HTL_WEIGHTS").map_or_else(|| "weights".into(), PathBuf::from)
}

/// The file of weights that is meant, a path or a name of `htl weights list`.
pub fn located(named: &Path) -> anyhow::Result<PathBuf> {
    Ok(locate(named, &folder())?)
}

/// `htl weights`.
#[derive(Subcommand)]
pub enum Weights {
    /// The pretrained weights this program knows, with sources and licences
    List(list::List),
    /// Download some of them; an interrupted download continues where it stopped
    Fetch(fetch::Fetch),
    /// Check files: that they are what was published, can be read, hold finite numbers, and are a whole encoder
    Verify(verify::Verify),
    /// Write an encoder's weights by the names of this program, from a file of PyTorch or safetensors
    Import(import::Import),
    /// Write a checkpoint's weights for PyTorch
    Export(export::Export),
}

impl Weights {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run()?,
            Self::Fetch(fetch) => fetch.run()?,
            Self::Verify(verify) => return verify.run(),
            Self::Import(import) => import.run()?,
            Self::Export(export) => export.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
