use htl_vocabulary::RateRow;

use crate::adjust::Adjustment;
use crate::attribute::{Attribute, UNKNOWN};
use crate::contingency::{TwoByTwo, wilson};
use crate::error::{MiningError, Result};
use crate::table::ScoreTable;

/// HTL rates of every level of every attribute, over the images of a marked score table; the adjustment runs over all
/// tested rows. Images of which an attribute is not known form the level [`UNKNOWN`]: a rate, but no test, and no part
/// of the other levels; neither is tested where there is nothing to compare (a single level, nothing selected or all).
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
                rate: Some(rate),
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
