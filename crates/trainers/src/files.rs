use std::{io::Error, path::Path};

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
