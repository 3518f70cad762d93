//! What was given: folders as they are, archives unpacked, single files.

use std::fs;
use std::path::{Path, PathBuf};

use super::archive::{ArchiveKind, is_hidden, unpack};
use crate::found_files::without_ending;
use crate::{DatasetError, sha256_file};

/// Endings of names of archives, also of those that are not read: they are said.
const PACKED: [&str; 8] = [".zip", ".tar.gz", ".tgz", ".tar", ".rar", ".7z", ".tar.xz", ".tar.bz2"];

/// Beside archives that `fetch` brought.
const CHECKSUM: &str = ".sha256";

/// A file of the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// Its path with `/`, beginning with the name of the archive or folder that was given.
    pub relative: String,
}

/// All files that were given.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// In order of their relative paths.
    pub files: Vec<Found>,
    /// Names of archives and their SHA-256.
    pub archives: Vec<(String, String)>,
    /// Links, which are not followed.
    pub links: Vec<String>,
}

impl Sources {
    /// Finds everything; archives are unpacked below `unpacked`.
    pub(super) fn gather(given: &[PathBuf], unpacked: &Path) -> Result<Self, DatasetError> {
        let mut sources = Self::default();
        for path in given {
            let name = stem(path);
            if path.is_dir() {
                sources.folder(path, &name, Some(unpacked))?;
            } else {
                sources.file(path, &file_name(path), Some(unpacked))?;
            }
        }
        sources.files.sort_unstable_by(|a, b| a.relative.cmp(&b.relative));
        Ok(sources)
    }

    fn folder(&mut self, folder: &Path, relative: &str, unpacked: Option<&Path>) -> Result<(), DatasetError> {
        for entry in fs::read_dir(folder).map_err(DatasetError::read(folder))? {
            let entry = entry.map_err(DatasetError::read(folder))?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let relative = format!("{relative}/{name}");
            let kind = entry.file_type().map_err(DatasetError::read(&path))?;
            if is_hidden(&name) || without_ending(&name, CHECKSUM).is_some() {
                continue;
            }
            if kind.is_dir() {
                self.folder(&path, &relative, unpacked)?;
            } else if kind.is_file() || path.is_file() {
                // A link to a file is that file; one to a folder may lead anywhere. Office documents are ZIP archives too.
                let packed = PACKED.iter().any(|ending| without_ending(&name, ending).is_some());
                self.file(&path, &relative, unpacked.filter(|_| packed))?;
            } else {
                self.links.push(relative);
            }
        }
        Ok(())
    }

    /// A file; an archive is unpacked, unless it came out of one.
    fn file(&mut self, path: &Path, relative: &str, unpacked: Option<&Path>) -> Result<(), DatasetError> {
        let kind = match unpacked {
            Some(_) => ArchiveKind::of(path)?,
            None => None,
        };
        if let (Some(kind), Some(unpacked)) = (kind, unpacked) {
            let into = unpacked.join(self.archives.len().to_string());
            fs::create_dir_all(&into).map_err(DatasetError::write(&into))?;
            unpack(path, kind, &into)?;
            self.archives.push((file_name(path), sha256_file(path)?));
            return self.folder(&into, &stem(path), None);
        }
        self.files.push(Found {
            path: path.into(),
            relative: relative.to_owned(),
        });
        Ok(())
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The name of an archive or folder without what archives are called by.
fn stem(path: &Path) -> String {
    let name = path.canonicalize().ok();
    let name = file_name(name.as_deref().unwrap_or(path));
    let bare = PACKED.iter().find_map(|ending| without_ending(&name, ending));
    bare.unwrap_or(&name).to_owned()
}
