//! One `htl report` at a time in the folder of a run.

use std::{
    fs::{File, TryLockError},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use htl_vocabulary::file::REPORT_LOCK;

/// How long another report is waited for; a page takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// Takes the run for this process until the file is dropped, or the process ends in whatever way.
pub fn lock(run: &Path) -> anyhow::Result<File> {
    wait(run, PATIENCE)
}

fn wait(run: &Path, patience: Duration) -> anyhow::Result<File> {
    let path = run.join(REPORT_LOCK);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begin.elapsed() < patience => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => bail!(
                "another `htl report` has been writing in {} for more than {} s: wait for it or end it, then call this again",
                run.display(),
                patience.as_secs()
            ),
            // A file system without locks.
            Err(TryLockError::Error(_)) => return Ok(file),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_waits_and_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let message = wait(folder.path(), Duration::ZERO).unwrap_err().to_string();
        assert!(message.contains("another `htl report`"), "{message}");
        let other = folder.path().to_owned();
        let waiting = std::thread::spawn(move || wait(&other, PATIENCE).map(drop));
        std::thread::sleep(2 * PAUSE);
        drop(first);
        waiting.join().unwrap().unwrap();
    }
}
