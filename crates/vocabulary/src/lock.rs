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
    let file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
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
}
