use std::path::{Path, PathBuf};

use super::published;
use crate::ModelError;

/// The file that is meant: a path as it is; for a word that is no file a name of [`PUBLISHED`](super::PUBLISHED), whose weights `htl weights
/// fetch` put into this folder, or `htl weights import` as `NAME.safetensors`.
///
/// # Errors
/// [`ModelError::UnknownPart`] for a word that is no such name, [`ModelError::NotFetched`] if its file is not there.
pub fn locate(named: &Path, folder: &Path) -> Result<PathBuf, ModelError> {
    let word = named.to_str().filter(|word| !word.contains(['/', '\\', '.']));
    let (Some(word), false) = (word, named.is_file()) else {
        return Ok(named.to_owned());
    };
    let row = published(word)?;
    let files = [folder.join(row.file), folder.join(format!("{word}.safetensors"))];
    if let Some(found) = files.iter().find(|file| file.is_file()) {
        return Ok(found.clone());
    }
    let [fetched, imported] = files;
    Err(ModelError::NotFetched {
        name: row.name,
        fetched,
        imported,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_and_files_are_taken_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let found = |name: &str| locate(Path::new(name), folder.path());
        assert_eq!(found("my/lite0.pth").unwrap(), Path::new("my/lite0.pth"));
        assert_eq!(found("lite0.pth").unwrap(), Path::new("lite0.pth"));
        let message = found("lite1").unwrap_err().to_string();
        assert!(message.contains("did you mean `lite"), "{message}");
        let message = found("lite0").unwrap_err().to_string();
        assert!(message.contains("htl weights fetch lite0"), "{message}");
        for (file, name) in [("lite0.safetensors", "lite0"), ("resnet18-f37072fd.pth", "resnet18")] {
            std::fs::write(folder.path().join(file), "").unwrap();
            assert_eq!(found(name).unwrap(), folder.path().join(file));
        }
    }
}
