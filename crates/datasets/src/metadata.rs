use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use crate::{DatasetError, Split};

/// The columns every `metadata.csv` has, in order. Others may follow; any may be blank.
pub const COLUMNS: [&str; 6] = ["image_id", "split", "age_approx", "sex", "anatom_site", "dx"];

/// One row of `metadata.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataRow {
    /// Line in the file, from 1 (the header).
    pub line: u64,
    /// The id.
    pub image_id: String,
    /// The split; `None` if blank.
    pub split: Option<Split>,
    /// Age in years, 0 to 130.
    pub age_approx: Option<f64>,
    /// Sex.
    pub sex: Option<String>,
    /// Site on the body.
    pub anatom_site: Option<String>,
    /// Diagnosis code.
    pub dx: Option<String>,
    /// Every other column that is not blank.
    pub other: BTreeMap<String, String>,
}

/// Reads the text of a `metadata.csv`; `path` is only named in errors.
///
/// Fields are trimmed. Blank means unknown; in the columns age, sex, site and diagnosis so do the words `unknown`,
/// `na`, `n/a`, `nan` and `null`, whatever their case. A byte-order mark is skipped.
///
/// # Errors
/// Names line, column and value: missing or repeated columns, rows of another length, text that is not UTF-8, repeated
/// or blank ids, ages that are not a number from 0 to 130, splits other than train, val and test.
pub fn parse_metadata(text: &[u8], path: &Path) -> Result<Vec<MetadataRow>, DatasetError> {
    let table = Table::parse(text, path)?;
    table.require(&COLUMNS)?;
    let mut lines = HashMap::new();
    let mut rows = Vec::with_capacity(table.rows.len());
    for (line, record) in &table.rows {
        let line = *line;
        let mut fields: BTreeMap<&str, &str> = table
            .header
            .iter()
            .map(String::as_str)
            .zip(record.iter().map(String::as_str))
            .collect();
        let mut take = |column: &str| fields.remove(column).unwrap_or_default().to_owned();
        let [image_id, split, age, sex, anatom_site, dx] = COLUMNS.map(&mut take);
        if image_id.is_empty() {
            return Err(DatasetError::Table {
                path: path.into(),
                line,
                reason: "image_id is blank".to_owned(),
            });
        }
        if let Some(first_line) = lines.insert(image_id.clone(), line) {
            return Err(DatasetError::DuplicateId {
                path: path.into(),
                image_id,
                first_line,
                line,
            });
        }
        let split = match (split.is_empty(), Split::from_name(&split)) {
            (true, _) => None,
            (false, Some(split)) => Some(split),
            (false, None) => {
                return Err(DatasetError::UnknownSplit {
                    path: path.into(),
                    line,
                    image_id,
                    value: split,
                });
            }
        };
        let age_approx = match known(age) {
            None => None,
            Some(text) => match text.parse::<f64>() {
                Ok(age) if (0. ..=130.).contains(&age) => Some(age),
                _ => {
                    return Err(DatasetError::BadAge {
                        path: path.into(),
                        line,
                        image_id,
                        value: text,
                    });
                }
            },
        };
        let other = fields
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(column, value)| (column.to_owned(), value.to_owned()))
            .collect();
        rows.push(MetadataRow {
            line,
            image_id,
            split,
            age_approx,
            sex: known(sex),
            anatom_site: known(anatom_site),
            dx: known(dx),
            other,
        });
    }
    Ok(rows)
}

fn known(value: String) -> Option<String> {
    is_known(&value).then_some(value)
}

/// Whether a value says something: it is neither blank nor a word for "unknown".
pub(crate) fn is_known(value: &str) -> bool {
    !["", "unknown", "na", "n/a", "nan", "null"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word))
}

/// A table with a header whose rows all have the header's length.
pub(crate) struct Table<'a> {
    path: &'a Path,
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<(u64, Vec<String>)>,
}

impl<'a> Table<'a> {
    pub(crate) fn parse(text: &[u8], path: &'a Path) -> Result<Self, DatasetError> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text);
        let problem = |error: csv::Error, fallback: u64| {
            let line = error.position().map_or(fallback, csv::Position::line);
            let reason = match error.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!(
                        "{len} field(s), but the header has {expected_len}; a value that holds a comma needs double quotes"
                    )
                }
                csv::ErrorKind::Utf8 { .. } => "not UTF-8 text; save the table as UTF-8".to_owned(),
                _ => error.to_string(),
            };
            DatasetError::Table {
                path: path.into(),
                line,
                reason,
            }
        };
        let header: Vec<String> = reader
            .headers()
            .map_err(|e| problem(e, 1))?
            .iter()
            .map(str::to_owned)
            .collect();
        for (position, column) in header.iter().enumerate() {
            if header.iter().take(position).any(|earlier| earlier == column) {
                return Err(DatasetError::DuplicateColumn {
                    path: path.into(),
                    column: column.clone(),
                });
            }
        }
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| problem(error, rows.len() as u64 + 2))?;
            let line = record.position().map_or(rows.len() as u64 + 2, csv::Position::line);
            rows.push((line, record.iter().map(str::to_owned).collect()));
        }
        Ok(Self { path, header, rows })
    }

    pub(crate) fn require(&self, columns: &[&str]) -> Result<(), DatasetError> {
        let missing: Vec<String> = columns
            .iter()
            .filter(|column| !self.header.iter().any(|found| found == *column))
            .map(|column| (*column).to_owned())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(DatasetError::MissingColumns {
            path: self.path.into(),
            missing,
            found: self.header.clone(),
        })
    }

    /// The place of a column in every row.
    pub(crate) fn column(&self, name: &str) -> Result<usize, DatasetError> {
        self.require(&[name])?;
        Ok(self.header.iter().position(|found| found == name).unwrap_or_default())
    }
}
