//! One file per command.

pub mod analyze;
pub mod bench;
pub mod campaign;
pub mod cancel;
pub mod check;
mod choices;
mod convert_masks;
pub mod data;
mod engine_args;
pub mod evaluate;
pub mod experiment;
pub mod features;
mod import;
pub mod mine;
pub mod models;
mod people;
pub mod plan;
mod plant;
pub mod predict;
mod predictor_options;
pub mod prune;
pub mod query;
pub mod refer;
pub mod report;
pub mod reproduce;
pub mod score;
pub mod shell;
pub mod sparsity;
pub mod stage;
pub mod status;
mod telling;
pub mod train;
pub mod truth;
pub mod weights;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use htl_vocabulary::lock_folder;

/// A line on standard output; a reader that has seen enough (`| head`) is no error.
pub fn print(line: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

/// Makes a folder and takes it for this command until the result is dropped: a second one would mix its files in.
fn held(folder: &Path) -> anyhow::Result<File> {
    let not_made = || format!("cannot make the folder {}", folder.display());
    std::fs::create_dir_all(folder).with_context(not_made)?;
    let held = lock_folder(folder, Duration::ZERO).with_context(not_made)?;
    held.with_context(|| {
        format!(
            "another command is writing into {}: choose another --out",
            folder.display()
        )
    })
}

/// A split by its word.
fn parse_split(text: &str) -> Result<htl_datasets::Split, String> {
    match text {
        "train" => Ok(htl_datasets::Split::Train),
        "val" => Ok(htl_datasets::Split::Val),
        "test" => Ok(htl_datasets::Split::Test),
        _ => Err(format!("unknown split `{text}`: choose train, val or test")),
    }
}
