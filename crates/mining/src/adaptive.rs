use std::collections::HashSet;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::column;
use crate::comparison::Comparison;
use crate::error::{MiningError, Result};
use crate::knockoff::{LEAST_SEEDS, check_q, knockoff_threshold};
use crate::params::ScoreValidParams;
use crate::population::Population;
use crate::select::{Outcome, Selection, top};
use crate::table::ScoreTable;
use crate::view::{Disagreement, View};

/// Parameters of [`adaptive`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaptiveParams {
    /// Target false discovery rate, in (0, 1).
    pub q: f64,
    /// Column to rank by when there are too few seeds.
    pub fallback_column: String,
    /// Fraction to take when there are too few seeds, in [0, 1].
    pub fallback_fraction: f64,
}

impl Default for AdaptiveParams {
    fn default() -> Self {
        Self {
            q: 0.2,
            fallback_column: column::DISAGREEMENT.into(),
            fallback_fraction: 0.2,
        }
    }
}

/// Adaptive selection (knockoff+): the images on which pruning changes more than a sham does, as many as a false discovery
/// rate of `q` allows. With fewer than [`LEAST_SEEDS`] dense seeds the outcome is
/// [`Outcome::TooFewSeeds`] and the set is the top fraction of `table`.
///
/// Images flagged `both_empty` in `table` rank hardest and are in the set whatever their W; they are not counted in
/// [`Outcome::Adaptive::by_statistic`], to which alone the false discovery rate applies.
///
/// To validate a selection, put a second sham in the place of the sparse population: little should be selected.
///
/// # Errors
/// [`MiningError::NoSham`], [`MiningError::SeedCount`], and as [`crate::scores`] and [`crate::rank`].
pub fn adaptive(
    table: &ScoreTable,
    comparison: &Comparison<'_>,
    scoring: &ScoreValidParams,
    params: &AdaptiveParams,
) -> Result<Selection> {
    check_q(params.q)?;
    let found = comparison.dense.seeds();
    if found < LEAST_SEEDS {
        let ids = top(table, &params.fallback_column, params.fallback_fraction)?.ids;
        let (column, fraction) = (params.fallback_column.clone(), params.fallback_fraction);
        return Ok(Selection {
            ids,
            outcome: Outcome::TooFewSeeds {
                found,
                column,
                fraction,
            },
        });
    }
    let statistics = split_statistics(comparison, scoring)?;
    let threshold = knockoff_threshold(&statistics, params.q)?;
    let empty: HashSet<&str> = table
        .rows()
        .iter()
        .filter(|row| table.score(&row.image_id, column::BOTH_EMPTY) == Some(1.0))
        .map(|row| row.image_id.as_str())
        .collect();
    let mut chosen: Vec<(bool, f64, &String)> = Vec::new();
    let mut by_statistic = 0;
    for (id, &w) in comparison.dense.ids().iter().zip(&statistics) {
        let passes = threshold.is_some_and(|threshold| w >= threshold);
        by_statistic += usize::from(passes);
        if passes || empty.contains(id.as_str()) {
            chosen.push((empty.contains(id.as_str()), w, id));
        }
    }
    chosen.sort_by(|a, b| b.0.cmp(&a.0).then(b.1.total_cmp(&a.1)).then(a.2.cmp(b.2)));
    let ids = chosen.into_iter().map(|(_, _, id)| id.clone()).collect();
    Ok(Selection {
        ids,
        outcome: Outcome::Adaptive {
            q: params.q,
            threshold,
            by_statistic,
        },
    })
}

/// W of every image, in the order of the dense population: D(A, pruned C) - D(A, sham C) averaged with
/// D(C, pruned A) - D(C, sham A), where A is the first and C the second half of the dense seeds and D the disagreement
/// of modal masks (an odd last seed is left out). In [-1, 1], and symmetric around 0 where pruning adds nothing.
///
/// Seed k of the sparse and of the sham population must come from dense seed k.
///
/// # Errors
/// [`MiningError::NoSham`], [`MiningError::SeedCount`], [`MiningError::Parameter`] with fewer than two dense seeds, and
/// as [`crate::scores`].
pub fn split_statistics(comparison: &Comparison<'_>, scoring: &ScoreValidParams) -> Result<Vec<f64>> {
    let sham = comparison.sham.ok_or(MiningError::NoSham)?;
    comparison.check()?;
    let dense = comparison.dense;
    let seeds = dense.seeds();
    for (place, population) in [
        ("the sparse population", comparison.sparse),
        ("the sham population", sham),
    ] {
        if population.seeds() != seeds {
            return Err(MiningError::SeedCount {
                place,
                found: population.seeds(),
                expected: seeds,
            });
        }
    }
    let half = seeds / 2;
    if half == 0 {
        return Err(MiningError::Parameter {
            name: "dense seeds",
            expected: "at least 2",
            found: seeds as f64,
        });
    }
    let cut = scoring.cut(dense.kind());
    let halves = |population: &Population, id: &str| -> Result<[View; 2]> {
        let mut first = population.planes_of(id)?;
        first.truncate(2 * half);
        let second = first.split_off(half);
        let view = |planes| View::new(planes, population.size(), cut);
        Ok([view(first)?, view(second)?])
    };
    dense
        .ids()
        .par_iter()
        .map(|id| {
            let [dense_a, dense_c] = halves(dense, id)?;
            let [pruned_a, pruned_c] = halves(comparison.sparse, id)?;
            let [sham_a, sham_c] = halves(sham, id)?;
            let distance = |a: &View, b: &View| Ok::<f64, MiningError>(Disagreement::between(a, b, scoring)?.hard);
            let one = distance(&dense_a, &pruned_c)? - distance(&dense_a, &sham_c)?;
            let other = distance(&dense_c, &pruned_a)? - distance(&dense_c, &sham_a)?;
            Ok((one + other) / 2.0)
        })
        .collect()
}
