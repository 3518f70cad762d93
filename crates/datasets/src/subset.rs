use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use htl_vocabulary::{Table, file, listed_ids, write_whole};

use crate::{DataFolder, DatasetError};

impl DataFolder {
    /// Copies some samples into a new data folder: their images and masks, and their rows of `metadata.csv` and of the
    /// splits that were made. Files keep their names and bytes, rows their cells and order.
    ///
    /// # Errors
    /// [`DatasetError::Parameter`] for an id that is not in this folder; a file that cannot be read or written.
    pub fn copy_subset(&self, to: &Path, chosen: &BTreeSet<&str>) -> Result<(), DatasetError> {
        let mut copies = Vec::with_capacity(2 * chosen.len());
        for id in chosen {
            let sample = self.get(id).ok_or_else(|| DatasetError::Parameter {
                name: "chosen images",
                expected: "ids of the data folder",
                found: (*id).to_owned(),
            })?;
            copies.push((file::IMAGES_FOLDER, sample.image.as_path()));
            copies.extend(sample.mask.as_deref().map(|mask| (file::MASKS_FOLDER, mask)));
        }
        for (folder, source) in copies {
            let folder = to.join(folder);
            fs::create_dir_all(&folder).map_err(DatasetError::write(&folder))?;
            let target = folder.join(source.file_name().unwrap_or_default());
            fs::copy(source, &target).map_err(|source| DatasetError::Write { path: target, source })?;
        }
        let metadata = self.root().join(file::METADATA);
        if metadata.exists() {
            copy_rows(&metadata, &to.join(file::METADATA), chosen)?;
        }
        if let Some(splits) = self.splits_file() {
            copy_rows(splits, &to.join(file::SPLITS), chosen)?;
        }
        Ok(())
    }
}

/// Copies the header of a table and the rows of some images, cells as they are.
fn copy_rows(from: &Path, to: &Path, chosen: &BTreeSet<&str>) -> Result<(), DatasetError> {
    let table = Table::read(from)?;
    let lines: HashSet<u64> = listed_ids(from)?
        .into_iter()
        .filter(|(_, id)| chosen.contains(id.as_str()))
        .map(|(line, _)| line)
        .collect();
    let rows = table.rows().iter().filter(|row| lines.contains(&row.line));
    let records = std::iter::once(table.header()).chain(rows.map(|row| row.cells.as_slice()));
    let mut writer = csv::WriterBuilder::new()
        .delimiter(table.separator())
        .from_writer(Vec::new());
    let failed = |error: std::io::Error| DatasetError::NotWritten(error);
    for record in records {
        writer.write_record(record).map_err(|error| failed(error.into()))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error()))?;
    write_whole(to, bytes).map_err(DatasetError::NotWritten)
}
