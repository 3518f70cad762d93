//! Tables whose rows are structs: the fields are the columns.

use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};

use crate::FormatError;
use crate::whole::write_whole;

/// Writes a row per value under the names of its fields; a table without rows has its header.
///
/// # Errors
/// [`FormatError::NotWritten`].
pub fn write_rows<T: Serialize + Default>(path: &Path, rows: &[T]) -> Result<(), FormatError> {
    let bytes = || -> std::io::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        if rows.is_empty() {
            writer.serialize(T::default())?;
            let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
            let end = bytes
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(bytes.len(), |end| end + 1);
            return Ok(bytes[..end].to_vec());
        }
        for row in rows {
            writer.serialize(row)?;
        }
        writer.into_inner().map_err(csv::IntoInnerError::into_error)
    };
    bytes()
        .and_then(|bytes| write_whole(path, bytes))
        .map_err(FormatError::NotWritten)
}

/// Reads what [`write_rows`] wrote; columns may come in any order, and further columns are ignored.
///
/// # Errors
/// [`FormatError::Io`] if it cannot be read, [`FormatError::Csv`] naming line and column that do not fit.
pub fn read_rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, FormatError> {
    let bytes = std::fs::read(path).map_err(|source| FormatError::Io {
        path: path.to_owned(),
        action: "read",
        source,
    })?;
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(bytes.as_slice());
    let rows: Result<Vec<T>, csv::Error> = reader.deserialize().collect();
    rows.map_err(|error| FormatError::Csv {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Row {
        name: String,
        value: Option<f64>,
    }

    #[test]
    fn tables_come_back_and_empty_ones_have_a_header() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        let rows = vec![
            Row {
                name: "a, b".into(),
                value: Some(0.1),
            },
            Row::default(),
        ];
        write_rows(&path, &rows).unwrap();
        assert_eq!(read_rows::<Row>(&path).unwrap(), rows);
        write_rows::<Row>(&path, &[]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "name,value\n");
        assert_eq!(read_rows::<Row>(&path).unwrap(), []);
        std::fs::write(&path, "name,value\na,many\n").unwrap();
        let message = read_rows::<Row>(&path).unwrap_err().to_string();
        assert!(message.contains("rows.csv") && message.contains("line: 2"), "{message}");
    }
}
