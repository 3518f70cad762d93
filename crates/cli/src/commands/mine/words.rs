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

/// How well scores come out again over halves of the seeds.
pub(super) fn reliability(rows: &[Reliability], by: &str) -> String {
    let Some(first) = rows.first() else {
        return String::new();
    };
    let mut words = format!(
        "Does it come out again? Halves of {} seeds, {} splits: Spearman's correlation, share of the hardest fifth in both\n",
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
        words += &format!(
            "  {:<18} {:>5} {:>5}{beyond}\n",
            row.score,
            number(row.spearman),
            number(row.overlap)
        );
    }
    words
}

/// Images in which neither population finds anything.
fn empty(table: &ScoreTable) -> usize {
    let flags = table.column(column::BOTH_EMPTY).unwrap_or_default();
    flags.into_iter().filter(|flag| *flag == Some(1.0)).count()
}

/// The record beside the table.
#[derive(Serialize)]
pub(super) struct Record<'a> {
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

impl<'a> Record<'a> {
    /// The rule, what it met, and how stable its set is.
    pub(super) fn of(selection: &'a Selection, table: &ScoreTable, stability: Option<f64>) -> Self {
        Self {
            outcome: &selection.outcome,
            selection: selection.outcome.to_string(),
            selected: selection.len(),
            of: table.len(),
            both_empty: empty(table),
            stability,
        }
    }

    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        Ok(write_whole(path, serde_json::to_string_pretty(self)? + "\n")?)
    }

    /// Which rule selected how many.
    pub(super) fn words(&self) -> String {
        let Self {
            selected,
            of,
            both_empty,
            ..
        } = self;
        let mut words = format!("{selected} of {of} images selected: {}\n", self.selection);
        if *both_empty > 0 {
            words += &format!("{both_empty} of {of} images are empty in both populations\n");
        }
        words
    }
}
