use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use htl_vocabulary::{file, write_whole};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{DatasetError, error::list, sha256_file};

/// Description of a data set: origin, licence, and the checksum of every file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Short name.
    pub name: String,
    /// What it holds.
    pub description: String,
    /// Licence of the files.
    pub licence: String,
    /// Credit and citation.
    pub attribution: String,
    /// Where it comes from and what was done to it.
    pub source: String,
    /// Every file, sorted by path.
    pub files: Vec<ManifestFile>,
}

/// One file of a [`Manifest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Path below the manifest's folder, with `/`.
    pub path: String,
    /// SHA-256 of the content, 64 hexadecimal digits.
    pub sha256: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// Differences between a folder and its [`Manifest`]; paths are sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Number of files that are as they must be.
    pub intact: usize,
    /// Files that are not there.
    pub missing: Vec<String>,
    /// Files of other content.
    pub changed: Vec<String>,
    /// Files the manifest does not know.
    pub extra: Vec<String>,
}

impl Verification {
    /// Whether nothing is missing, changed or extra.
    pub fn is_intact(&self) -> bool {
        self.missing.is_empty() && self.changed.is_empty() && self.extra.is_empty()
    }

    /// Nothing, or an error that names what is wrong.
    ///
    /// # Errors
    /// [`DatasetError::Manifest`].
    pub fn into_result(self, root: &Path) -> Result<(), DatasetError> {
        if self.is_intact() {
            return Ok(());
        }
        let problems = [
            ("missing", &self.missing),
            ("changed", &self.changed),
            ("not in the manifest", &self.extra),
        ]
        .into_iter()
        .filter(|(_, files)| !files.is_empty())
        .map(|(what, files)| format!("{} {what}: {}", files.len(), list(files)))
        .collect::<Vec<_>>()
        .join("; ");
        Err(DatasetError::Manifest {
            root: root.into(),
            problems,
        })
    }
}

impl Manifest {
    /// Reads a manifest: a JSON file, or a folder's `manifest.json`.
    ///
    /// # Errors
    /// [`DatasetError::Read`] or [`DatasetError::ManifestFormat`], which name the file.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        let path = if path.is_dir() {
            path.join(file::MANIFEST)
        } else {
            path.to_path_buf()
        };
        let text = fs::read_to_string(&path).map_err(DatasetError::read(&path))?;
        let problem = |reason: String| DatasetError::ManifestFormat {
            path: path.clone(),
            reason,
        };
        let manifest: Self = serde_json::from_str(&text).map_err(|error| problem(error.to_string()))?;
        for file in &manifest.files {
            let inside = file.path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !file.path.contains('\\');
            if !inside {
                return Err(problem(format!("`{}` is not a path below the folder", file.path)));
            }
            if file.sha256.len() != 64 || !file.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(problem(format!(
                    "sha256 of `{}` is not 64 lower-case hexadecimal digits",
                    file.path
                )));
            }
        }
        Ok(manifest)
    }

    /// Writes `manifest.json` into a folder.
    ///
    /// # Errors
    /// [`DatasetError::NotWritten`] names the file.
    pub fn write(&self, folder: &Path) -> Result<(), DatasetError> {
        let path = folder.join(file::MANIFEST);
        let mut text = serde_json::to_string_pretty(self).map_err(|error| DatasetError::ManifestFormat {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        text.push('\n');
        write_whole(&path, text).map_err(DatasetError::NotWritten)
    }

    /// Every file below a folder with its size and hash, sorted by path; hidden files and the manifest are left out.
    ///
    /// # Errors
    /// [`DatasetError::Read`] names the file.
    pub fn list_files(folder: &Path) -> Result<Vec<ManifestFile>, DatasetError> {
        walk(folder)?
            .into_par_iter()
            .map(|(path, file)| describe(path, &file))
            .collect()
    }

    /// Compares every file below `root` with this manifest.
    ///
    /// # Errors
    /// [`DatasetError::Read`] if a file or folder cannot be read. Differences are not an error here: see
    /// [`Verification::into_result`].
    pub fn verify(&self, root: &Path) -> Result<Verification, DatasetError> {
        let mut found: BTreeMap<String, PathBuf> = walk(root)?.into_iter().collect();
        let mut result = Verification::default();
        let mut present = Vec::new();
        for file in &self.files {
            match found.remove(&file.path) {
                None => result.missing.push(file.path.clone()),
                Some(path) => present.push((file, path)),
            }
        }
        let described: Vec<ManifestFile> = present
            .par_iter()
            .map(|(file, path)| describe(file.path.clone(), path))
            .collect::<Result<_, DatasetError>>()?;
        for ((expected, _), found) in present.iter().zip(described) {
            if **expected == found {
                result.intact += 1;
            } else {
                result.changed.push(found.path);
            }
        }
        result.extra.extend(found.into_keys());
        result.missing.sort_unstable();
        result.changed.sort_unstable();
        Ok(result)
    }
}

fn describe(path: String, file: &Path) -> Result<ManifestFile, DatasetError> {
    let bytes = fs::metadata(file).map_err(DatasetError::read(file))?.len();
    Ok(ManifestFile {
        path,
        sha256: sha256_file(file)?,
        bytes,
    })
}

/// Relative path (with `/`) and path of every file, sorted; no hidden ones, no manifest. Links to folders are not followed.
fn walk(root: &Path) -> Result<Vec<(String, PathBuf)>, DatasetError> {
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), root.to_path_buf())];
    while let Some((prefix, folder)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(DatasetError::read(&folder))? {
            let entry = entry.map_err(DatasetError::read(&folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || (prefix.is_empty() && name == file::MANIFEST) {
                continue;
            }
            let path = entry.path();
            let relative = format!("{prefix}{name}");
            // A link to a folder may lead in a circle, or anywhere: it is a file that cannot be read as one.
            if entry.file_type().map_err(DatasetError::read(&path))?.is_dir() {
                folders.push((format!("{relative}/"), path));
            } else {
                files.push((relative, path));
            }
        }
    }
    files.sort_unstable();
    Ok(files)
}
