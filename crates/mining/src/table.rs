use std::collections::{HashMap, HashSet};
use std::path::Path;

use htl_vocabulary::write_whole_with;

use crate::error::{MiningError, Result};

/// Columns of `scores.csv` before the score columns.
pub const KEY_COLUMNS: [&str; 3] = ["image_id", "setting", "fold"];

/// Last column of `scores.csv`: 1 = selected.
pub const HTL_COLUMN: &str = "htl";

/// One image's scores, in the order of [`ScoreTable::columns`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScoreRow {
    /// The image.
    pub image_id: String,
    /// Setting, as `supervised`; may be empty.
    pub setting: String,
    /// The fold that held the image out; `None` for in-sample scores.
    pub fold: Option<u32>,
    /// One value per score column, `None` where unknown.
    pub scores: Vec<Option<f64>>,
    /// Whether the image is in the HTL set.
    pub htl: bool,
}

/// Scores by image id: `image_id`, `setting`, `fold`, score columns (higher = harder), `htl`.
///
/// A row is identified by its image id, setting and fold together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScoreTable {
    columns: Vec<String>,
    rows: Vec<ScoreRow>,
    index: HashMap<String, Vec<usize>>,
    /// Which rows there are.
    keys: HashSet<RowKey>,
}

/// Image id, setting and fold of a row.
type RowKey = (String, String, Option<u32>);

fn key_of(row: &ScoreRow) -> RowKey {
    (row.image_id.clone(), row.setting.clone(), row.fold)
}

impl ScoreTable {
    /// A table without rows.
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Self {
            columns: columns.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`MiningError::Length`] if it has another number of scores than there are columns, [`MiningError::DuplicateId`]
    /// if the same image, setting and fold are there already, [`MiningError::Parameter`] if a score is not finite.
    pub fn push(&mut self, row: ScoreRow) -> Result<()> {
        if row.scores.len() != self.columns.len() {
            return Err(MiningError::Length {
                what: "scores of a row",
                found: row.scores.len(),
                expected: self.columns.len(),
            });
        }
        if let Some(found) = row.scores.iter().flatten().find(|score| !score.is_finite()) {
            return Err(MiningError::Parameter {
                name: "score",
                expected: "a finite number, or missing",
                found: *found,
            });
        }
        if !self.keys.insert(key_of(&row)) {
            let place = format!("the score table (setting `{}`, fold {:?})", row.setting, row.fold);
            return Err(MiningError::DuplicateId {
                image_id: row.image_id,
                place,
            });
        }
        self.index
            .entry(row.image_id.clone())
            .or_default()
            .push(self.rows.len());
        self.rows.push(row);
        Ok(())
    }

    /// Names of the score columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Rows in the order in which they were added.
    pub fn rows(&self) -> &[ScoreRow] {
        &self.rows
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Image ids, row by row.
    pub fn ids(&self) -> Vec<String> {
        self.rows.iter().map(|row| row.image_id.clone()).collect()
    }

    /// Ids of the selected images, in the order of the rows.
    pub fn selected(&self) -> Vec<String> {
        self.rows
            .iter()
            .filter(|row| row.htl)
            .map(|row| row.image_id.clone())
            .collect()
    }

    /// The first row of an image.
    pub fn get(&self, image_id: &str) -> Option<&ScoreRow> {
        self.index
            .get(image_id)
            .and_then(|rows| rows.first())
            .and_then(|&i| self.rows.get(i))
    }

    /// The first row of an image in a setting.
    pub fn find(&self, image_id: &str, setting: &str) -> Option<&ScoreRow> {
        self.index
            .get(image_id)?
            .iter()
            .map(|&i| &self.rows[i])
            .find(|row| row.setting == setting)
    }

    /// One score of an image (its first row), `None` if image, column or value is missing.
    pub fn score(&self, image_id: &str, column: &str) -> Option<f64> {
        let column = self.columns.iter().position(|name| name == column)?;
        self.get(image_id)?.scores.get(column).copied().flatten()
    }

    /// All values of a column, row by row.
    ///
    /// # Errors
    /// [`MiningError::NoColumn`].
    pub fn column(&self, column: &str) -> Result<Vec<Option<f64>>> {
        let position = self
            .columns
            .iter()
            .position(|name| name == column)
            .ok_or_else(|| MiningError::NoColumn {
                column: column.to_string(),
                known: self.columns.clone(),
            })?;
        Ok(self.rows.iter().map(|row| row.scores[position]).collect())
    }

    /// Adds a column, or replaces the one of that name; `values` row by row.
    ///
    /// # Errors
    /// [`MiningError::Length`], [`MiningError::Parameter`] if a value is not a number.
    pub fn set_column(&mut self, column: &str, values: &[Option<f64>]) -> Result<()> {
        if values.len() != self.rows.len() {
            return Err(MiningError::Length {
                what: "column",
                found: values.len(),
                expected: self.rows.len(),
            });
        }
        if let Some(found) = values.iter().flatten().find(|value| value.is_nan()) {
            return Err(MiningError::Parameter {
                name: "score",
                expected: "a finite number, or missing",
                found: *found,
            });
        }
        let position = self.columns.iter().position(|name| name == column);
        self.put_column(position, column, values);
        Ok(())
    }

    /// Replaces the column at this position, or adds one; returns where it is.
    fn put_column(&mut self, position: Option<usize>, name: &str, values: &[Option<f64>]) -> usize {
        let place = position.unwrap_or(self.columns.len());
        if position.is_none() {
            self.columns.push(name.to_string());
        }
        for (row, &value) in self.rows.iter_mut().zip(values) {
            match position {
                Some(position) => row.scores[position] = value,
                None => row.scores.push(value),
            }
        }
        place
    }

    /// The rows for which `keep` holds, as of one setting: `table.filtered(|row| row.setting == "supervised")`.
    pub fn filtered(&self, keep: impl Fn(&ScoreRow) -> bool) -> Self {
        let mut filtered = ScoreTable::new(self.columns.iter().cloned());
        for row in self.rows.iter().filter(|row| keep(row)) {
            filtered
                .index
                .entry(row.image_id.clone())
                .or_default()
                .push(filtered.rows.len());
            filtered.keys.insert(key_of(row));
            filtered.rows.push(row.clone());
        }
        filtered
    }

    /// The settings that occur, in order of appearance.
    pub fn settings(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let all = self.rows.iter().map(|row| row.setting.as_str());
        all.filter(|setting| seen.insert(*setting)).collect()
    }

    /// The same rows, labelled with a setting and the fold that held the images out (`None`: in-sample).
    pub fn labelled(mut self, setting: &str, fold: Option<u32>) -> Self {
        for row in &mut self.rows {
            row.setting = setting.to_string();
            row.fold = fold;
        }
        self.keys = self.rows.iter().map(key_of).collect();
        self
    }

    /// Sets `htl` to whether the image is among these, in every row.
    ///
    /// # Errors
    /// [`MiningError::MissingId`] if one of them is not in the table.
    pub(crate) fn mark_ids(&mut self, ids: &[String]) -> Result<()> {
        if let Some(id) = ids.iter().find(|id| !self.index.contains_key(*id)) {
            return Err(MiningError::MissingId {
                image_id: id.clone(),
                place: "the score table".into(),
            });
        }
        for row in &mut self.rows {
            row.htl = false;
        }
        for &row in ids.iter().filter_map(|id| self.index.get(id)).flatten() {
            self.rows[row].htl = true;
        }
        Ok(())
    }

    /// Rows of all tables one after the other; columns are united, values that a table lacks are missing.
    ///
    /// # Errors
    /// [`MiningError::DuplicateId`] if two tables hold the same image, setting and fold.
    pub fn concat(tables: impl IntoIterator<Item = ScoreTable>) -> Result<Self> {
        let tables: Vec<ScoreTable> = tables.into_iter().collect();
        let mut joined = ScoreTable::default();
        let mut seen = HashSet::new();
        for column in tables.iter().flat_map(|table| &table.columns) {
            if seen.insert(column) {
                joined.columns.push(column.clone());
            }
        }
        for table in tables {
            let own = places(&table.columns);
            let places: Vec<Option<usize>> = joined.columns.iter().map(|name| own.get(name).copied()).collect();
            for row in table.rows {
                let scores = places.iter().map(|place| place.and_then(|p| row.scores[p])).collect();
                joined.push(ScoreRow { scores, ..row })?;
            }
        }
        Ok(joined)
    }

    /// Adds the columns of another table, matched by image id, their names prefixed: `in_sample_` puts in-sample scores
    /// beside out-of-fold ones. Images that the other table lacks get no value.
    ///
    /// # Errors
    /// [`MiningError::DuplicateId`] if the other table holds an image more than once.
    pub fn join(&mut self, other: &ScoreTable, prefix: &str) -> Result<()> {
        if let Some((id, _)) = other.index.iter().filter(|(_, rows)| rows.len() > 1).min() {
            return Err(MiningError::DuplicateId {
                image_id: id.clone(),
                place: "the table to be joined".into(),
            });
        }
        let mut own = places(&self.columns);
        for (position, name) in other.columns.iter().enumerate() {
            let values: Vec<Option<f64>> = self
                .rows
                .iter()
                .map(|row| other.get(&row.image_id).and_then(|found| found.scores[position]))
                .collect();
            let name = format!("{prefix}{name}");
            let place = self.put_column(own.get(&name).copied(), &name, &values);
            own.insert(name, place);
        }
        Ok(())
    }

    /// Writes `scores.csv`: [`KEY_COLUMNS`], the score columns, [`HTL_COLUMN`]; missing values are blank. Written
    /// whole or not at all. Numbers are written so that reading gives the same bits.
    ///
    /// # Errors
    /// [`MiningError::Write`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let written = write_whole_with(path.as_ref(), |file| {
            let mut writer = csv::Writer::from_writer(file);
            let columns = self.columns.iter().map(String::as_str);
            writer.write_record(KEY_COLUMNS.into_iter().chain(columns).chain([HTL_COLUMN]))?;
            for row in &self.rows {
                let mut record = vec![row.image_id.clone(), row.setting.clone()];
                record.push(row.fold.map(|fold| fold.to_string()).unwrap_or_default());
                record.extend(
                    row.scores
                        .iter()
                        .map(|score| score.map(|s| s.to_string()).unwrap_or_default()),
                );
                record.push(u8::from(row.htl).to_string());
                writer.write_record(&record)?;
            }
            writer.flush()
        });
        written.map_err(MiningError::Write)
    }

    /// Reads a table: `image_id` is required; `setting`, `fold` and `htl` may be absent; every other column is a score.
    /// Blank = missing; `inf` is a number (never learned), `NaN` is not.
    ///
    /// # Errors
    /// [`MiningError::Io`], [`MiningError::Csv`], [`MiningError::Header`], and [`MiningError::Cell`] with file, row
    /// and column.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(MiningError::io(path))?;
        let csv_error = MiningError::csv(path);
        let mut reader = csv::Reader::from_reader(std::io::BufReader::new(file));
        let header = reader.headers().map_err(csv_error)?.clone();
        let header_error = |problem| MiningError::Header {
            path: path.to_path_buf(),
            problem,
        };
        let names: Vec<&str> = header
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}').trim())
            .collect();
        let mut seen = HashSet::new();
        if let Some(name) = names.iter().find(|name| !seen.insert(**name)) {
            return Err(header_error(format!("column `{name}` occurs twice")));
        }
        let place = |wanted: &str| names.iter().position(|name| *name == wanted);
        let [id_key, setting_key, fold_key] = KEY_COLUMNS;
        let id_column = place(id_key).ok_or_else(|| header_error(format!("no column `{id_key}`")))?;
        let (setting_column, fold_column, htl_column) = (place(setting_key), place(fold_key), place(HTL_COLUMN));
        let keys = [Some(id_column), setting_column, fold_column, htl_column];
        let score_columns: Vec<usize> = (0..names.len()).filter(|i| !keys.contains(&Some(*i))).collect();
        let mut table = ScoreTable::new(score_columns.iter().map(|&i| names[i]));
        for record in reader.records() {
            let record = record.map_err(csv_error)?;
            let line = record.position().map_or(0, csv::Position::line);
            let cell = |column: usize| record.get(column).unwrap_or_default().trim();
            let wrong = |column: usize, problem: String| MiningError::Cell {
                path: path.to_path_buf(),
                row: line,
                column: names[column].to_string(),
                problem,
            };
            let image_id = cell(id_column).to_string();
            if image_id.is_empty() {
                return Err(wrong(id_column, "blank, expected an image id".into()));
            }
            let fold = match fold_column.map(|i| (i, cell(i))) {
                None | Some((_, "")) => None,
                Some((i, text)) => Some(
                    text.parse()
                        .map_err(|_| wrong(i, format!("`{text}` is not a fold number 0, 1, ... or blank")))?,
                ),
            };
            let htl = match htl_column.map(|i| (i, cell(i))) {
                None | Some((_, "" | "0")) => false,
                Some((_, "1")) => true,
                Some((i, text)) => return Err(wrong(i, format!("`{text}` is neither 0 nor 1"))),
            };
            let scores = score_columns
                .iter()
                .map(|&i| match cell(i) {
                    "" => Ok(None),
                    text => match text.parse::<f64>() {
                        Ok(score) if !score.is_nan() => Ok(Some(score)),
                        _ => Err(wrong(
                            i,
                            format!("`{text}` is not a number (leave it blank if unknown)"),
                        )),
                    },
                })
                .collect::<Result<Vec<_>>>()?;
            let setting = setting_column.map(cell).unwrap_or_default().to_string();
            table
                .push(ScoreRow {
                    image_id,
                    setting,
                    fold,
                    scores,
                    htl,
                })
                .map_err(|error| match error {
                    MiningError::DuplicateId { image_id, .. } => wrong(
                        id_column,
                        format!("`{image_id}` occurs twice in the same setting and fold"),
                    ),
                    other => other,
                })?;
        }
        Ok(table)
    }
}

/// Positions of columns by name.
fn places(columns: &[String]) -> HashMap<String, usize> {
    let numbered = columns.iter().enumerate();
    numbered.map(|(place, name)| (name.clone(), place)).collect()
}
