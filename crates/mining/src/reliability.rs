use std::path::Path;

use htl_vocabulary::{FormatError, read_rows, write_whole_with};
use serde::{Deserialize, Serialize};

use crate::column::{DENSE_SPREAD, FORGETTING_NOISE, FORGETTING_NOISE_RAW, SHAM};
use crate::correlate::{mean_ranks, spearman};
use crate::error::{MiningError, Result};
use crate::halves::{SeedHalves, hardest};
use crate::table::{KEY_COLUMNS, ScoreTable};

/// How well a score comes out again: the same images judged by disjoint halves of the seeds, mean over the splits.
///
/// *Beyond* other scores: both halves' ranks are first cleared of what is linear in the ranks of those scores, each half of
/// its own. What then still comes out again is not merely seed variance or more training under another name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// The score column.
    pub score: String,
    /// Scores that it is cleared of; none for the score as it is.
    pub beyond: Vec<String>,
    /// Images with a value.
    pub images: usize,
    /// Seeds in each half.
    pub seeds: usize,
    /// Ways to split the seeds.
    pub splits: usize,
    /// Spearman's correlation of the halves, in [-1, 1]; `None` where a half does not tell images apart.
    pub spearman: Option<f64>,
    /// Share of one half's hardest fifth that is in the other half's too; .2 by chance. `None` as above, and where ties cut it.
    pub overlap: Option<f64>,
}

/// The share of the images whose overlap is given.
const FIFTH: f64 = 0.2;

/// The scores that every other is cleared of, one set after the other; those that are not in the table are left out.
const CONTROLS: [&[&str]; 2] = [
    &[DENSE_SPREAD, SHAM],
    &[DENSE_SPREAD, SHAM, FORGETTING_NOISE, FORGETTING_NOISE_RAW],
];

impl SeedHalves {
    /// The reliability of every score of the tables, as it is and beyond seed spread and sham (and noise of the same size,
    /// where there is such a score).
    ///
    /// # Errors
    /// As [`spearman`].
    pub fn reliability(&self) -> Result<Vec<Reliability>> {
        let Some([first, _]) = self.pairs().first() else {
            return Ok(Vec::new());
        };
        let known = |name: &&&str| {
            first
                .column(name)
                .is_ok_and(|values| values.iter().any(Option::is_some))
        };
        let mut controls: Vec<Vec<&str>> = vec![Vec::new()];
        for set in CONTROLS {
            let there: Vec<&str> = set.iter().filter(known).copied().collect();
            if !controls.contains(&there) {
                controls.push(there);
            }
        }
        let mut found = Vec::new();
        for score in first.columns() {
            if !known(&&score.as_str()) {
                continue;
            }
            for beyond in &controls {
                if !beyond.contains(&score.as_str()) {
                    found.push(self.of_score(score, beyond)?);
                }
            }
        }
        Ok(found)
    }

    /// The reliability of one score beyond others.
    ///
    /// # Errors
    /// [`MiningError::NoColumn`], and as [`spearman`].
    pub fn of_score(&self, score: &str, beyond: &[&str]) -> Result<Reliability> {
        let (mut correlations, mut overlaps, mut images) = (Vec::new(), Vec::new(), 0);
        for [a, b] in self.pairs() {
            let (one, other) = (cleared(a, score, beyond)?, cleared(b, score, beyond)?);
            images = one
                .iter()
                .zip(&other)
                .filter(|(a, b)| a.is_some() && b.is_some())
                .count();
            correlations.push(spearman(&one, &other)?.map(|correlation| correlation.rho));
            overlaps.push(overlap((a, &one), (b, &other))?);
        }
        Ok(Reliability {
            score: score.to_string(),
            beyond: beyond.iter().map(|name| (*name).to_string()).collect(),
            images,
            seeds: self.per_half(),
            splits: self.splits(),
            spearman: mean_of_all(&correlations),
            overlap: mean_of_all(&overlaps),
        })
    }

    /// Jaccard index of the sets that both halves select with the same rule, mean over the splits; `None` if a half refuses.
    ///
    /// # Errors
    /// What selecting fails with other than ties.
    pub fn stability(&self, column: &str, fraction: f64, seed: u64) -> Result<Option<f64>> {
        let mut found = Vec::new();
        for [a, b] in self.pairs() {
            let sets = [a, b].map(|table| untied(hardest(table, column, fraction, seed)));
            let [a, b] = sets;
            found.push(match (a?, b?) {
                (Some(a), Some(b)) => {
                    let both = a.iter().filter(|id| b.contains(id)).count();
                    Some(both as f64 / (a.len() + b.len() - both).max(1) as f64)
                }
                _ => None,
            });
        }
        Ok(mean_of_all(&found))
    }
}

/// A refusal because of ties is no result, and no error.
fn untied(selected: Result<Vec<String>>) -> Result<Option<Vec<String>>> {
    match selected {
        Ok(ids) => Ok(Some(ids)),
        Err(MiningError::AllTied { .. } | MiningError::TiedCut { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn mean_of_all(values: &[Option<f64>]) -> Option<f64> {
    let known: Option<Vec<f64>> = values.iter().copied().collect();
    known
        .filter(|known| !known.is_empty())
        .map(|known| known.iter().sum::<f64>() / known.len() as f64)
}

/// The score itself, or its ranks less what is linear in the ranks of the others.
fn cleared(table: &ScoreTable, score: &str, beyond: &[&str]) -> Result<Vec<Option<f64>>> {
    let values = table.column(score)?;
    if beyond.is_empty() {
        return Ok(values);
    }
    let others = beyond
        .iter()
        .map(|name| table.column(name))
        .collect::<Result<Vec<_>>>()?;
    let whole: Vec<usize> = (0..values.len())
        .filter(|&i| values[i].is_some() && others.iter().all(|other| other[i].is_some()))
        .collect();
    let ranks = |column: &[Option<f64>]| {
        let known: Vec<f64> = whole.iter().filter_map(|&i| column[i]).collect();
        centred(mean_ranks(&known))
    };
    let residual = residual(ranks(&values), others.iter().map(|other| ranks(other)));
    let mut cleared = vec![None; values.len()];
    for (&i, value) in whole.iter().zip(residual) {
        cleared[i] = Some(value);
    }
    Ok(cleared)
}

fn centred(mut values: Vec<f64>) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    values.iter_mut().for_each(|value| *value -= mean);
    values
}

/// What is left of `y` after least squares on the others, all centred: by orthogonalising one after the other.
fn residual(mut y: Vec<f64>, others: impl Iterator<Item = Vec<f64>>) -> Vec<f64> {
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let without = |from: &mut [f64], direction: &[f64]| {
        let share = product(from, direction) / product(direction, direction);
        from.iter_mut()
            .zip(direction)
            .for_each(|(value, d)| *value -= share * d);
    };
    let mut directions: Vec<Vec<f64>> = Vec::new();
    for mut other in others {
        let before = product(&other, &other);
        // Twice: what rounding leaves of the first time.
        for _ in 0..2 {
            directions.iter().for_each(|direction| without(&mut other, direction));
        }
        // A score that the earlier ones determine adds nothing.
        if product(&other, &other) > 1e-9 * before && before > 0.0 {
            directions.push(other);
        }
    }
    let before = product(&y, &y);
    for _ in 0..2 {
        directions.iter().for_each(|direction| without(&mut y, direction));
    }
    if product(&y, &y) <= 1e-9 * before {
        // Nothing but rounding is left.
        y.fill(0.0);
    }
    y
}

/// Share of the hardest fifth of one half in that of the other.
fn overlap(one: (&ScoreTable, &[Option<f64>]), other: (&ScoreTable, &[Option<f64>])) -> Result<Option<f64>> {
    let fifth = |(table, values): (&ScoreTable, &[Option<f64>])| {
        let mut alone = ScoreTable::new(["score"]);
        for (row, value) in table.rows().iter().zip(values) {
            let scores = vec![*value];
            alone.push(crate::table::ScoreRow { scores, ..row.clone() })?;
        }
        if values.iter().all(Option::is_none) {
            return Ok(None);
        }
        untied(hardest(&alone, "score", FIFTH, 0))
    };
    let (Some(a), Some(b)) = (fifth(one)?, fifth(other)?) else {
        return Ok(None);
    };
    let both = a.iter().filter(|id| b.contains(id)).count();
    Ok(Some(both as f64 / a.len().max(1) as f64))
}

/// Columns of a reliability table after setting and fold.
const COLUMNS: [&str; 7] = [
    "score",
    "beyond",
    "images",
    "seeds_per_half",
    "splits",
    "spearman",
    "top_fifth_overlap",
];

/// Writes reliabilities as CSV, with the setting and the fold that they are of. Written whole or not at all.
///
/// # Errors
/// [`MiningError::Write`].
pub fn write_reliability(path: &Path, rows: &[Reliability], setting: &str, fold: Option<u32>) -> Result<()> {
    let written = write_whole_with(path, |file| {
        let mut writer = csv::Writer::from_writer(file);
        writer.write_record(KEY_COLUMNS.into_iter().skip(1).chain(COLUMNS))?;
        let number = |value: Option<f64>| value.map(|value| format!("{value:.4}")).unwrap_or_default();
        for row in rows {
            writer.write_record([
                setting.to_string(),
                fold.map(|fold| fold.to_string()).unwrap_or_default(),
                row.score.clone(),
                row.beyond.join("+"),
                row.images.to_string(),
                row.seeds.to_string(),
                row.splits.to_string(),
                number(row.spearman),
                number(row.overlap),
            ])?;
        }
        writer.flush()
    });
    written.map_err(MiningError::Write)
}

/// Reads what [`write_reliability`] wrote, of whatever setting and fold.
///
/// # Errors
/// As [`read_rows`].
pub fn read_reliability(path: &Path) -> std::result::Result<Vec<Reliability>, FormatError> {
    #[derive(Deserialize)]
    struct Row {
        score: String,
        beyond: String,
        images: usize,
        seeds_per_half: usize,
        splits: usize,
        spearman: Option<f64>,
        top_fifth_overlap: Option<f64>,
    }
    let reliability = |row: Row| Reliability {
        score: row.score,
        beyond: row
            .beyond
            .split('+')
            .filter(|name| !name.is_empty())
            .map(String::from)
            .collect(),
        images: row.images,
        seeds: row.seeds_per_half,
        splits: row.splits,
        spearman: row.spearman,
        overlap: row.top_fifth_overlap,
    };
    Ok(read_rows(path)?.into_iter().map(reliability).collect())
}
