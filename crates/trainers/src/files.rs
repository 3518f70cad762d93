use std::{fs::File, io::Error, path::Path, time::Duration};

use htl_vocabulary::{lock_folder, remove_forsaken};

use crate::TrainError;

/// Writes a file whole: readers see the old one or the new one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    htl_vocabulary::write_whole(path, bytes).map_err(TrainError::Write)
}

/// Makes a folder, if it is not there yet.
pub(crate) fn make_folder(path: &Path) -> Result<(), TrainError> {
    let named = |e: Error| Error::new(e.kind(), format!("cannot make the folder {}: {e}", path.display()));
    std::fs::create_dir_all(path).map_err(|e| TrainError::Write(named(e)))
}

/// Makes a folder, if it is not there yet, and takes it until the result is dropped. Half files of killed trainings go.
///
/// # Errors
/// [`TrainError::Busy`] if somebody has it.
pub(crate) fn take_folder(path: &Path) -> Result<File, TrainError> {
    make_folder(path)?;
    let named = |e: Error| Error::new(e.kind(), format!("cannot open the folder {}: {e}", path.display()));
    let lock = lock_folder(path, Duration::ZERO).map_err(|e| TrainError::Write(named(e)))?;
    let lock = lock.ok_or_else(|| TrainError::Busy { path: path.to_owned() })?;
    remove_forsaken(path);
    Ok(lock)
}
