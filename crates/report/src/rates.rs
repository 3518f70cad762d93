use std::path::Path;

use crate::ReportError;
use crate::files::write_atomically;

/// Columns of `demographics.csv`, in order.
pub const RATE_COLUMNS: [&str; 15] = [
    "attribute",
    "level",
    "n",
    "htl",
    "rate",
    "rate_lo",
    "rate_hi",
    "rate_ratio",
    "rate_ratio_lo",
    "rate_ratio_hi",
    "odds_ratio",
    "odds_ratio_lo",
    "odds_ratio_hi",
    "p",
    "p_adjusted",
];

/// How often one level of an attribute (sex = female, age band = 30-44, ...) is hard to learn, against all other levels
/// of that attribute. What cannot be computed (an odds ratio with an empty cell) is `None` and a blank cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RateRow {
    /// Attribute: `sex`, `age_band`, `dx`, ...
    pub attribute: String,
    /// Level of the attribute.
    pub level: String,
    /// Samples of this level.
    pub n: u64,
    /// Hard-to-learn samples among them.
    pub htl: u64,
    /// `htl / n`, in [0, 1].
    pub rate: Option<f64>,
    /// Low end of the rate's 95 % interval.
    pub rate_lo: Option<f64>,
    /// High end of the rate's 95 % interval.
    pub rate_hi: Option<f64>,
    /// Rate here over the rate in all other levels.
    pub rate_ratio: Option<f64>,
    /// Low end of the ratio's interval.
    pub rate_ratio_lo: Option<f64>,
    /// High end of the ratio's interval.
    pub rate_ratio_hi: Option<f64>,
    /// Odds here over the odds in all other levels.
    pub odds_ratio: Option<f64>,
    /// Low end of the odds ratio's interval.
    pub odds_ratio_lo: Option<f64>,
    /// High end of the odds ratio's interval.
    pub odds_ratio_hi: Option<f64>,
    /// p of this level against the others.
    pub p: Option<f64>,
    /// p adjusted for the number of levels tested.
    pub p_adjusted: Option<f64>,
}

impl RateRow {
    /// A row with its rate (`htl / n`) and interval; ratios and p are left out.
    pub fn new(attribute: &str, level: &str, n: u64, htl: u64, interval: [f64; 2]) -> Self {
        Self {
            attribute: attribute.to_owned(),
            level: level.to_owned(),
            n,
            htl,
            rate: (n > 0).then(|| htl as f64 / n as f64),
            rate_lo: Some(interval[0]),
            rate_hi: Some(interval[1]),
            ..Self::default()
        }
    }

    fn numbers(&self) -> [Option<f64>; 11] {
        [
            self.rate,
            self.rate_lo,
            self.rate_hi,
            self.rate_ratio,
            self.rate_ratio_lo,
            self.rate_ratio_hi,
            self.odds_ratio,
            self.odds_ratio_lo,
            self.odds_ratio_hi,
            self.p,
            self.p_adjusted,
        ]
    }
}

/// Writes `demographics.csv` with the header [`RATE_COLUMNS`]; numbers keep six significant digits.
///
/// # Errors
/// [`ReportError::Io`] if the file cannot be written.
pub fn write_rates(path: &Path, rows: &[RateRow]) -> Result<(), ReportError> {
    let csv_error = |e: csv::Error| ReportError::Csv {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(RATE_COLUMNS).map_err(csv_error)?;
    for row in rows {
        let mut record = vec![
            row.attribute.clone(),
            row.level.clone(),
            row.n.to_string(),
            row.htl.to_string(),
        ];
        record.extend(row.numbers().map(|number| match number {
            Some(v) if v.is_finite() => crate::round_significant(v, crate::SIGNIFICANT_DIGITS).to_string(),
            _ => String::new(),
        }));
        writer.write_record(&record).map_err(csv_error)?;
    }
    let bytes = writer.into_inner().map_err(|e| ReportError::Csv {
        path: path.to_owned(),
        reason: e.error().to_string(),
    })?;
    write_atomically(path, &bytes)
}

/// Reads a `demographics.csv`. Columns may come in any order and further columns are ignored; blank, `nan` and infinite
/// numbers become `None`.
///
/// # Errors
/// [`ReportError::Column`] if a column of [`RATE_COLUMNS`] is missing, [`ReportError::Cell`] with row and column if a
/// cell is not a number.
pub fn read_rates(path: &Path) -> Result<Vec<RateRow>, ReportError> {
    let bytes = std::fs::read(path).map_err(|source| ReportError::Io {
        path: path.to_owned(),
        action: "read",
        source,
    })?;
    let csv_error = |e: csv::Error| ReportError::Csv {
        path: path.to_owned(),
        reason: e.to_string(),
    };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(bytes.as_slice());
    let header = reader.headers().map_err(csv_error)?.clone();
    let mut at = [0usize; RATE_COLUMNS.len()];
    for (slot, column) in at.iter_mut().zip(RATE_COLUMNS) {
        // A byte-order mark before the first name is what spreadsheets leave behind.
        *slot = header
            .iter()
            .position(|name| name.trim_start_matches('\u{feff}') == column)
            .ok_or_else(|| ReportError::Column {
                path: path.to_owned(),
                column: column.to_owned(),
                expected: RATE_COLUMNS.join(","),
            })?;
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(csv_error)?;
        let row = record.position().map_or(0, csv::Position::line);
        let cell = |i: usize| record.get(at[i]).unwrap_or_default();
        let bad = |i: usize, expected| ReportError::Cell {
            path: path.to_owned(),
            row,
            column: RATE_COLUMNS[i].to_owned(),
            found: cell(i).to_owned(),
            expected,
        };
        let count = |i: usize| cell(i).parse::<u64>().map_err(|_| bad(i, "a count (0, 1, 2, ...)"));
        let number = |i: usize| match cell(i) {
            "" => Ok(None),
            text => text
                .parse::<f64>()
                .map(|v| v.is_finite().then_some(v))
                .map_err(|_| bad(i, "a number or a blank")),
        };
        rows.push(RateRow {
            attribute: cell(0).to_owned(),
            level: cell(1).to_owned(),
            n: count(2)?,
            htl: count(3)?,
            rate: number(4)?,
            rate_lo: number(5)?,
            rate_hi: number(6)?,
            rate_ratio: number(7)?,
            rate_ratio_lo: number(8)?,
            rate_ratio_hi: number(9)?,
            odds_ratio: number(10)?,
            odds_ratio_lo: number(11)?,
            odds_ratio_hi: number(12)?,
            p: number(13)?,
            p_adjusted: number(14)?,
        });
    }
    Ok(rows)
}
