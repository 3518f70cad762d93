use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::attribute::Attribute;
use crate::attributes::Subject;
use crate::error::{MiningError, Result};
use crate::spelling::{self, MergedSpelling, known};

/// A column with more different texts than this is taken for an id or free text, not a category.
const MOST_LEVELS: usize = 30;

/// Numbers with more different values than this are cut into terciles; fewer are categories.
const FEW_VALUES: usize = 10;

/// Columns that may hold the age in years; the first that is there is read.
const AGE_COLUMNS: [&str; 2] = ["age_approx", "age"];

/// The oldest age that is believed, in years.
const OLDEST: f64 = 130.0;

/// Names that other tables have for columns of ours; read where ours is not there.
const ALIASES: [(&str, &[&str]); 3] = [
    ("sex", &["gender"]),
    (
        "anatom_site",
        &["anatom_site_general", "localization", "body_site", "site"],
    ),
    ("dx", &["diagnosis"]),
];

/// Columns whose texts name things one by one: no two of them are spellings of one.
const NAMES: [&str; 3] = ["image_id", "lesion_id", "patient_id"];

/// A demographic table: `image_id` and any further columns.
///
/// Cells are trimmed. Blank, `unknown`, `NA`, `n/a`, `nan`, `none`, `null`, `missing`, `not stated`, `?`, `-` and the like
/// are not known, in every column. Texts of one column that differ in case, spaces, underscores or hyphens only are one
/// (the most frequent), and so are `F` and `female`, `M` and `male` in the column of the sex;
/// [`merged`](Metadata::merged) says which were. `gender` is read as `sex`, `localization` as `anatom_site`, `age` as
/// `age_approx`, `diagnosis` as `dx` where the table has no column of that name.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    path: PathBuf,
    columns: Vec<String>,
    rows: HashMap<String, Row>,
    merged: Vec<MergedSpelling>,
}

/// A column to analyse, and how its numbers are cut: `smoker`, or `bmi:18.5,25,30`.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnChoice {
    /// Name of the column.
    pub column: String,
    /// Cut points; none: words as they are, numbers of more than ten different values in thirds.
    pub cuts: Vec<f64>,
}

impl std::str::FromStr for ColumnChoice {
    type Err = String;

    /// A name, or a name and rising numbers: `bmi:18.5,25,30`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (column, cuts) = match text.rsplit_once(':') {
            None => (text, Vec::new()),
            Some((column, cuts)) => {
                let number = |cut: &str| cut.trim().parse::<f64>().ok().filter(|cut| cut.is_finite());
                let cuts: Option<Vec<f64>> = cuts.split(',').map(number).collect();
                let cuts = cuts.filter(|cuts| cuts.windows(2).all(|pair| pair[0] < pair[1]));
                let wanted =
                    format!("`{text}`: expected a column, or a column and rising cut points as in bmi:18.5,25,30");
                (column, cuts.ok_or(wanted)?)
            }
        };
        if column.trim().is_empty() {
            return Err(format!("`{text}` names no column"));
        }
        Ok(Self {
            column: column.trim().to_owned(),
            cuts,
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    cells: Vec<Option<String>>,
    age: Option<f64>,
}

impl Metadata {
    /// Reads a `metadata.csv`.
    ///
    /// # Errors
    /// [`MiningError::Io`], [`MiningError::Csv`], [`MiningError::Header`] for a column that is missing or there twice, and
    /// [`MiningError::Cell`] for a blank or repeated id and an age that is not a number from 0 to 130.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(MiningError::io(path))?;
        let csv_error = MiningError::csv(path);
        let mut reader = csv::Reader::from_reader(std::io::BufReader::new(file));
        let header = reader.headers().map_err(csv_error)?.clone();
        let columns: Vec<String> = header
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}').trim().to_owned())
            .collect();
        let header_error = |problem: String| MiningError::Header {
            path: path.to_path_buf(),
            problem,
        };
        let mut seen = HashSet::new();
        if let Some(name) = columns.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(header_error(format!("column `{name}` occurs twice")));
        }
        let place = |wanted: &str| columns.iter().position(|name| name == wanted);
        let id_column = place("image_id").ok_or_else(|| header_error("no column `image_id`".into()))?;
        let age_column = AGE_COLUMNS.into_iter().find_map(place);
        let mut rows = HashMap::new();
        for record in reader.records() {
            let record = record.map_err(csv_error)?;
            let wrong = |column: usize, problem: String| MiningError::Cell {
                path: path.to_path_buf(),
                row: record.position().map_or(0, csv::Position::line),
                column: columns.get(column).cloned().unwrap_or_default(),
                problem,
            };
            let cells: Vec<Option<String>> = record.iter().map(known).collect();
            let id = record.get(id_column).unwrap_or_default().trim().to_owned();
            if id.is_empty() {
                return Err(wrong(id_column, "blank, expected an image id".into()));
            }
            let age = match age_column.and_then(|i| Some((i, cells.get(i)?.as_deref()?))) {
                None => None,
                Some((i, text)) => match text.parse::<f64>() {
                    Ok(age) if (0.0..=OLDEST).contains(&age) => Some(age),
                    _ => {
                        let problem =
                            format!("`{text}` is not an age in years from 0 to {OLDEST} (leave it blank if unknown)");
                        return Err(wrong(i, problem));
                    }
                },
            };
            if rows.contains_key(&id) {
                return Err(wrong(id_column, format!("`{id}` occurs twice: ids must be unique")));
            }
            rows.insert(id, Row { cells, age });
        }
        let mut merged = Vec::new();
        for (place, column) in columns.iter().enumerate() {
            if !NAMES.contains(&column.as_str()) {
                let cells = rows.values_mut().filter_map(|row: &mut Row| row.cells.get_mut(place));
                merged.extend(spelling::merge(column, cells));
            }
        }
        Ok(Self {
            path: path.to_path_buf(),
            columns,
            rows,
            merged,
        })
    }

    /// Different spellings that were taken for one, by column.
    pub fn merged(&self) -> &[MergedSpelling] {
        &self.merged
    }

    /// Names of the columns, `image_id` among them.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Whether the table has a row for this image.
    pub fn contains(&self, image_id: &str) -> bool {
        self.rows.contains_key(image_id)
    }

    /// What the table knows of an image; nothing if it has no row for it.
    pub fn subject(&self, image_id: &str) -> Subject {
        let Some(row) = self.rows.get(image_id) else {
            return Subject::default();
        };
        let cells = self.columns.iter().zip(&row.cells);
        let mut cells: BTreeMap<String, String> = cells
            .filter_map(|(column, cell)| Some((column.clone(), cell.clone()?)))
            .collect();
        for (ours, others) in ALIASES {
            if self.place(ours).is_none() {
                let found = others.iter().find(|name| self.place(name).is_some());
                if let Some(cell) = found.and_then(|name| cells.get(*name)).cloned() {
                    cells.insert(ours.to_owned(), cell);
                }
            }
        }
        Subject {
            age: row.age,
            cells,
            ..Subject::default()
        }
    }

    /// Whether the table has a column for this name of ours, under this or another name.
    pub fn has(&self, column: &str) -> bool {
        let others = ALIASES
            .iter()
            .filter(|(ours, _)| *ours == column)
            .flat_map(|(_, others)| *others);
        let ages = AGE_COLUMNS.iter().filter(|_| AGE_COLUMNS.contains(&column));
        others
            .chain(ages)
            .chain([&column])
            .any(|name| self.place(name).is_some())
    }

    /// Any column as an attribute of these images: numbers in the bands between the cuts where cuts are given, numbers with
    /// more than ten different values as terciles `low`, `middle`, `high`, anything else as categories.
    ///
    /// # Errors
    /// [`MiningError::Header`] if there is no such column, if it holds more than 30 different texts (an id or free text, not a
    /// category), or if cuts are given and a cell is not a number. [`MiningError::DuplicateId`] if an image is given twice.
    pub fn attribute(&self, choice: &ColumnChoice, ids: &[String]) -> Result<Attribute> {
        let column = choice.column.as_str();
        let header_error = |problem| MiningError::Header {
            path: self.path.clone(),
            problem,
        };
        let place = self
            .place(column)
            .ok_or_else(|| header_error(format!("no column `{column}`; there are {}", self.columns.join(", "))))?;
        let values: Vec<(&str, Option<&str>)> = ids.iter().map(|id| (id.as_str(), self.cell(id, place))).collect();
        let different: BTreeSet<&str> = values.iter().filter_map(|(_, value)| *value).collect();
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
        if !choice.cuts.is_empty() {
            if let Some(text) = different.iter().find(|text| number(text).is_none()) {
                return Err(header_error(format!(
                    "column `{column}` holds `{text}`, which is not a number: cut points are for numbers"
                )));
            }
            let numbers = values.iter().map(|(id, value)| (*id, value.and_then(number)));
            return Attribute::bands(column, &choice.cuts, numbers);
        }
        if different.len() > FEW_VALUES && different.iter().all(|text| number(text).is_some()) {
            let numbers = values.iter().map(|(id, value)| (*id, value.and_then(number)));
            return Attribute::terciles(column, ["low", "middle", "high"], numbers);
        }
        if different.len() > MOST_LEVELS {
            let count = different.len();
            return Err(header_error(format!(
                "column `{column}` holds {count} different texts: an id or free text, not a category to analyse"
            )));
        }
        Attribute::categorical(column, values)
    }

    fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|name| name == column)
    }

    fn cell(&self, image_id: &str, place: usize) -> Option<&str> {
        self.rows.get(image_id)?.cells.get(place)?.as_deref()
    }
}
