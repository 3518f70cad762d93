use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// What the name of a file begins and ends with until it is whole.
const PREFIX: &str = ".htl-";
const SUFFIX: &str = ".tmp";

/// From this age on nobody is still writing a file that is not whole.
const FORSAKEN: Duration = Duration::from_secs(3600);

/// Removes what killed programs left of files that they had not finished, an hour old or older, from a folder that the caller
/// holds by [`lock_folder`](crate::lock_folder). What cannot be removed stays.
pub fn remove_forsaken(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = name.starts_with(PREFIX) && name.ends_with(SUFFIX);
        // Of the entry itself, not of what a link leads to.
        let old = || {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some(metadata.modified().ok()?.elapsed().ok()? >= FORSAKEN)
        };
        if ours && old() == Some(true) {
            fs::remove_file(entry.path()).ok();
        }
    }
}

/// Writes a file so that a reader sees the old bytes or the new, never half of them, and so that neither a killed program
/// nor a power cut loses both.
///
/// The folder is made if it is absent. The bytes go to a temporary name beside the target, reach the disk, and are renamed;
/// then the folder reaches the disk too. Whoever may read new files by the umask may read this one. Into a device or a pipe
/// (`/dev/null`, `/dev/stdout`), which a rename would put a file in the place of, the bytes are written as they come.
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
    if fs::metadata(path).is_ok_and(|target| !target.is_file() && !target.is_dir()) {
        let mut target = File::options().write(true).open(path)?;
        let mut writer = BufWriter::with_capacity(1 << 16, &mut target);
        fill(&mut writer)?;
        return writer.flush();
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX);
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

/// Gives a finished folder its name, so that the name lasts through a power cut. What is in it must have reached the disk
/// before, as [`write_whole`] sees to.
///
/// # Errors
/// The system's.
pub fn rename_folder(from: &Path, to: &Path) -> io::Result<()> {
    sync_folder(from)?;
    fs::rename(from, to)?;
    match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
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

    /// Only what looks like ours, is a file and is old goes.
    #[test]
    fn forsaken_files_are_removed() {
        let place = tempfile::tempdir().unwrap();
        let long_ago = std::time::SystemTime::now() - 2 * FORSAKEN;
        for (name, age) in [
            (".htl-a.tmp", long_ago),
            (".htl-b.tmp", std::time::SystemTime::now()),
            ("c.tmp", long_ago),
        ] {
            let file = File::create(place.path().join(name)).unwrap();
            file.set_modified(age).unwrap();
        }
        remove_forsaken(place.path());
        assert_eq!(names(place.path()), [".htl-b.tmp", "c.tmp"]);
        remove_forsaken(&place.path().join("absent"));
    }

    #[test]
    fn a_folder_gets_its_name() {
        let place = tempfile::tempdir().unwrap();
        let [from, to] = ["stage.partial", "stage"].map(|name| place.path().join(name));
        write_whole(&from.join("a"), "one").unwrap();
        rename_folder(&from, &to).unwrap();
        assert_eq!(names(place.path()), ["stage"]);
        assert!(rename_folder(&from, &to).is_err());
    }

    /// A pipe stays a pipe, and who reads it gets the bytes.
    #[cfg(unix)]
    #[test]
    fn devices_and_pipes_are_written_into() {
        use std::os::unix::fs::FileTypeExt;
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read_to_string(pipe).unwrap()
        });
        write_whole(&pipe, "one").unwrap();
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(reader.join().unwrap(), "one");
        assert_eq!(names(folder.path()), ["pipe"]);
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
