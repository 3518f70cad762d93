use std::path::Path;

use crate::adjust::Adjustment;
use crate::attribute::{Attribute, UNKNOWN};
use crate::contingency::{Estimate, TwoByTwo, wilson};
use crate::error::{MiningError, Result};
use crate::files::write_then_rename;
use crate::table::ScoreTable;

/// Columns of `demographics.csv`.
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

/// HTL rate of one level of an attribute, against all other (known) levels of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RateRow {
    /// The attribute.
    pub attribute: String,
    /// The level.
    pub level: String,
    /// Images of that level.
    pub n: u64,
    /// Those that are HTL.
    pub htl: u64,
    /// htl / n with Wilson's 95 % interval.
    pub rate: Estimate,
    /// Rate here / rate elsewhere with Katz's 95 % interval. None for [`UNKNOWN`], and where there is nothing to
    /// compare: a single level, nothing selected or everything.
    pub rate_ratio: Option<Estimate>,
    /// Odds ratio with Woolf's 95 % interval; none as `rate_ratio`.
    pub odds_ratio: Option<Estimate>,
    /// Two-sided p of Fisher's exact test; none as `rate_ratio`.
    pub p: Option<f64>,
    /// p adjusted for all tested rows of the table.
    pub p_adjusted: Option<f64>,
}

/// HTL rates of every level of every attribute, over the images of a marked score table; the adjustment runs over all
/// tested rows. Images of which an attribute is not known form the level [`UNKNOWN`]: a rate, but no test, and no part
/// of the other levels.
///
/// # Errors
/// [`MiningError::DuplicateId`] if an image has several rows (several settings or folds: filter the table first),
/// [`MiningError::NothingScored`] if the table is empty.
pub fn demographics(table: &ScoreTable, attributes: &[Attribute], adjustment: Adjustment) -> Result<Vec<RateRow>> {
    let images: Vec<(&str, bool)> = table
        .rows()
        .iter()
        .map(|row| (row.image_id.as_str(), row.htl))
        .collect();
    let mut seen = std::collections::HashSet::new();
    if let Some((id, _)) = images.iter().find(|(id, _)| !seen.insert(*id)) {
        return Err(MiningError::DuplicateId {
            image_id: id.to_string(),
            place: "the score table to analyse".into(),
        });
    }
    if images.is_empty() {
        return Err(MiningError::NothingScored {
            column: crate::table::HTL_COLUMN.into(),
            rows: 0,
        });
    }
    let mut rows = Vec::new();
    for attribute in attributes {
        let of = |wanted: &dyn Fn(&str) -> bool| {
            let members = images.iter().filter(|(id, _)| wanted(attribute.level(id)));
            members.fold((0u64, 0u64), |(n, htl), (_, selected)| {
                (n + 1, htl + u64::from(*selected))
            })
        };
        let (known, known_htl) = of(&|level| level != UNKNOWN);
        for level in attribute.sorted_levels().into_iter().chain([UNKNOWN]) {
            let (n, htl) = of(&|other| other == level);
            let Some(rate) = wilson(htl, n) else { continue };
            let table = (level != UNKNOWN).then(|| TwoByTwo {
                hits: htl,
                misses: n - htl,
                other_hits: known_htl - htl,
                other_misses: (known - n) - (known_htl - htl),
            });
            let rate_ratio = table.and_then(|table| table.rate_ratio());
            rows.push(RateRow {
                attribute: attribute.name().to_string(),
                level: level.to_string(),
                n,
                htl,
                rate,
                rate_ratio,
                odds_ratio: table.and_then(|table| table.odds_ratio()),
                p: rate_ratio.and(table).map(|table| table.fisher()),
                p_adjusted: None,
            });
        }
    }
    let tested: Vec<f64> = rows.iter().filter_map(|row| row.p).collect();
    let mut adjusted = adjustment.adjust(&tested).into_iter();
    for row in rows.iter_mut().filter(|row| row.p.is_some()) {
        row.p_adjusted = adjusted.next();
    }
    Ok(rows)
}

/// Writes `demographics.csv` with [`RATE_COLUMNS`]; what is not defined is blank. Temporary name, then rename.
///
/// # Errors
/// [`MiningError::Io`].
pub fn write_rates(rows: &[RateRow], path: impl AsRef<Path>) -> Result<()> {
    let three = |estimate: Option<Estimate>| match estimate {
        Some(e) => [e.value, e.lo, e.hi].map(|number| number.to_string()),
        None => Default::default(),
    };
    let one = |number: Option<f64>| number.map(|number| number.to_string()).unwrap_or_default();
    write_then_rename(path.as_ref(), |file| {
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(RATE_COLUMNS)?;
        for row in rows {
            let mut record = vec![
                row.attribute.clone(),
                row.level.clone(),
                row.n.to_string(),
                row.htl.to_string(),
            ];
            record.extend(three(Some(row.rate)));
            record.extend(three(row.rate_ratio));
            record.extend(three(row.odds_ratio));
            record.extend([one(row.p), one(row.p_adjusted)]);
            writer.write_record(&record)?;
        }
        writer.flush()
    })
}
