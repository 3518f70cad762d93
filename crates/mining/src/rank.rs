use crate::column;
use crate::error::{MiningError, Result};
use crate::table::ScoreTable;

/// Image ids from hardest to easiest by a score column: images flagged `both_empty` first, then by falling score; ties
/// in order of the id. Images without a value in the column are left out, unless they are flagged.
///
/// An image with several rows (folds, settings) must not be ranked twice: filter the table first.
///
/// # Errors
/// [`MiningError::NoColumn`], [`MiningError::NothingScored`], [`MiningError::DuplicateId`].
pub fn rank(table: &ScoreTable, by: &str) -> Result<Vec<String>> {
    let scores = table.column(by)?;
    if scores.iter().all(Option::is_none) {
        return Err(MiningError::NothingScored {
            column: by.to_string(),
            rows: table.len(),
        });
    }
    let empty = table
        .column(column::BOTH_EMPTY)
        .unwrap_or_else(|_| vec![None; table.len()]);
    let mut entries: Vec<(bool, f64, &str)> = Vec::with_capacity(table.len());
    for ((row, score), empty) in table.rows().iter().zip(scores).zip(empty) {
        match (empty == Some(1.0), score) {
            (true, score) => entries.push((true, score.unwrap_or(f64::INFINITY) + 0.0, &row.image_id)),
            // + 0.0 makes -0 and 0 tie.
            (false, Some(score)) => entries.push((false, score + 0.0, &row.image_id)),
            (false, None) => {}
        }
    }
    entries.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(b.2)));
    let ranked: Vec<String> = entries.into_iter().map(|(_, _, id)| id.to_string()).collect();
    let mut seen = std::collections::HashSet::new();
    match ranked.iter().find(|id| !seen.insert(id.as_str())) {
        Some(id) => Err(MiningError::DuplicateId {
            image_id: id.clone(),
            place: "the table to rank".into(),
        }),
        None => Ok(ranked),
    }
}

/// round(fraction * n), at least one image if the fraction is not 0.
pub(crate) fn count_of(fraction: f64, n: usize) -> Result<usize> {
    if !(0.0..=1.0).contains(&fraction) {
        return Err(MiningError::Parameter {
            name: "fraction",
            expected: "in [0, 1]",
            found: fraction,
        });
    }
    let count = (fraction * n as f64).round() as usize;
    Ok(if fraction > 0.0 { count.clamp(1.min(n), n) } else { 0 })
}
