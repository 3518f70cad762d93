use std::{collections::BTreeSet, io::Error, path::Path};

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

/// The column `image_id` of a CSV.
///
/// # Errors
/// [`TrainError::IdList`] if the file cannot be read, has no such column, or repeats an id.
pub fn read_ids(path: &Path) -> Result<BTreeSet<String>, TrainError> {
    let bad = |message: String| TrainError::IdList {
        path: path.to_owned(),
        message,
    };
    let mut reader = csv::Reader::from_path(path).map_err(|e| bad(format!("cannot read it: {e}")))?;
    let headers = reader.headers().map_err(|e| bad(e.to_string()))?;
    let column = headers
        .iter()
        .position(|h| h == "image_id")
        .ok_or_else(|| bad("no column `image_id` in the header".into()))?;
    let mut ids = BTreeSet::new();
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|e| bad(e.to_string()))?;
        let id = record.get(column).unwrap_or_default().to_owned();
        if id.is_empty() {
            return Err(bad(format!("row {}: empty image_id", row + 2)));
        }
        if !ids.insert(id.clone()) {
            return Err(bad(format!("row {}: image_id `{id}` appears twice", row + 2)));
        }
    }
    Ok(ids)
}
