use std::collections::BTreeSet;
use std::path::Path;

use htl_vocabulary::{listed_ids, write_whole};

use crate::{DataFolder, DatasetError, Sample};

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

/// Reads the column `image_id` of a table, in its order; it is read as [`MetadataTable`](htl_vocabulary::MetadataTable) is.
///
/// # Errors
/// [`DatasetError::Table`]: a missing column; every id that is blank or appears twice, with its line.
pub fn read_ids(path: &Path) -> Result<Vec<String>, DatasetError> {
    Ok(listed_ids(path)?.into_iter().map(|(_, id)| id).collect())
}

impl DataFolder {
    /// The samples that a table with a column `image_id` lists (such as the labelled part of a training set), in its order.
    ///
    /// File names are understood as well, `train/ISIC_0000000.jpg` as `ISIC_0000000`, which is said by `tracing::warn`. An
    /// image that is listed twice in such ways comes once.
    ///
    /// # Errors
    /// As [`read_ids`]; [`DatasetError::UnknownIds`] counts ids that are not in this folder, and names the first few.
    pub fn listed(&self, path: &Path) -> Result<Vec<&Sample>, DatasetError> {
        let (mut samples, mut taken, mut unknown) = (Vec::new(), BTreeSet::new(), Vec::new());
        let mut as_files = Vec::new();
        let ids = listed_ids(path)?;
        let listed = ids.len();
        for (_, id) in ids {
            let sample = self.get(&id).or_else(|| {
                let sample = self.get(bare_id(&id)?)?;
                as_files.push(id.clone());
                Some(sample)
            });
            match sample {
                None => unknown.push(id),
                Some(sample) if taken.insert(&sample.image_id) => samples.push(sample),
                Some(_) => {}
            }
        }
        if !unknown.is_empty() {
            return Err(DatasetError::UnknownIds {
                path: path.into(),
                listed,
                unknown,
                root: self.root().into(),
            });
        }
        if let Some(first) = as_files.first() {
            tracing::warn!(
                "{}: {} of {listed} ids are names of files, such as `{first}`, read as `{}`",
                path.display(),
                as_files.len(),
                bare_id(first).unwrap_or(first)
            );
        }
        Ok(samples)
    }
}

/// The id that the name of an image file stands for.
fn bare_id(name: &str) -> Option<&str> {
    let file = name.rsplit(['/', '\\']).next()?;
    let bare = file.rsplit_once('.').filter(|(_, extension)| {
        let image = ["jpg", "jpeg", "png"];
        image.iter().any(|known| extension.eq_ignore_ascii_case(known))
    });
    bare.map(|(stem, _)| stem).or(Some(file))
}

/// A field as CSV has it.
pub(crate) fn quoted(field: &str) -> String {
    if field.contains(['"', ',', ';', '\t', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn ids_come_back_whatever_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/list.csv");
        let ids = ["ISIC_1", "a, b", "\"q\"", "semi;colon", "=1+1"];
        write_ids(&path, ids).unwrap();
        assert_eq!(read_ids(&path).unwrap(), ids);
        write_ids(&path, ["b", "a"]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "image_id\nb\na\n");
        fs::write(&path, "image_id,dx\na,nv\n,mel\n").unwrap();
        assert!(read_ids(&path).unwrap_err().to_string().contains("line 3"));
    }

    #[test]
    fn names_of_files_stand_for_ids() {
        for name in ["a.b", "a.b.JPG", "train/a.b.png", "C:\\data\\a.b.jpeg"] {
            assert_eq!(bare_id(name), Some("a.b"), "{name}");
        }
    }
}
