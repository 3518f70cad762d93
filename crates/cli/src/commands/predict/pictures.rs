use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

/// What the program can read.
const ENDINGS: [&str; 3] = ["jpg", "jpeg", "png"];

/// The pictures that arguments name: a file, every JPEG and PNG of a folder, or those that a pattern such as `photos/*.jpg` fits;
/// with the name of each without its ending.
///
/// # Errors
/// An argument that names nothing, and two pictures whose results would have the same name.
pub fn named_by(arguments: &[PathBuf]) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let mut pictures = Vec::new();
    for argument in arguments {
        let found = one(argument)?;
        ensure!(!found.is_empty(), "{} names no JPEG or PNG image", argument.display());
        pictures.extend(found);
    }
    let mut named: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in pictures {
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = name.with_context(|| format!("{} is no file", path.display()))?;
        match named.get(&name) {
            Some(other) if *other != path => {
                bail!("{} and {} would write the same files", other.display(), path.display())
            }
            _ => named.insert(name, path),
        };
    }
    Ok(named.into_iter().collect())
}

fn one(argument: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if argument.is_dir() {
        let entries = std::fs::read_dir(argument).with_context(|| format!("cannot read {}", argument.display()))?;
        let paths = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()
            .with_context(|| format!("cannot read {}", argument.display()))?;
        return Ok(paths.into_iter().filter(|path| is_picture(path)).collect());
    }
    match argument.to_str() {
        // A shell that knows patterns has replaced them by files already.
        Some(pattern) if !argument.exists() && pattern.contains(['*', '?', '[']) => {
            let paths = glob::glob(pattern).with_context(|| format!("{pattern} is no pattern"))?;
            let paths = paths.collect::<Result<Vec<_>, _>>()?;
            Ok(paths.into_iter().filter(|path| is_picture(path)).collect())
        }
        _ => Ok(vec![argument.to_owned()]),
    }
}

/// Whether its ending says so; files that Macs leave beside a picture are none.
fn is_picture(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    let hidden = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("._"));
    path.is_file() && !hidden && ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_folders_and_patterns_name_pictures() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.PNG", "a.jpg", "._a.jpg", "notes.txt"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names = |arguments: &[PathBuf]| -> Vec<String> {
            let found = named_by(arguments).unwrap();
            found.into_iter().map(|(name, _)| name).collect()
        };
        assert_eq!(names(&[folder.path().to_owned()]), ["a", "b"]);
        assert_eq!(names(&[folder.path().join("*.jpg")]), ["a"]);
        // Named twice is named once; what does not exist is found out when it is read.
        assert_eq!(
            names(&[folder.path().join("a.jpg"), folder.path().to_owned()]),
            ["a", "b"]
        );
        assert_eq!(names(&[folder.path().join("gone.png")]), ["gone"]);
        let said = named_by(&[folder.path().join("*.bmp")]).unwrap_err().to_string();
        assert!(said.contains("names no JPEG or PNG"), "{said}");
        std::fs::write(folder.path().join("a.png"), "").unwrap();
        let said = named_by(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(said.contains("would write the same files"), "{said}");
    }
}
