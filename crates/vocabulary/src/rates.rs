use std::path::Path;

use crate::FormatError;
use crate::whole::write_whole;

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

/// An estimate with its 95 % interval; an end that is not known is NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Lower end.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
}

/// How often one level of an attribute (sex = female, age band = 30-44, ...) is hard to learn, against all other known
/// levels of that attribute. What is not defined is `None` and a blank cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RateRow {
    /// The attribute: `sex`, `age_band`, `dx`, ...
    pub attribute: String,
    /// The level.
    pub level: String,
    /// Images of that level.
    pub n: u64,
    /// Those that are hard to learn.
    pub htl: u64,
    /// `htl / n`, in [0, 1], with Wilson's interval.
    pub rate: Option<Estimate>,
    /// Rate here over the rate elsewhere, with Katz's interval.
    pub rate_ratio: Option<Estimate>,
    /// Odds ratio, with Woolf's interval.
    pub odds_ratio: Option<Estimate>,
    /// Two-sided p of Fisher's exact test.
    pub p: Option<f64>,
    /// p adjusted for all tested rows of the table.
    pub p_adjusted: Option<f64>,
}

/// The table as CSV, under [`RATE_COLUMNS`].
///
/// # Errors
/// What the CSV writer says; none for text in memory.
pub fn rates_csv(rows: &[RateRow]) -> std::io::Result<Vec<u8>> {
    let one = |number: Option<f64>| match number.filter(|number| number.is_finite()) {
        Some(number) => number.to_string(),
        None => String::new(),
    };
    let three = |estimate: Option<Estimate>| match estimate {
        Some(Estimate { value, lo, hi }) => [value, lo, hi].map(|number| one(Some(number))),
        None => Default::default(),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(RATE_COLUMNS)?;
    for row in rows {
        let mut record = vec![
            row.attribute.clone(),
            row.level.clone(),
            row.n.to_string(),
            row.htl.to_string(),
        ];
        for estimate in [row.rate, row.rate_ratio, row.odds_ratio] {
            record.extend(three(estimate));
        }
        record.extend([one(row.p), one(row.p_adjusted)]);
        writer.write_record(&record)?;
    }
    writer.into_inner().map_err(csv::IntoInnerError::into_error)
}

/// Writes `demographics.csv`.
///
/// # Errors
/// [`FormatError::NotWritten`].
pub fn write_rates(path: &Path, rows: &[RateRow]) -> Result<(), FormatError> {
    rates_csv(rows)
        .and_then(|bytes| write_whole(path, bytes))
        .map_err(FormatError::NotWritten)
}

/// Reads a `demographics.csv`. Columns may come in any order and further columns are ignored; blank, `nan` and infinite
/// estimates are `None`.
///
/// # Errors
/// [`FormatError::Column`] if a column of [`RATE_COLUMNS`] is missing, [`FormatError::Cell`] with row and column if a cell
/// is not a number.
pub fn read_rates(path: &Path) -> Result<Vec<RateRow>, FormatError> {
    let bytes = std::fs::read(path).map_err(|source| FormatError::Io {
        path: path.to_owned(),
        action: "read",
        source,
    })?;
    let csv_error = |error: csv::Error| FormatError::Csv {
        path: path.to_owned(),
        reason: error.to_string(),
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
            .ok_or_else(|| FormatError::Column {
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
        let bad = |i: usize, expected| FormatError::Cell {
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
                .map(|number| number.is_finite().then_some(number))
                .map_err(|_| bad(i, "a number or a blank")),
        };
        let estimate = |i: usize| -> Result<Option<Estimate>, FormatError> {
            let [value, lo, hi] = [number(i)?, number(i + 1)?, number(i + 2)?];
            Ok(value.map(|value| Estimate {
                value,
                lo: lo.unwrap_or(f64::NAN),
                hi: hi.unwrap_or(f64::NAN),
            }))
        };
        rows.push(RateRow {
            attribute: cell(0).to_owned(),
            level: cell(1).to_owned(),
            n: count(2)?,
            htl: count(3)?,
            rate: estimate(4)?,
            rate_ratio: estimate(7)?,
            odds_ratio: estimate(10)?,
            p: number(13)?,
            p_adjusted: number(14)?,
        });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written is read again; what is undefined is blank on the way.
    #[test]
    fn tables_come_back() {
        let estimate = Estimate {
            value: 0.25,
            lo: 0.1,
            hi: 0.4,
        };
        let rows = vec![
            RateRow {
                attribute: "sex".into(),
                level: "female, or so".into(),
                n: 8,
                htl: 2,
                rate: Some(estimate),
                odds_ratio: Some(estimate),
                p: Some(0.03),
                ..RateRow::default()
            },
            RateRow {
                attribute: "sex".into(),
                level: "male".into(),
                rate_ratio: Some(Estimate {
                    value: f64::INFINITY,
                    ..estimate
                }),
                ..RateRow::default()
            },
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demographics.csv");
        write_rates(&path, &rows).unwrap();
        let again = read_rates(&path).unwrap();
        assert_eq!(again[0], rows[0]);
        assert_eq!(again[1].rate_ratio, None);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("\"female, or so\",8,2,0.25,0.1,0.4,,,,0.25,0.1,0.4,0.03,\n"),
            "{text}"
        );
    }

    #[test]
    fn columns_are_found_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demographics.csv");
        let header = RATE_COLUMNS.join(",");
        std::fs::write(
            &path,
            format!("\u{feff}{header},extra\nsex,\"f, m\",4,2,0.5,nan,inf,,,,,,,,,x\n"),
        )
        .unwrap();
        let rows = read_rates(&path).unwrap();
        let rate = rows[0].rate.unwrap();
        assert_eq!((rows[0].level.as_str(), rows[0].n, rate.value), ("f, m", 4, 0.5));
        assert!(rate.lo.is_nan() && rate.hi.is_nan());
        std::fs::write(&path, format!("{header}\nsex,f\n")).unwrap();
        assert!(
            read_rates(&path)
                .unwrap_err()
                .to_string()
                .contains("not a readable CSV table")
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("demographics.csv");
        std::fs::write(&path, "attribute,level\n").unwrap();
        assert!(read_rates(&path).unwrap_err().to_string().contains("`n`"));
        let row = format!("{}\nsex,male,many,2,,,,,,,,,,,\n", RATE_COLUMNS.join(","));
        std::fs::write(&path, row).unwrap();
        let message = read_rates(&path).unwrap_err().to_string();
        assert!(message.contains("row 2") && message.contains("many"), "{message}");
    }
}
