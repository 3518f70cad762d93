use std::collections::BTreeSet;
use std::path::Path;

use htl_vocabulary::write_whole_with;

use crate::error::{MiningError, Result};

/// What images look like to somebody, a vector each: the encoder of a network, or their own colours.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeatureTable {
    ids: Vec<String>,
    /// One after the other.
    values: Vec<f64>,
}

impl FeatureTable {
    /// Of these images, a vector each.
    ///
    /// # Errors
    /// [`MiningError::Features`] for vectors of different length, of none or with a number that is not finite,
    /// [`MiningError::DuplicateId`] for an image twice.
    pub fn new(ids: Vec<String>, vectors: &[Vec<f64>]) -> Result<Self> {
        let bad = |problem: String| Err(MiningError::Features { problem });
        let length = vectors.first().map_or(0, Vec::len);
        if ids.len() != vectors.len() || length == 0 {
            return bad(format!(
                "{} images and {} vectors of {length} numbers",
                ids.len(),
                vectors.len()
            ));
        }
        let mut seen = BTreeSet::new();
        for (id, vector) in ids.iter().zip(vectors) {
            if !seen.insert(id) {
                return Err(MiningError::DuplicateId {
                    image_id: id.clone(),
                    place: "the features".into(),
                });
            }
            if vector.len() != length {
                return bad(format!("`{id}` has {} numbers, the first image {length}", vector.len()));
            }
            if let Some(odd) = vector.iter().find(|value| !value.is_finite()) {
                return bad(format!("`{id}` has {odd}"));
            }
        }
        Ok(Self {
            values: vectors.concat(),
            ids,
        })
    }

    /// The images.
    #[must_use]
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Numbers of each.
    #[must_use]
    pub fn length(&self) -> usize {
        self.values.len() / self.ids.len().max(1)
    }

    /// All vectors, one after the other.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// [`MiningError::Io`], [`MiningError::Csv`], [`MiningError::Header`] for a file without `image_id` first,
    /// [`MiningError::Features`] for what is no number, and those of [`new`](Self::new).
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(MiningError::io(path))?;
        let csv_error = MiningError::csv(path);
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let header = reader.headers().map_err(csv_error)?;
        if header.get(0) != Some(IMAGE_ID) || header.len() < 2 {
            return Err(MiningError::Header {
                path: path.to_owned(),
                problem: format!("expected `{IMAGE_ID}` and a column for each feature: `htl features` writes such"),
            });
        }
        let (mut ids, mut vectors) = (Vec::new(), Vec::new());
        for record in reader.records() {
            let record = record.map_err(csv_error)?;
            let mut cells = record.iter();
            let image_id = cells.next().unwrap_or_default().to_owned();
            let vector = cells.map(|cell| {
                cell.parse().map_err(|_| MiningError::Features {
                    problem: format!("`{image_id}` has `{cell}`, which is no number"),
                })
            });
            vectors.push(vector.collect::<Result<_>>()?);
            ids.push(image_id);
        }
        Self::new(ids, &vectors)
    }

    /// Writes `image_id` and a column for each number, CSV: whole or not at all.
    ///
    /// # Errors
    /// [`MiningError::Write`].
    pub fn write(&self, path: &Path) -> Result<()> {
        let written = write_whole_with(path, |file| {
            let mut writer = csv::Writer::from_writer(file);
            let names = (0..self.length()).map(|at| format!("f{at}"));
            writer.write_record(std::iter::once(IMAGE_ID.to_owned()).chain(names))?;
            for (id, vector) in self.ids.iter().zip(self.values.chunks(self.length().max(1))) {
                let numbers = vector.iter().map(f64::to_string);
                writer.write_record(std::iter::once(id.clone()).chain(numbers))?;
            }
            writer.flush()
        });
        written.map_err(MiningError::Write)
    }
}

const IMAGE_ID: &str = "image_id";

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> FeatureTable {
        let vectors = [vec![0.1, -2.0], vec![1e-12, 3.0]];
        FeatureTable::new(vec!["a".into(), "b, c".into()], &vectors).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.csv");
        table().write(&path).unwrap();
        assert_eq!(FeatureTable::read(&path).unwrap(), table());
    }

    #[test]
    fn what_is_no_feature_is_refused() {
        let of = |ids: &[&str], vectors: &[Vec<f64>]| {
            let ids = ids.iter().map(|id| (*id).to_owned()).collect();
            FeatureTable::new(ids, vectors)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        assert!(of(&["a", "b"], &[vec![1.0], vec![1.0, 2.0]]).contains("`b` has 2 numbers"));
        assert!(of(&["a", "a"], &[vec![1.0], vec![1.0]]).contains("occurs twice"));
        assert!(of(&["a"], &[vec![f64::NAN]]).contains("`a` has NaN"));
        assert!(of(&["a"], &[vec![]]).contains("0 numbers"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd.csv");
        for (text, expected) in [("image_id,f0\na,x\n", "`x`"), ("id,f0\na,1\n", "htl features")] {
            std::fs::write(&path, text).unwrap();
            let error = FeatureTable::read(&path).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
