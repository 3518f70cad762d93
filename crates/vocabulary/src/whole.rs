use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// Writes a file so that a reader sees the old bytes or the new, never half of them, and so that neither a killed program
/// nor a power cut loses both.
///
/// The folder is made if it is absent. The bytes go to a temporary name beside the target, reach the disk, and are renamed;
/// then the folder reaches the disk too. Whoever may read new files by the umask may read this one.
///
/// # Errors
/// The system's reason, with the path in front; the target is then as it was.
pub fn write_whole(path: &Path, contents: impl AsRef<[u8]>) -> io::Result<()> {
    write_whole_with(path, |file| file.write_all(contents.as_ref()))
}

/// [`write_whole`] for contents that are written piece by piece.
///
/// # Errors
/// As [`write_whole`]; whatever `fill` fails with.
pub fn write_whole_with(path: &Path, fill: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>) -> io::Result<()> {
    write(path, fill).map_err(|error| io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display())))
}

fn write(path: &Path, fill: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".htl-").suffix(".tmp");
    #[cfg(unix)]
    let any_reader = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    // The system takes the umask off, as for any new file.
    #[cfg(unix)]
    builder.permissions(any_reader);
    let mut file = builder.tempfile_in(folder)?;
    let mut writer = BufWriter::with_capacity(1 << 16, file.as_file_mut());
    fill(&mut writer)?;
    writer.flush()?;
    drop(writer);
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Makes a rename last; file systems that cannot sync a folder say so, and are right to be left alone.
fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all().ok();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn folders_are_made_and_files_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c.txt");
        write_whole(&path, "one").unwrap();
        write_whole(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(names(path.parent().unwrap()), ["c.txt"]);
    }

    /// A failure in the middle leaves the old file and no debris.
    #[test]
    fn a_failure_leaves_everything_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.txt");
        write_whole(&path, "one").unwrap();
        let error = write_whole_with(&path, |file| {
            file.write_all(b"tw")?;
            Err(io::Error::other("no more"))
        })
        .unwrap_err();
        assert!(error.to_string().contains("c.txt") && error.to_string().contains("no more"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "one");
        assert_eq!(names(folder.path()), ["c.txt"]);
    }

    /// Readable by whom a file made without ceremony is readable.
    #[cfg(unix)]
    #[test]
    fn the_umask_decides_who_may_read() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (plain, whole) = (folder.path().join("plain"), folder.path().join("whole"));
        fs::write(&plain, "").unwrap();
        write_whole(&whole, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&plain), mode(&whole));
    }
}
