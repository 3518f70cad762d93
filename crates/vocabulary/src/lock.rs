use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// Takes a file for this process alone until the result is dropped, or the process ends in whatever way. The file is made if
/// it is absent, and opened for reading and appending.
///
/// Waits up to `patience` for whoever holds it; `None` if it is held even then. Where a file system has no locks, nobody is
/// kept out.
///
/// # Errors
/// The system's, if the file cannot be opened.
pub fn lock_file(path: &Path, patience: Duration) -> io::Result<Option<File>> {
    lock(open(path)?, patience)
}

/// Takes a folder for this process alone, as [`lock_file`] takes a file: whoever writes several files into it does this
/// first. The folder must be there.
///
/// On Unix it is the folder itself that is locked, so nothing is left in it. Elsewhere a file `.lock` is.
///
/// # Errors
/// The system's, if the folder cannot be opened.
pub fn lock_folder(path: &Path, patience: Duration) -> io::Result<Option<File>> {
    #[cfg(unix)]
    let file = File::open(path)?;
    #[cfg(not(unix))]
    let file = open(&path.join(".lock"))?;
    lock(file, patience)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).read(true).append(true).open(path)
}

fn lock(file: File, patience: Duration) -> io::Result<Option<File>> {
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if begin.elapsed() < patience => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_waits_or_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = lock_file(&path, Duration::ZERO).unwrap();
        assert!(first.is_some());
        assert!(lock_file(&path, Duration::ZERO).unwrap().is_none());
        let waiting = std::thread::spawn(move || lock_file(&path, Duration::from_secs(60)).unwrap().is_some());
        std::thread::sleep(2 * PAUSE);
        drop(first);
        assert!(waiting.join().unwrap());
        assert!(lock_file(&folder.path().join("no/such/folder"), Duration::ZERO).is_err());
    }

    /// A folder has one writer at a time, and nothing is left in it.
    #[test]
    fn a_folder_is_taken_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock_folder(folder.path(), Duration::ZERO).unwrap();
        assert!(first.is_some());
        assert!(lock_folder(folder.path(), Duration::ZERO).unwrap().is_none());
        drop(first);
        assert!(lock_folder(folder.path(), Duration::ZERO).unwrap().is_some());
        #[cfg(unix)]
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(lock_folder(&folder.path().join("absent"), Duration::ZERO).is_err());
    }
}
