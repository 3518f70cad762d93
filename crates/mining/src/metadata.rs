use std::collections::BTreeSet;
use std::path::Path;

use crate::attribute::Attribute;
use crate::error::{MiningError, Result};

/// A categorical column with more levels than this is taken for an id or free text, and skipped.
pub const MOST_LEVELS: usize = 30;

/// Numbers with more different values than this are cut into terciles; fewer are categories.
const FEW_VALUES: usize = 10;

/// Columns that are read as years and cut into [`crate::AGE_BANDS`].
const AGE_COLUMNS: [&str; 2] = ["age_approx", "age"];

/// Columns that describe the image's place in the study, not the person.
const NO_ATTRIBUTES: [&str; 5] = ["image_id", "split", "fold", "lesion_id", "patient_id"];

/// Written by people and programs where nothing is known.
const BLANKS: [&str; 6] = ["", "unknown", "na", "n/a", "nan", "none"];

/// How a column of a metadata table was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnReading {
    /// As an attribute.
    Attribute(Attribute),
    /// Not at all.
    Skipped {
        /// The column.
        column: String,
        /// Why.
        reason: String,
    },
}

/// A demographic table, `image_id` and any further columns, read as attributes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// One attribute per column that is one.
    pub attributes: Vec<Attribute>,
    /// The other columns, with the reason.
    pub skipped: Vec<(String, String)>,
}

/// Reads one column as an attribute: `age_approx` and `age` as age bands, numbers with more than ten different values as
/// terciles `low`, `middle`, `high`, anything else as categories. Ids (`lesion_id`, `patient_id`), `split` and columns
/// with more than [`MOST_LEVELS`] categories are skipped. Blank, `unknown`, `NA`, `n/a`, `nan` and `none` are unknown.
///
/// # Errors
/// [`MiningError::DuplicateId`].
pub fn read_column(column: &str, values: &[(String, Option<String>)]) -> Result<ColumnReading> {
    let skipped = |reason: String| {
        Ok(ColumnReading::Skipped {
            column: column.to_string(),
            reason,
        })
    };
    if NO_ATTRIBUTES.contains(&column) {
        return skipped("describes the study, not the image".into());
    }
    let known = |value: &Option<String>| -> Option<String> {
        let value = value.as_deref().unwrap_or_default().trim();
        (!BLANKS.iter().any(|blank| value.eq_ignore_ascii_case(blank))).then(|| value.to_string())
    };
    let values: Vec<(&str, Option<String>)> = values.iter().map(|(id, value)| (id.as_str(), known(value))).collect();
    let different: BTreeSet<&str> = values.iter().filter_map(|(_, value)| value.as_deref()).collect();
    if different.is_empty() {
        return skipped("no value is known".into());
    }
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite());
    let numeric = different.iter().all(|text| number(text).is_some());
    let numbers = || {
        values
            .iter()
            .map(|(id, value)| (*id, value.as_deref().and_then(number)))
    };
    let attribute = if numeric && AGE_COLUMNS.contains(&column) {
        Attribute::age_bands(column, numbers())?
    } else if numeric && different.len() > FEW_VALUES {
        Attribute::terciles(column, ["low", "middle", "high"], numbers())?
    } else if different.len() > MOST_LEVELS {
        return skipped(format!(
            "{} different texts: an id or free text, not a category",
            different.len()
        ));
    } else {
        Attribute::categorical(column, values.iter().map(|(id, value)| (*id, value.clone())))?
    };
    Ok(ColumnReading::Attribute(attribute))
}

impl Metadata {
    /// Reads a `metadata.csv`; every column but `image_id` by [`read_column`].
    ///
    /// # Errors
    /// [`MiningError::Io`], [`MiningError::Csv`], [`MiningError::Header`], and [`MiningError::Cell`] for a blank or
    /// repeated id and an age that is no number.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = std::fs::File::open(path).map_err(|source| MiningError::Io {
            path: path.to_path_buf(),
            source,
        })?;
        let csv_error = |source| MiningError::Csv {
            path: path.to_path_buf(),
            source,
        };
        let mut reader = csv::Reader::from_reader(std::io::BufReader::new(file));
        let header = reader.headers().map_err(csv_error)?.clone();
        let names: Vec<&str> = header
            .iter()
            .map(|name| name.trim_start_matches('\u{feff}').trim())
            .collect();
        let header_error = |problem: String| MiningError::Header {
            path: path.to_path_buf(),
            problem,
        };
        if let Some((_, name)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            return Err(header_error(format!("column `{name}` occurs twice")));
        }
        let id_column = names
            .iter()
            .position(|name| *name == "image_id")
            .ok_or_else(|| header_error("no column `image_id`".into()))?;
        let mut columns: Vec<Vec<(String, Option<String>)>> = vec![Vec::new(); names.len()];
        let mut seen = BTreeSet::new();
        for record in reader.records() {
            let record = record.map_err(csv_error)?;
            let wrong = |column: usize, problem: String| MiningError::Cell {
                path: path.to_path_buf(),
                row: record.position().map_or(0, csv::Position::line),
                column: names[column].to_string(),
                problem,
            };
            let id = record.get(id_column).unwrap_or_default().trim().to_string();
            if id.is_empty() {
                return Err(wrong(id_column, "blank, expected an image id".into()));
            }
            if !seen.insert(id.clone()) {
                return Err(wrong(id_column, format!("`{id}` occurs twice: ids must be unique")));
            }
            for (i, column) in columns.iter_mut().enumerate() {
                let cell = record.get(i).unwrap_or_default().trim();
                let blank = BLANKS.iter().any(|blank| cell.eq_ignore_ascii_case(blank));
                if AGE_COLUMNS.contains(&names[i]) && !blank && cell.parse::<f64>().is_err() {
                    return Err(wrong(
                        i,
                        format!("`{cell}` is not an age in years (leave it blank if unknown)"),
                    ));
                }
                column.push((id.clone(), Some(cell.to_string())));
            }
        }
        let mut metadata = Self::default();
        for (i, column) in columns.iter().enumerate().filter(|(i, _)| *i != id_column) {
            match read_column(names[i], column)? {
                ColumnReading::Attribute(attribute) => metadata.attributes.push(attribute),
                ColumnReading::Skipped { column, reason } => metadata.skipped.push((column, reason)),
            }
        }
        Ok(metadata)
    }
}
