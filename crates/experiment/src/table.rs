//! CSV tables put one after another.

use std::path::PathBuf;

use crate::ExperimentError;

/// The rows of all tables under the union of their columns, in order of first appearance; what a table lacks is blank.
///
/// # Errors
/// [`ExperimentError::Value`] for a file that is no table.
pub(crate) fn concatenate(paths: &[PathBuf]) -> Result<Vec<u8>, ExperimentError> {
    let mut columns: Vec<String> = Vec::new();
    let mut tables = Vec::new();
    for path in paths {
        let wrong = |error: csv::Error| ExperimentError::Value {
            path: path.clone(),
            reason: error.to_string(),
        };
        let mut reader = csv::Reader::from_path(path).map_err(wrong)?;
        let header: Vec<String> = reader.headers().map_err(wrong)?.iter().map(String::from).collect();
        for name in &header {
            if !columns.contains(name) {
                columns.push(name.clone());
            }
        }
        let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().map_err(wrong)?;
        tables.push((header, rows));
    }
    joined(&columns, &tables).map_err(|error| ExperimentError::Value {
        path: paths.first().cloned().unwrap_or_default(),
        reason: error.to_string(),
    })
}

fn joined(columns: &[String], tables: &[(Vec<String>, Vec<csv::StringRecord>)]) -> csv::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(columns)?;
    for (header, rows) in tables {
        let places: Vec<Option<usize>> = columns
            .iter()
            .map(|column| header.iter().position(|name| name == column))
            .collect();
        for row in rows {
            let cells = places.iter().map(|place| place.and_then(|place| row.get(place)));
            writer.write_record(cells.map(Option::unwrap_or_default))?;
        }
    }
    Ok(writer.into_inner().map_err(csv::IntoInnerError::into_error)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_joined_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [("a", "image_id,x\ni1,1\n"), ("b", "image_id,y,x\ni2,5,2\n")].map(|(name, text)| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        });
        let text = String::from_utf8(concatenate(&paths).unwrap()).unwrap();
        assert_eq!(text, "image_id,x,y\ni1,1,\ni2,2,5\n");
    }
}
