use std::path::Path;

use crate::FormatError;
use crate::whole::write_whole;

/// Columns of `demographics.csv` that every such table has, first and in this order.
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

/// The columns after [`RATE_COLUMNS`], in order; a table of an earlier version lacks them.
pub const MORE_RATE_COLUMNS: [&str; 22] = [
    "both_empty",
    "clusters",
    "risk_difference",
    "risk_difference_lo",
    "risk_difference_hi",
    "odds_ratio_exact",
    "odds_ratio_exact_lo",
    "odds_ratio_exact_hi",
    "odds_ratio_mid_lo",
    "odds_ratio_mid_hi",
    "odds_ratio_clustered_lo",
    "odds_ratio_clustered_hi",
    "odds_ratio_stratified",
    "odds_ratio_stratified_lo",
    "odds_ratio_stratified_hi",
    "p_mid",
    "p_stratified",
    "p_permutation",
    "p_holm",
    "detectable_odds_ratio",
    "detectable_risk_difference",
    "against",
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
/// levels of that attribute; the unknown ones against the known. What is not defined is `None` and a blank cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RateRow {
    /// The attribute: `sex`, `age_band`, `dx`, ...
    pub attribute: String,
    /// The level.
    pub level: String,
    /// Images of that level in which the networks found something.
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
    /// p adjusted for all tested rows of the table: Westfall and Young's step-down min-p.
    pub p_adjusted: Option<f64>,
    /// Images of that level in which neither population found anything; they are not among `n`.
    pub both_empty: u64,
    /// Lesions or patients that the `n` images show.
    pub clusters: Option<u64>,
    /// Rate here less the rate elsewhere, in [-1, 1], with Newcombe's interval.
    pub risk_difference: Option<Estimate>,
    /// Conditional maximum-likelihood odds ratio with the exact conditional interval.
    pub odds_ratio_exact: Option<Estimate>,
    /// Mid-p interval of [`odds_ratio_exact`](Self::odds_ratio_exact).
    pub odds_ratio_mid: Option<[f64; 2]>,
    /// Interval of [`odds_ratio`](Self::odds_ratio) that counts images of one lesion or patient as dependent.
    pub odds_ratio_clustered: Option<[f64; 2]>,
    /// Odds ratio of Mantel and Haenszel over the folds, with the interval of Robins, Breslow and Greenland.
    pub odds_ratio_stratified: Option<Estimate>,
    /// Two-sided mid-p of the exact test.
    pub p_mid: Option<f64>,
    /// p of the test of Cochran, Mantel and Haenszel over the folds.
    pub p_stratified: Option<f64>,
    /// p of the same statistic when whole lesions change places within their fold.
    pub p_permutation: Option<f64>,
    /// `p` adjusted by Holm's method for all tested rows of the table.
    pub p_holm: Option<f64>,
    /// The smallest odds ratio above 1 that so many images show with a probability of 80 %, one test at .05.
    pub detectable_odds_ratio: Option<f64>,
    /// The same as a difference of rates.
    pub detectable_risk_difference: Option<f64>,
    /// What the level is compared with: `other levels`, `known`; blank if it is not.
    pub against: String,
}

/// The table as CSV, under [`RATE_COLUMNS`] and [`MORE_RATE_COLUMNS`].
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
    let two = |ends: Option<[f64; 2]>| ends.map_or_else(Default::default, |ends| ends.map(|end| one(Some(end))));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(RATE_COLUMNS.into_iter().chain(MORE_RATE_COLUMNS))?;
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
        record.push(row.both_empty.to_string());
        record.push(row.clusters.map(|clusters| clusters.to_string()).unwrap_or_default());
        record.extend(three(row.risk_difference));
        record.extend(three(row.odds_ratio_exact));
        record.extend(two(row.odds_ratio_mid));
        record.extend(two(row.odds_ratio_clustered));
        record.extend(three(row.odds_ratio_stratified));
        for number in [row.p_mid, row.p_stratified, row.p_permutation, row.p_holm] {
            record.push(one(number));
        }
        record.extend([row.detectable_odds_ratio, row.detectable_risk_difference].map(one));
        record.push(row.against.clone());
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
/// estimates are `None`. The columns of [`MORE_RATE_COLUMNS`] may be missing.
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
    // A byte-order mark before the first name is what spreadsheets leave behind.
    let place = |column: &str| {
        let is = |name: &str| name.trim_start_matches('\u{feff}') == column;
        header.iter().position(is)
    };
    for column in RATE_COLUMNS {
        if place(column).is_none() {
            return Err(FormatError::Column {
                path: path.to_owned(),
                column: column.to_owned(),
                expected: RATE_COLUMNS.join(","),
            });
        }
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(csv_error)?;
        let cells = Cells {
            path,
            record: &record,
            place: &place,
        };
        rows.push(cells.row()?);
    }
    Ok(rows)
}

/// The cells of one line by the names of their columns; a column that is not there is blank.
struct Cells<'a> {
    path: &'a Path,
    record: &'a csv::StringRecord,
    place: &'a dyn Fn(&str) -> Option<usize>,
}

impl Cells<'_> {
    fn row(&self) -> Result<RateRow, FormatError> {
        let known = |column: &str| !self.text(column).is_empty();
        Ok(RateRow {
            attribute: self.text("attribute").to_owned(),
            level: self.text("level").to_owned(),
            n: self.count("n")?,
            htl: self.count("htl")?,
            rate: self.estimate("rate")?,
            rate_ratio: self.estimate("rate_ratio")?,
            odds_ratio: self.estimate("odds_ratio")?,
            p: self.number("p")?,
            p_adjusted: self.number("p_adjusted")?,
            both_empty: if known("both_empty") {
                self.count("both_empty")?
            } else {
                0
            },
            clusters: known("clusters").then(|| self.count("clusters")).transpose()?,
            risk_difference: self.estimate("risk_difference")?,
            odds_ratio_exact: self.estimate("odds_ratio_exact")?,
            odds_ratio_mid: self.ends("odds_ratio_mid")?,
            odds_ratio_clustered: self.ends("odds_ratio_clustered")?,
            odds_ratio_stratified: self.estimate("odds_ratio_stratified")?,
            p_mid: self.number("p_mid")?,
            p_stratified: self.number("p_stratified")?,
            p_permutation: self.number("p_permutation")?,
            p_holm: self.number("p_holm")?,
            detectable_odds_ratio: self.number("detectable_odds_ratio")?,
            detectable_risk_difference: self.number("detectable_risk_difference")?,
            against: self.text("against").to_owned(),
        })
    }

    fn text(&self, column: &str) -> &str {
        let cell = (self.place)(column).and_then(|at| self.record.get(at));
        cell.unwrap_or_default()
    }

    fn bad(&self, column: &str, expected: &'static str) -> FormatError {
        FormatError::Cell {
            path: self.path.to_owned(),
            row: self.record.position().map_or(0, csv::Position::line),
            column: column.to_owned(),
            found: self.text(column).to_owned(),
            expected,
        }
    }

    fn count(&self, column: &str) -> Result<u64, FormatError> {
        let count = self.text(column).parse();
        count.map_err(|_| self.bad(column, "a count (0, 1, 2, ...)"))
    }

    fn number(&self, column: &str) -> Result<Option<f64>, FormatError> {
        match self.text(column) {
            "" => Ok(None),
            text => text
                .parse::<f64>()
                .map(|number| number.is_finite().then_some(number))
                .map_err(|_| self.bad(column, "a number or a blank")),
        }
    }

    fn ends(&self, column: &str) -> Result<Option<[f64; 2]>, FormatError> {
        let [lo, hi] = [
            self.number(&format!("{column}_lo"))?,
            self.number(&format!("{column}_hi"))?,
        ];
        let known = lo.is_some() || hi.is_some();
        Ok(known.then(|| [lo.unwrap_or(f64::NAN), hi.unwrap_or(f64::NAN)]))
    }

    fn estimate(&self, column: &str) -> Result<Option<Estimate>, FormatError> {
        let ends = self.ends(column)?;
        Ok(self.number(column)?.map(|value| {
            let [lo, hi] = ends.unwrap_or([f64::NAN; 2]);
            Estimate { value, lo, hi }
        }))
    }
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
                both_empty: 7,
                clusters: Some(5),
                risk_difference: Some(Estimate {
                    value: 0.2,
                    lo: -0.1,
                    hi: 0.4,
                }),
                odds_ratio_mid: Some([0.5, 2.5]),
                odds_ratio_stratified: Some(estimate),
                p_mid: Some(0.02),
                detectable_odds_ratio: Some(3.0),
                against: "other levels".into(),
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
            text.contains("\"female, or so\",8,2,0.25,0.1,0.4,,,,0.25,0.1,0.4,0.03,,7,5,0.2,-0.1,0.4,,,,"),
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
