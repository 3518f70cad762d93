use std::{collections::BTreeSet, fs, path::Path};

use htl_vocabulary::{file, write_whole};

use crate::{DataFolder, DatasetError, metadata::Table};

impl DataFolder {
    /// Copies some samples into a new data folder: their images and masks, and their rows of `metadata.csv` and of the
    /// splits that were made. Files keep their names and bytes, rows their text and order.
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

/// Copies the header of a table and the rows of some images, text as it is.
fn copy_rows(from: &Path, to: &Path, chosen: &BTreeSet<&str>) -> Result<(), DatasetError> {
    let text = fs::read(from).map_err(DatasetError::read(from))?;
    let column = Table::parse(&text, from)?.column("image_id")?;
    let problem = |error: csv::Error| DatasetError::Table {
        path: from.into(),
        line: error.position().map_or(0, csv::Position::line),
        reason: error.to_string(),
    };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_slice());
    let mut writer = csv::Writer::from_writer(Vec::new());
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(problem)?;
        if row == 0 || chosen.contains(record.get(column).unwrap_or_default().trim()) {
            writer.write_record(&record).map_err(problem)?;
        }
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| DatasetError::NotWritten(error.into_error()))?;
    write_whole(to, bytes).map_err(DatasetError::NotWritten)
}
