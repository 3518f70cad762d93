use std::{collections::HashMap, fs, path::Path};

use htl_vocabulary::write_whole;

use crate::{DatasetError, metadata::Table};

/// Writes ids as a CSV file with the one column `image_id`.
///
/// # Errors
/// [`DatasetError::NotWritten`] names the file.
pub fn write_ids<'a>(path: &Path, ids: impl IntoIterator<Item = &'a str>) -> Result<(), DatasetError> {
    let mut text = String::from("image_id\n");
    for id in ids {
        text.push_str(&quoted(id));
        text.push('\n');
    }
    write_whole(path, text).map_err(DatasetError::NotWritten)
}

/// Reads the column `image_id` of a CSV file, in its order.
///
/// # Errors
/// [`DatasetError::Read`]; a missing column, an id that is blank or appears twice, with its line.
pub fn read_ids(path: &Path) -> Result<Vec<String>, DatasetError> {
    Ok(read_numbered_ids(path)?.into_iter().map(|(_, id)| id).collect())
}

/// [`read_ids`] with the line of each.
pub(crate) fn read_numbered_ids(path: &Path) -> Result<Vec<(u64, String)>, DatasetError> {
    let text = fs::read(path).map_err(DatasetError::read(path))?;
    let table = Table::parse(&text, path)?;
    let column = table.column("image_id")?;
    let mut first_lines: HashMap<String, u64> = HashMap::new();
    let mut ids = Vec::with_capacity(table.rows.len());
    for (line, mut record) in table.rows {
        let image_id = record.get_mut(column).map(std::mem::take).unwrap_or_default();
        if image_id.is_empty() {
            return Err(DatasetError::Table {
                path: path.into(),
                line,
                reason: "image_id is blank".to_owned(),
            });
        }
        if let Some(first_line) = first_lines.insert(image_id.clone(), line) {
            return Err(DatasetError::DuplicateId {
                path: path.into(),
                image_id,
                first_line,
                line,
            });
        }
        ids.push((line, image_id));
    }
    Ok(ids)
}

/// A field as CSV has it.
pub(crate) fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_whatever_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/list.csv");
        let ids = ["ISIC_1", "a, b", "\"q\"", "two\nlines"];
        write_ids(&path, ids).unwrap();
        assert_eq!(read_ids(&path).unwrap(), ids);
        write_ids(&path, ["b", "a"]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "image_id\nb\na\n");
        fs::write(&path, "image_id,dx\na,nv\n,mel\n").unwrap();
        assert!(read_ids(&path).unwrap_err().to_string().contains("line 3"));
    }
}
