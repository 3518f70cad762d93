//! A folder that is seen whole or not at all.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Lets `fill` write a folder under a temporary name beside `out`, then gives it its name; a folder that is there already is
/// replaced. Everybody may read it.
pub fn folder(out: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = out
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let fresh = tempfile::Builder::new().prefix(".htl-").tempdir_in(parent)?;
    fill(fresh.path())?;
    if out.exists() {
        fs::remove_dir_all(out).with_context(|| format!("cannot replace {}", out.display()))?;
    }
    fs::rename(fresh.keep(), out).with_context(|| format!("cannot write {}", out.display()))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(out, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What fails leaves the old folder and nothing beside it.
    #[test]
    fn a_folder_is_replaced_whole() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("data");
        let write = |text: &'static str| move |folder: &Path| Ok(fs::write(folder.join(text), text)?);
        folder(&out, write("old")).unwrap();
        folder(&out, |_| anyhow::bail!("no image")).unwrap_err();
        assert!(out.join("old").exists());
        folder(&out, write("new")).unwrap();
        assert!(out.join("new").exists() && !out.join("old").exists());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
