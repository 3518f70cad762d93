use std::{collections::BTreeMap, path::Path};

use htl_vocabulary::{MetadataTable, TableError};

use crate::{DatasetError, Split};

/// The columns that a `metadata.csv` of ours has, in order. Only the first is required; others may follow; any may be blank.
pub const COLUMNS: [&str; 6] = ["image_id", "split", "age_approx", "sex", "anatom_site", "dx"];

/// One row of `metadata.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataRow {
    /// Line in the file, from 1 (the header).
    pub line: u64,
    /// The id.
    pub image_id: String,
    /// The split; `None` if blank.
    pub split: Option<Split>,
    /// Age in years, 0 to 130.
    pub age_approx: Option<f64>,
    /// Sex.
    pub sex: Option<String>,
    /// Site on the body.
    pub anatom_site: Option<String>,
    /// Diagnosis code.
    pub dx: Option<String>,
    /// Every other column of which something is known.
    pub other: BTreeMap<String, String>,
}

/// Reads the text of a `metadata.csv` as [`MetadataTable`] does; `path` is only named in errors.
///
/// # Errors
/// [`DatasetError::Table`] as [`MetadataTable::parse`]; all rows whose split is neither blank nor train, val or test.
pub fn parse_metadata(text: &[u8], path: &Path) -> Result<Vec<MetadataRow>, DatasetError> {
    metadata_rows(&MetadataTable::parse(text, path, &[])?)
}

/// The rows of a table of metadata, in its order.
pub(crate) fn metadata_rows(table: &MetadataTable) -> Result<Vec<MetadataRow>, DatasetError> {
    let mut problems = Vec::new();
    let mut rows = Vec::with_capacity(table.records().len());
    for record in table.records() {
        let cells = table.columns().iter().zip(&record.cells);
        let mut cells: BTreeMap<&str, &str> = cells
            .filter_map(|(column, cell)| Some((column.as_str(), cell.as_deref()?)))
            .collect();
        let mut take = |column: &str| cells.remove(column).map(str::to_owned);
        let [_, split, _, sex, anatom_site, dx] = COLUMNS.map(&mut take);
        let split = split.and_then(|value| {
            let split = Split::from_name(&value);
            if split.is_none() {
                problems.push(unknown_split(table.path(), record.line, &record.image_id, &value));
            }
            split
        });
        rows.push(MetadataRow {
            line: record.line,
            image_id: record.image_id.clone(),
            split,
            age_approx: record.age,
            sex,
            anatom_site,
            dx,
            other: cells
                .into_iter()
                .map(|(column, cell)| (column.to_owned(), cell.to_owned()))
                .collect(),
        });
    }
    TableError::all(problems)?;
    Ok(rows)
}

/// What is said of a split that is none.
pub(crate) fn unknown_split(path: &Path, line: u64, image_id: &str, value: &str) -> TableError {
    TableError::Row {
        path: path.into(),
        line,
        problem: format!(
            "split of `{image_id}` is `{value}`; expected train, val or test (or leave the whole column blank to have a seeded \
             split made)"
        ),
    }
}
