//! What `htl mine` says and records beside its table.

use std::path::Path;

use htl_mining::{Outcome, Reliability, ScoreTable, Selection, column};
use htl_vocabulary::write_whole;
use serde::Serialize;

/// Scores whose reliability is printed; all are in the file.
const PRINTED: [&str; 6] = [
    column::FORGETTING_RAW,
    column::FORGETTING,
    column::DISAGREEMENT,
    column::SHAM,
    "excess",
    column::DENSE_SPREAD,
];

/// Says how well scores come out again over halves of the seeds.
pub(super) fn say_reliability(rows: &[Reliability], by: &str) {
    let Some(first) = rows.first() else { return };
    eprintln!(
        "Does it come out again? Halves of {} seeds, {} splits: Spearman's correlation, share of the hardest fifth in both",
        first.seeds, first.splits
    );
    for row in rows
        .iter()
        .filter(|row| PRINTED.contains(&row.score.as_str()) || row.score == by)
    {
        let beyond = match row.beyond.as_slice() {
            [] => String::new(),
            names => format!(" beyond {}", names.join(", ")),
        };
        let number = |value: Option<f64>| value.map_or_else(|| "-".into(), |value| format!("{value:.2}"));
        eprintln!(
            "  {:<18} {:>5} {:>5}{beyond}",
            row.score,
            number(row.spearman),
            number(row.overlap)
        );
    }
}

/// Says which rule selected how many.
pub(super) fn say_selection(selection: &Selection, table: &ScoreTable) {
    eprintln!(
        "{} of {} images selected: {}",
        selection.len(),
        table.len(),
        selection.outcome
    );
    let empty = empty(table);
    if empty > 0 {
        eprintln!("{empty} of {} images are empty in both populations", table.len());
    }
}

/// Images in which neither population finds anything.
fn empty(table: &ScoreTable) -> usize {
    let flags = table.column(column::BOTH_EMPTY).unwrap_or_default();
    flags.into_iter().filter(|flag| *flag == Some(1.0)).count()
}

/// The record beside the table.
#[derive(Serialize)]
struct Record<'a> {
    #[serde(flatten)]
    outcome: &'a Outcome,
    /// The rule in words.
    selection: String,
    selected: usize,
    of: usize,
    both_empty: usize,
    /// Jaccard index of the sets that disjoint halves of the seeds select, mean over the splits.
    stability: Option<f64>,
}

/// Writes the rule, what it met, and how stable its set is.
pub(super) fn write_selection(
    path: &Path,
    selection: &Selection,
    table: &ScoreTable,
    stability: Option<f64>,
) -> anyhow::Result<()> {
    let record = Record {
        outcome: &selection.outcome,
        selection: selection.outcome.to_string(),
        selected: selection.len(),
        of: table.len(),
        both_empty: empty(table),
        stability,
    };
    Ok(write_whole(path, serde_json::to_string_pretty(&record)? + "\n")?)
}
