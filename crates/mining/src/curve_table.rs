use std::collections::BTreeMap;
use std::path::Path;

use crate::error::{MiningError, Result};

/// Curves of one kind: what was done to the weights, and what was compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CurveKind {
    /// As [`crate::Damage::key`].
    pub damage: String,
    /// `iou` or `classes`.
    pub measure: String,
}

/// The forgetting curves of single images, as [`crate::ForgettingCurves::write`] keeps them in `curve.csv`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CurveTable {
    sparsities: Vec<f64>,
    curves: BTreeMap<CurveKind, BTreeMap<String, Vec<f64>>>,
}

/// Columns of `curve.csv` before the sparsities.
pub(crate) const CURVE_COLUMNS: [&str; 3] = ["image_id", "damage", "measure"];

impl CurveTable {
    /// Reads the tables of several folds, whose images are different ones, as one.
    ///
    /// # Errors
    /// [`MiningError::Io`], [`MiningError::Csv`], [`MiningError::Header`] for other columns or sparsities than those of the
    /// tables before, [`MiningError::Cell`] for what is no agreement, [`MiningError::DuplicateId`] for an image twice.
    pub fn read<P: AsRef<Path>>(paths: &[P]) -> Result<Self> {
        let mut all = Self::default();
        for path in paths {
            all.add(path.as_ref())?;
        }
        Ok(all)
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let bytes = std::fs::read(path).map_err(MiningError::io(path))?;
        let csv_error = MiningError::csv(path);
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let header = reader.headers().map_err(csv_error)?.clone();
        let sparsities = sparsities(&header).map_err(|problem| MiningError::Header {
            path: path.to_owned(),
            problem,
        })?;
        if self.curves.is_empty() {
            self.sparsities = sparsities;
        } else if self.sparsities != sparsities {
            return Err(MiningError::Header {
                path: path.to_owned(),
                problem: format!(
                    "the sparsities {sparsities:?} are not those of the tables before, {:?}: make them with the same --sparsities",
                    self.sparsities
                ),
            });
        }
        for record in reader.records() {
            let record = record.map_err(csv_error)?;
            let cell = |at: usize| record.get(at).unwrap_or_default().to_owned();
            let kind = CurveKind {
                damage: cell(1),
                measure: cell(2),
            };
            let agreement = |(column, found): (&str, &str)| {
                share(found).ok_or_else(|| MiningError::Cell {
                    path: path.to_owned(),
                    row: record.position().map_or(0, csv::Position::line),
                    column: column.to_owned(),
                    problem: format!("found `{found}`, expected a number in [0, 1]"),
                })
            };
            let cells = header.iter().zip(&record).skip(CURVE_COLUMNS.len());
            let curve = cells.map(agreement).collect::<Result<Vec<f64>>>()?;
            if self.curves.entry(kind).or_default().insert(cell(0), curve).is_some() {
                return Err(MiningError::DuplicateId {
                    image_id: cell(0),
                    place: path.display().to_string(),
                });
            }
        }
        Ok(())
    }

    /// The grid, ascending.
    pub fn sparsities(&self) -> &[f64] {
        &self.sparsities
    }

    /// Every kind of curve with the curves of its images.
    pub fn kinds(&self) -> impl Iterator<Item = (&CurveKind, &BTreeMap<String, Vec<f64>>)> {
        self.curves.iter()
    }
}

/// The columns after the first three, or what is wrong with the header.
fn sparsities(header: &csv::StringRecord) -> std::result::Result<Vec<f64>, String> {
    if header.iter().take(CURVE_COLUMNS.len()).ne(CURVE_COLUMNS) {
        return Err(format!(
            "expected {}, then a column per sparsity",
            CURVE_COLUMNS.join(",")
        ));
    }
    let sparsity = |name: &str| share(name).ok_or_else(|| format!("column `{name}` is no sparsity"));
    header.iter().skip(CURVE_COLUMNS.len()).map(sparsity).collect()
}

/// A number in [0, 1].
fn share(cell: &str) -> Option<f64> {
    cell.trim().parse().ok().filter(|value| (0.0..=1.0).contains(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn folds_are_read_as_one_table() {
        let folder = tempfile::tempdir().unwrap();
        let header = "image_id,damage,measure,0,0.5\n";
        let a = written(folder.path(), "a.csv", &format!("{header}i1,pruned-raw,iou,1,0.25\n"));
        let b = written(folder.path(), "b.csv", &format!("{header}i2,pruned-raw,iou,1,0.75\n"));
        let table = CurveTable::read(&[&a, &b]).unwrap();
        assert_eq!(table.sparsities(), [0.0, 0.5]);
        let (kind, curves) = table.kinds().next().unwrap();
        assert_eq!((kind.damage.as_str(), curves.len()), ("pruned-raw", 2));
        assert!(CurveTable::read(&[&a, &a]).unwrap_err().to_string().contains("i1"));
        let other = written(folder.path(), "c.csv", "image_id,damage,measure,0,0.9\n");
        assert!(
            CurveTable::read(&[&a, &other])
                .unwrap_err()
                .to_string()
                .contains("c.csv")
        );
        let broken = written(folder.path(), "d.csv", &format!("{header}i3,pruned-raw,iou,1,much\n"));
        let said = CurveTable::read(&[&broken]).unwrap_err().to_string();
        assert!(
            said.contains("d.csv") && said.contains("row 2") && said.contains("much"),
            "{said}"
        );
        let older = written(folder.path(), "e.csv", "image_id,damage,0,0.5\n");
        assert!(CurveTable::read(&[&older]).unwrap_err().to_string().contains("measure"));
    }
}
