//! One file per command.

pub mod analyze;
pub mod bench;
pub mod cancel;
pub mod check;
pub mod data;
pub mod evaluate;
pub mod experiment;
pub mod mine;
pub mod plan;
pub mod predict;
pub mod prune;
pub mod query;
pub mod report;
pub mod reproduce;
pub mod score;
pub mod sparsity;
pub mod stage;
pub mod status;
pub mod train;

use std::{io::Write, path::Path};

use anyhow::Context;

/// A line on standard output; a reader that has seen enough (`| head`) is no error.
pub fn print(line: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("cannot write to standard output"),
    }
}

/// Writes under a temporary name in the same folder, then renames.
fn write_atomically(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(bytes)?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Rows as CSV, written atomically.
fn write_csv<R: serde::Serialize>(path: &Path, rows: impl IntoIterator<Item = R>) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    write_atomically(path, &writer.into_inner()?)
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
