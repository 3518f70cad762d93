//! Tables of images and what is known of them: one reader for data folders and for analyses.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::columns::{ColumnName, no_id, our_names};
use crate::one_hot;
use crate::spelling::{MergedSpelling, composed, known, merge};
use crate::table::{Table, TableError};

/// The oldest age that is believed, in years.
const OLDEST: f64 = 130.0;

/// Columns whose texts name things one by one, or are words of ours: no two of them are spellings of one.
const NAMES: [&str; 4] = ["image_id", "lesion_id", "patient_id", "split"];

/// A table with a row per image. Only an id is required.
///
/// - Comma, semicolon or tab between cells, byte-order mark, Windows line ends: as [`Table`] reads them. Where a comma does
///   not separate cells, numbers may have a decimal comma.
/// - Columns of the ISIC archive, HAM10000 and PH2 are read under our names: `isic_id`, `image`, `image_name` as `image_id`,
///   `age` as `age_approx`, `gender` as `sex`, `localization` as `anatom_site`, `diagnosis` (or `benign_malignant`) as `dx`;
///   any other by a [`ColumnName`]. A column per diagnosis with marks, as in the ISIC challenges, becomes `dx`.
/// - What stands for nothing ([`known`]) is not known, in every column.
/// - Letters with marks are read in their composed form; control characters within a cell, such as line ends, as blanks.
/// - Texts of one column that mean the same are one: [`merged`](MetadataTable::merged) says which were.
/// - Ages are years from 0 to 130; `85+` is 85.
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataTable {
    path: PathBuf,
    columns: Vec<String>,
    headers: Vec<String>,
    records: Vec<MetadataRecord>,
    merged: Vec<MergedSpelling>,
}

/// A row of a [`MetadataTable`].
#[derive(Debug, Clone, PartialEq)]
pub struct MetadataRecord {
    /// Line in the file, from 1 (the header).
    pub line: u64,
    /// The id.
    pub image_id: String,
    /// Age in years, 0 to 130.
    pub age: Option<f64>,
    /// What is known, by column.
    pub cells: Vec<Option<String>>,
}

impl MetadataTable {
    /// Reads a table.
    ///
    /// # Errors
    /// As [`MetadataTable::parse`]; [`TableError::Read`].
    pub fn read(path: &Path, given: &[ColumnName]) -> Result<Self, TableError> {
        Self::new(&Table::read(path)?, given)
    }

    /// Reads the text of a table; `path` is only named in errors.
    ///
    /// # Errors
    /// As [`Table::parse`]; a header without ids; all rows that have a blank or repeated id, one with control characters, or an
    /// age that is none.
    pub fn parse(text: &[u8], path: &Path, given: &[ColumnName]) -> Result<Self, TableError> {
        Self::new(&Table::parse(text, path)?, given)
    }

    fn new(table: &Table, given: &[ColumnName]) -> Result<Self, TableError> {
        // A column without a name cannot be asked for: programs write their row numbers so, and spreadsheets their margins.
        let named: Vec<usize> = (0..table.header().len())
            .filter(|i| !table.header()[*i].is_empty())
            .collect();
        let mut headers: Vec<String> = named.iter().map(|i| table.header()[*i].clone()).collect();
        let mut columns = our_names(&headers, given).map_err(|problem| table.header_error(problem))?;
        let place = |wanted: &str| columns.iter().position(|name| name == wanted);
        let id_place = place("image_id").ok_or_else(|| table.header_error(no_id(&headers)))?;
        let age_place = place("age_approx");
        let one_hot = if place("dx").is_some() {
            Vec::new()
        } else {
            one_hot::columns(&headers)
        };
        let (mut records, mut problems) = (Vec::with_capacity(table.rows().len()), Vec::new());
        let mut lines: HashMap<String, u64> = HashMap::with_capacity(table.rows().len());
        for row in table.rows() {
            let text = |i: &usize| row.cells.get(*i).map(String::as_str).unwrap_or_default();
            let mut wrong = |problem: String| problems.push(table.row_error(row.line, problem));
            let image_id = composed(named.get(id_place).map(text).unwrap_or_default()).into_owned();
            if let Err(problem) = check_id(&image_id) {
                wrong(problem);
                continue;
            }
            if let Some(first) = lines.insert(image_id.clone(), row.line) {
                wrong(format!(
                    "image_id `{image_id}` was already on line {first}; keep one row per image"
                ));
                continue;
            }
            let comma = table.separator() == b',';
            let cell = |i: &usize| {
                // What steers terminals has no place in a level of sex or site.
                let text = composed(known(text(i))?).replace(char::is_control, " ");
                Some(if comma { text } else { with_point(&text) })
            };
            let mut cells: Vec<Option<String>> = named.iter().map(cell).collect();
            let age = match age_place.and_then(|place| cells.get_mut(place)?.as_mut()) {
                None => None,
                Some(text) => {
                    let age = age(text);
                    match age {
                        Some(age) => *text = age.to_string(),
                        None => wrong(format!(
                            "{} of `{image_id}` is `{text}`; expected years as a number from 0 to {OLDEST}, or blank if unknown",
                            headers[age_place.unwrap_or_default()]
                        )),
                    }
                    age
                }
            };
            if !one_hot.is_empty() {
                match one_hot::marked(&one_hot, &cells) {
                    Ok(diagnosis) => cells.push(diagnosis),
                    Err(problem) => wrong(format!("`{image_id}` {problem}")),
                }
            }
            records.push(MetadataRecord {
                line: row.line,
                image_id,
                age,
                cells,
            });
        }
        TableError::all(problems)?;
        if !one_hot.is_empty() {
            columns.push("dx".to_owned());
            headers.push("dx".to_owned());
        }
        let mut merged = Vec::new();
        for (place, column) in columns.iter().enumerate() {
            if !NAMES.contains(&column.as_str()) {
                let cells = records.iter_mut().filter_map(|record| record.cells.get_mut(place));
                merged.extend(merge(column, &headers[place], cells));
            }
        }
        Ok(Self {
            path: table.path().into(),
            columns,
            headers,
            records,
            merged,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the columns, ours where they have one.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Our name and the table's, of columns that are called otherwise here.
    pub fn renamed(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.columns.iter().zip(&self.headers);
        pairs
            .filter(|(ours, header)| ours != header)
            .map(|(ours, header)| (ours.as_str(), header.as_str()))
    }

    /// The rows, in order.
    pub fn records(&self) -> &[MetadataRecord] {
        &self.records
    }

    /// Different spellings that were taken for one, by column.
    pub fn merged(&self) -> &[MergedSpelling] {
        &self.merged
    }

    /// The place of a column, by our name or by the table's.
    pub fn place(&self, column: &str) -> Option<usize> {
        let found = |names: &[String]| names.iter().position(|name| name == column);
        found(&self.columns).or_else(|| found(&self.headers))
    }
}

/// The ids of a list: a table with one column of ids, whatever else it has. Each comes with its line.
///
/// # Errors
/// As [`MetadataTable::parse`], but ages do not matter.
pub fn listed_ids(path: &Path) -> Result<Vec<(u64, String)>, TableError> {
    let table = Table::read(path)?;
    let names = our_names(table.header(), &[]).map_err(|problem| table.header_error(problem))?;
    let place = names.iter().position(|name| name == "image_id");
    let place = place.ok_or_else(|| table.header_error(no_id(table.header())))?;
    let (mut ids, mut problems) = (Vec::with_capacity(table.rows().len()), Vec::new());
    let mut lines: HashMap<String, u64> = HashMap::with_capacity(table.rows().len());
    for row in table.rows() {
        let id = composed(row.cells.get(place).map(String::as_str).unwrap_or_default()).into_owned();
        if let Err(problem) = check_id(&id) {
            problems.push(table.row_error(row.line, problem));
        } else if let Some(first) = lines.get(&id) {
            let problem = format!("image_id `{id}` was already on line {first}; keep one row per image");
            problems.push(table.row_error(row.line, problem));
        } else {
            lines.insert(id.clone(), row.line);
            ids.push((row.line, id));
        }
    }
    TableError::all(problems)?;
    Ok(ids)
}

/// Whether a text can be an id.
fn check_id(id: &str) -> Result<(), String> {
    if id.is_empty() {
        return Err("image_id is blank".to_owned());
    }
    if id.chars().any(char::is_control) {
        return Err(format!(
            "image_id `{}` holds a control character; rename the image",
            id.escape_debug()
        ));
    }
    Ok(())
}

/// Years; `85+`, `>85` and decimal commas are understood.
fn age(text: &str) -> Option<f64> {
    let bare = text.trim_start_matches(['>', '=', '≥']).trim_end_matches('+').trim();
    let age = with_point(bare).parse::<f64>().ok()?;
    (0.0..=OLDEST).contains(&age).then_some(age)
}

/// A number with a decimal comma as one with a point; any other text as it is.
fn with_point(text: &str) -> String {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once(',') {
        Some((whole, part)) if digits(whole.trim_start_matches(['-', '+'])) && digits(part) => {
            format!("{whole}.{part}")
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<MetadataTable, TableError> {
        MetadataTable::parse(text.as_bytes(), Path::new("some/m.csv"), &[])
    }

    fn column(table: &MetadataTable, name: &str) -> Vec<Option<String>> {
        let place = table.place(name).unwrap();
        table
            .records()
            .iter()
            .map(|record| record.cells[place].clone())
            .collect()
    }

    /// The same people, as several sources write them.
    #[test]
    fn one_table_in_many_forms_is_one() {
        let ours =
            parse("image_id,age_approx,sex,anatom_site,dx,lesion_id\na,85,male,back,nv,\nb,,female,,mel,L1\n").unwrap();
        for text in [
            "image_id,age,gender,localization,diagnosis,lesion\na,85.0,male,back,nv,NA\nb,unknown,female,n/a,mel,L1\n",
            "\u{feff}isic_id;age_approx;sex;anatom_site_general;diagnosis;lesion_id\r\na;85,0;male;back;nv;?\r\nb;;female;NaN;mel;L1\r\n",
            ",image,age,sex,site,dx,lesion_id\n0,a,85+,male,back,nv,none\n1,b,NA,female,-,mel,L1\n",
            "image_id,age,sex,anatom_site,MEL,NV,BCC,lesion_id\na,85,male,back,0.0,1.0,0.0,\nb,,female,,1.0,0.0,0.0,L1\n",
        ] {
            let other = parse(text).unwrap();
            for name in ["image_id", "age_approx", "sex", "anatom_site", "dx", "lesion_id"] {
                let lower = |cells: Vec<Option<String>>| -> Vec<Option<String>> {
                    cells.into_iter().map(|cell| Some(cell?.to_lowercase())).collect()
                };
                assert_eq!(
                    lower(column(&other, name)),
                    lower(column(&ours, name)),
                    "{name} of {text}"
                );
            }
            let ages = |table: &MetadataTable| table.records().iter().map(|record| record.age).collect::<Vec<_>>();
            assert_eq!(ages(&other), [Some(85.0), None]);
        }
    }

    /// Levels that differ in case only are one, and it is said.
    #[test]
    fn spellings_are_merged_but_not_those_of_ids() {
        let table = parse("image_id,sex,dx,lesion_id\na,Male,NV,l1\nb,male,nv,L1\nc,male,nv,L1\n").unwrap();
        assert_eq!(column(&table, "sex"), vec![Some("male".to_owned()); 3]);
        assert_eq!(column(&table, "dx"), vec![Some("nv".to_owned()); 3]);
        assert_eq!(column(&table, "lesion_id")[..2], [Some("l1".into()), Some("L1".into())]);
        let said: Vec<&str> = table.merged().iter().map(|merged| merged.column.as_str()).collect();
        assert_eq!(said, ["sex", "dx"]);
    }

    /// An umlaut is one letter, however a system writes it; what steers terminals does not reach them.
    #[test]
    fn letters_are_composed_and_control_characters_blank() {
        let table = parse("image_id,site\nu\u{308}1,\"R\u{fc}cken\u{1b}[2J\"\nb,\"two\nlines\"\n").unwrap();
        assert_eq!(table.records()[0].image_id, "\u{fc}1");
        let site = column(&table, "anatom_site");
        assert_eq!(site, [Some("R\u{fc}cken [2J".to_owned()), Some("two lines".to_owned())]);
        let same = parse("image_id,site\na,Ru\u{308}cken\nb,R\u{fc}cken\n").unwrap();
        let site = column(&same, "anatom_site");
        assert_eq!(site[0], site[1]);
    }

    #[test]
    fn every_bad_row_is_named() {
        let message = parse("image_id,age\na,old\na,5\n,7\nb,-1\nc,999\nd,inf\n\"e\u{1b}[2J\",1\nf,45,x\n");
        assert!(message.unwrap_err().to_string().contains("line 9: 3 field(s)"));
        let message = parse("image_id,age\na,old\na,5\n,7\nb,-1\nc,999\nd,inf\n\"e\u{1b}[2J\",1\n")
            .unwrap_err()
            .to_string();
        for part in [
            "7 problems",
            "some/m.csv line 2: age of `a` is `old`",
            "line 3: image_id `a` was already on line 2",
            "line 4: image_id is blank",
            "`-1`",
            "`999`",
            "`inf`",
            "line 8: image_id `e\\u{1b}[2J` holds a control character",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(!message.contains('\u{1b}'));
        let message = parse("id,sex\na,m\n").unwrap_err().to_string();
        assert!(message.contains("no column `image_id`; found `id`, `sex`"), "{message}");
    }
}
