use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use htl_vocabulary::{ColumnName, MergedSpelling, MetadataRecord, MetadataTable};

use crate::attribute::Attribute;
use crate::attributes::Subject;
use crate::error::{MiningError, Result};

/// A column with more different texts than this is taken for an id or free text, not a category.
const MOST_LEVELS: usize = 30;

/// Numbers with more different values than this are cut into terciles; fewer are categories.
const FEW_VALUES: usize = 10;

/// A demographic table, read as data folders read theirs (see [`MetadataTable`]), by image.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    table: MetadataTable,
    places: HashMap<String, usize>,
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

impl Metadata {
    /// Reads a `metadata.csv`.
    ///
    /// # Errors
    /// As [`MetadataTable::read`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Self::read_as(path, &[])
    }

    /// Reads a table that has other names for columns of ours.
    ///
    /// # Errors
    /// As [`MetadataTable::read`].
    pub fn read_as(path: impl AsRef<Path>, names: &[ColumnName]) -> Result<Self> {
        let table = MetadataTable::read(path.as_ref(), names)?;
        let places = table.records().iter().enumerate();
        let places = places.map(|(place, record)| (record.image_id.clone(), place)).collect();
        Ok(Self { table, places })
    }

    /// Different spellings that were taken for one, by column.
    pub fn merged(&self) -> &[MergedSpelling] {
        self.table.merged()
    }

    /// Our name and the table's, of columns that are called otherwise here.
    pub fn renamed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.table.renamed()
    }

    /// Names of the columns, `image_id` among them, ours where they have one.
    pub fn columns(&self) -> &[String] {
        self.table.columns()
    }

    /// Whether the table has a row for this image.
    pub fn contains(&self, image_id: &str) -> bool {
        self.places.contains_key(image_id)
    }

    /// What the table knows of an image; nothing if it has no row for it.
    pub fn subject(&self, image_id: &str) -> Subject {
        let Some(record) = self.record(image_id) else {
            return Subject::default();
        };
        let cells = self.columns().iter().zip(&record.cells);
        let mut cells: BTreeMap<String, String> = cells
            .filter_map(|(column, cell)| Some((column.clone(), cell.clone()?)))
            .collect();
        // Columns may be asked for by the table's names as well.
        for (column, name) in self.renamed() {
            if let Some(cell) = cells.get(column).cloned() {
                cells.insert(name.to_owned(), cell);
            }
        }
        Subject {
            age: record.age,
            cells,
            ..Subject::default()
        }
    }

    /// Whether the table has a column of this name, ours or its own.
    pub fn has(&self, column: &str) -> bool {
        self.table.place(column).is_some() || (column == "age" && self.has("age_approx"))
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
            path: self.table.path().to_path_buf(),
            problem,
        };
        let place = self.table.place(column);
        let place = place
            .ok_or_else(|| header_error(format!("no column `{column}`; there are {}", self.columns().join(", "))))?;
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

    fn record(&self, image_id: &str) -> Option<&MetadataRecord> {
        self.table.records().get(*self.places.get(image_id)?)
    }

    fn cell(&self, image_id: &str, place: usize) -> Option<&str> {
        self.record(image_id)?.cells.get(place)?.as_deref()
    }
}
