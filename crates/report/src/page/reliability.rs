use serde::Serialize;

use crate::{Reliability, words};

/// Which scores come out again, and what is left of them beyond others.
#[derive(Serialize)]
pub(super) struct Table {
    /// Seeds in each half, ways of halving, images.
    seeds: usize,
    splits: usize,
    images: usize,
    /// What the columns after the first are cleared of.
    beyond: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    /// Spearman's correlation and the share of the hardest fifth in both halves, one pair per column.
    cells: Vec<[String; 2]>,
}

/// The scores that a reader compares; the tables of the stages have all of them.
const SHOWN: [&str; 11] = [
    "forgetting_raw",
    "forgetting_random_raw",
    "forgetting_noise_raw",
    "forgetting",
    "forgetting_random",
    "forgetting_noise",
    "disagreement",
    "sham",
    "excess",
    "dense_spread",
    "entropy",
];

/// `None` where nothing was split.
pub(super) fn view(rows: &[Reliability]) -> Option<Table> {
    let first = rows.first()?;
    let mut columns: Vec<&[String]> = Vec::new();
    let mut scores: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| SHOWN.contains(&row.score.as_str())) {
        if !columns.contains(&row.beyond.as_slice()) {
            columns.push(&row.beyond);
        }
        if !scores.contains(&row.score.as_str()) && row.spearman.is_some() {
            scores.push(&row.score);
        }
    }
    let cell = |score: &str, beyond: &[String]| {
        let found = rows.iter().find(|row| row.score == score && row.beyond == beyond);
        let of = |value: fn(&Reliability) -> Option<f64>| words::two_decimals(found.and_then(value));
        [of(|row| row.spearman), of(|row| row.overlap)]
    };
    let names = |beyond: &&[String]| {
        let names: Vec<String> = beyond.iter().map(|name| words::score(name).to_lowercase()).collect();
        names.join(", ")
    };
    scores.sort_by_key(|score| SHOWN.iter().position(|shown| shown == score));
    Some(Table {
        seeds: first.seeds,
        splits: first.splits,
        images: first.images,
        beyond: columns.iter().filter(|beyond| !beyond.is_empty()).map(names).collect(),
        rows: scores
            .iter()
            .map(|score| Row {
                name: words::score(score),
                cells: columns.iter().map(|beyond| cell(score, beyond)).collect(),
            })
            .collect(),
    })
}
