//! What tables say of images: several tables, one row per image.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use htl_vocabulary::{ColumnName, MetadataTable};

use super::Origin;
use crate::DatasetError;

/// What is known of images, by id and column.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Columns besides the id, in the order in which they were met.
    pub columns: Vec<String>,
    /// By id.
    pub rows: BTreeMap<String, BTreeMap<String, String>>,
    /// Rows of no image.
    pub of_no_image: BTreeSet<String>,
    problems: Vec<DatasetError>,
}

/// Diagnoses of PH2 by its codes.
const PH2_DIAGNOSES: [&str; 3] = ["common nevus", "atypical nevus", "melanoma"];

impl Facts {
    /// Adds a table; `ids` are those of the images.
    pub(super) fn add(
        &mut self,
        path: &Path,
        origin: Origin,
        names: &[ColumnName],
        ids: &BTreeSet<&str>,
    ) -> Result<(), DatasetError> {
        if origin == Origin::Ph2 && path.extension().is_some_and(|extension| extension == "txt") {
            return self.add_ph2(path, ids);
        }
        let table = MetadataTable::read(path, names)?;
        let place = |wanted: &str| table.columns().iter().position(|column| column == wanted);
        // The challenge of 2017 asked for two diagnoses; what is neither is a nevus.
        let neither =
            origin == Origin::Isic2017 && place("melanoma").is_some() && place("seborrheic_keratosis").is_some();
        for record in table.records() {
            let cells = table.columns().iter().zip(&record.cells);
            let marks = |column: &str| neither && ["melanoma", "seborrheic_keratosis"].contains(&column);
            for (column, cell) in cells.filter(|(column, _)| *column != "image_id" && !marks(column)) {
                let nevus = (neither && column == "dx").then_some("nevus");
                if let Some(cell) = cell.as_deref().or(nevus) {
                    self.put(path, &record.image_id, column, cell, ids);
                }
            }
        }
        Ok(())
    }

    /// The table of PH2, whose cells lie between double bars.
    fn add_ph2(&mut self, path: &Path, ids: &BTreeSet<&str>) -> Result<(), DatasetError> {
        let text = fs::read(path).map_err(DatasetError::read(path))?;
        for line in String::from_utf8_lossy(&text)
            .lines()
            .filter(|line| line.starts_with("||"))
        {
            let cells: Vec<&str> = line.split("||").map(str::trim).collect();
            let &[_, name, histology, code, ..] = cells.as_slice() else {
                continue;
            };
            let diagnosis = code.parse::<usize>().ok().and_then(|code| PH2_DIAGNOSES.get(code));
            if let Some(diagnosis) = diagnosis.filter(|_| !name.is_empty()) {
                self.put(path, name, "dx", diagnosis, ids);
                if !histology.is_empty() {
                    self.put(path, name, "histology", histology, ids);
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, path: &Path, id: &str, column: &str, cell: &str, ids: &BTreeSet<&str>) {
        let stem = id.rsplit_once('.').map_or(id, |(stem, _)| stem);
        let Some(id) = ids.get(id).or_else(|| ids.get(stem)) else {
            self.of_no_image.insert(id.to_owned());
            return;
        };
        if !self.columns.iter().any(|known| known == column) {
            self.columns.push(column.to_owned());
        }
        let row = self.rows.entry((*id).to_owned()).or_default();
        let kept = row.entry(column.to_owned()).or_insert_with(|| cell.to_owned());
        if kept != cell {
            self.problems.push(DatasetError::Import {
                reason: format!(
                    "{}: {column} of `{id}` is `{cell}`, another table has `{kept}`; correct one of them",
                    path.display()
                ),
            });
        }
    }

    /// All of it, unless tables contradict each other.
    pub(super) fn agreed(mut self) -> Result<Self, DatasetError> {
        DatasetError::all(std::mem::take(&mut self.problems))?;
        Ok(self)
    }
}

/// Tables that are read and, with the reason, those that are none of images. Those that a person named must be read.
pub(super) fn facts(
    found: &[PathBuf],
    named: &[PathBuf],
    origin: Origin,
    names: &[ColumnName],
    ids: &BTreeSet<&str>,
) -> Result<(Facts, Vec<String>), DatasetError> {
    let (mut facts, mut unread) = (Facts::default(), Vec::new());
    for path in named {
        facts.add(path, origin, names, ids)?;
    }
    for path in found {
        // `--map` is for the tables that a person named, and for those that have such a column.
        let read = facts
            .add(path, origin, names, ids)
            .or_else(|_| facts.add(path, origin, &[], ids));
        if let Err(error) = read {
            unread.push(error.to_string());
        }
    }
    if !(named.is_empty() && found.is_empty()) && facts.rows.is_empty() && !facts.of_no_image.is_empty() {
        let ids: Vec<String> = facts.of_no_image.iter().cloned().collect();
        return Err(DatasetError::Import {
            reason: format!(
                "no row of the tables is of an image; their ids are {}: rename the files or the ids",
                crate::error::list(&ids)
            ),
        });
    }
    Ok((facts.agreed()?, unread))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, text: &str, origin: Origin, ids: &[&str]) -> Result<Facts, DatasetError> {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(name);
        fs::write(&path, text).unwrap();
        let ids: BTreeSet<&str> = ids.iter().copied().collect();
        facts(&[path], &[], origin, &[], &ids).map(|(facts, _)| facts)
    }

    fn dx(facts: &Facts) -> Vec<&str> {
        facts.rows.values().map(|row| row["dx"].as_str()).collect()
    }

    #[test]
    fn diagnoses_of_2017_are_three() {
        let text = "image_id,melanoma,seborrheic_keratosis\na,1.0,0.0\nb,0.0,1.0\nc,0.0,0.0\n";
        let facts = table("t.csv", text, Origin::Isic2017, &["a", "b", "c"]).unwrap();
        assert_eq!(dx(&facts), ["melanoma", "seborrheic keratosis", "nevus"]);
    }

    #[test]
    fn the_table_of_ph2_is_read() {
        let text = "||   Name || Histological Diagnosis || Clinical Diagnosis || Asymmetry | Streaks || Colors ||\n\
                    || IMD003 ||                        ||                  0 || 0 |  A  || 4     ||\n\
                    || IMD058 ||         Melanoma       ||                  2 || 2 |  P  || 3  4  ||\n\nLegends: (0 - common)\n";
        let facts = table("PH2_dataset.txt", text, Origin::Ph2, &["IMD003", "IMD058"]).unwrap();
        assert_eq!(dx(&facts), ["common nevus", "melanoma"]);
        assert_eq!(facts.rows["IMD058"]["histology"], "Melanoma");
        assert_eq!(facts.columns, ["dx", "histology"]);
    }

    #[test]
    fn rows_without_images_are_counted_and_contradictions_refused() {
        let facts = table("t.csv", "image,sex\na.jpg,male\nz,male\n", Origin::Folder, &["a"]).unwrap();
        assert_eq!(facts.rows["a"]["sex"], "male");
        assert_eq!(facts.of_no_image.len(), 1);
        let error = table("t.csv", "image,sex\nx,male\n", Origin::Folder, &["a"])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no row of the tables is of an image; their ids are `x`"),
            "{error}"
        );
        let place = tempfile::tempdir().unwrap();
        let paths = ["male", "female"].map(|sex| {
            let path = place.path().join(format!("{sex}.csv"));
            fs::write(&path, format!("image,sex\na,{sex}\n")).unwrap();
            path
        });
        let error = super::facts(&paths, &[], Origin::Folder, &[], &BTreeSet::from(["a"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("sex of `a` is `female`, another table has `male`"),
            "{error}"
        );
    }
}
