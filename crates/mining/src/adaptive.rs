use rayon::prelude::*;

use crate::column;
use crate::comparison::Comparison;
use crate::error::{MiningError, Result};
use crate::knockoff::{LEAST_SEEDS, check_q, knockoff_threshold, relative_statistics};
use crate::params::ScoreValidParams;
use crate::population::Population;
use crate::rank::hash;
use crate::select::{Outcome, Selection};
use crate::table::ScoreTable;
use crate::view::{Disagreement, View};

/// Adaptive selection (knockoff+): the images on which pruning changes more than a sham does, measured by what each of them
/// does to the median image, as many as a false discovery rate of `q` allows. Writes the statistic W of every image into the
/// column `knockoff_w` of `table`.
///
/// To validate a selection, put a second sham in the place of the sparse population, or a pruned population that is noisier on
/// all images alike: little should be selected.
///
/// # Errors
/// [`MiningError::TooFewSeeds`] with fewer than [`LEAST_SEEDS`] dense seeds, [`MiningError::NoSham`],
/// [`MiningError::SeedCount`], [`MiningError::NoScale`], and as [`crate::scores`].
pub fn adaptive(
    table: &mut ScoreTable,
    comparison: &Comparison<'_>,
    scoring: &ScoreValidParams,
    q: f64,
    seed: u64,
) -> Result<Selection> {
    check_q(q)?;
    let found = comparison.dense.seeds();
    if found < LEAST_SEEDS {
        return Err(MiningError::TooFewSeeds { found });
    }
    let statistics = split_statistics(comparison, scoring)?;
    let threshold = knockoff_threshold(&statistics, q)?;
    let known: std::collections::HashMap<&str, f64> = comparison
        .dense
        .ids()
        .iter()
        .map(String::as_str)
        .zip(statistics.iter().copied())
        .collect();
    let column: Vec<Option<f64>> = table
        .rows()
        .iter()
        .map(|row| known.get(row.image_id.as_str()).copied())
        .collect();
    table.set_column(column::KNOCKOFF_W, &column)?;
    let mut chosen: Vec<(f64, &str)> = known
        .into_iter()
        .filter(|(_, w)| threshold.is_some_and(|threshold| *w >= threshold))
        .map(|(id, w)| (w, id))
        .collect();
    chosen.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| hash(seed, a.1).cmp(&hash(seed, b.1))));
    Ok(Selection {
        ids: chosen.into_iter().map(|(_, id)| id.to_string()).collect(),
        outcome: Outcome::Adaptive { q, threshold },
    })
}

/// W of every image, in the order of the dense population: D(A, pruned C) / median D(A, pruned C) - D(A, sham C) / median
/// D(A, sham C), averaged with the same after A and C are exchanged. A is the first and C the second half of the dense seeds
/// (an odd last seed is left out), D the disagreement of modal masks, the medians are over images. Symmetric around 0 where
/// pruning changes every image as the sham does, however much more it may change all of them.
///
/// Seed k of the sparse and of the sham population must come from dense seed k.
///
/// # Errors
/// [`MiningError::NoSparse`], [`MiningError::NoSham`], [`MiningError::SeedCount`], [`MiningError::NoScale`],
/// [`MiningError::Parameter`] with fewer than two dense seeds, and as [`crate::scores`].
pub fn split_statistics(comparison: &Comparison<'_>, scoring: &ScoreValidParams) -> Result<Vec<f64>> {
    let sham = comparison.sham.ok_or(MiningError::NoSham)?;
    let sparse = comparison.sparse.ok_or(MiningError::NoSparse)?;
    comparison.check()?;
    let dense = comparison.dense;
    let seeds = dense.seeds();
    for (place, population) in [("the sparse population", sparse), ("the sham population", sham)] {
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
    let distances = dense
        .ids()
        .par_iter()
        .map(|id| {
            let [dense_a, dense_c] = halves(dense, id)?;
            let [pruned_a, pruned_c] = halves(sparse, id)?;
            let [sham_a, sham_c] = halves(sham, id)?;
            let distance = |a: &View, b: &View| Ok::<f64, MiningError>(Disagreement::between(a, b, scoring)?.hard);
            Ok([
                distance(&dense_a, &pruned_c)?,
                distance(&dense_a, &sham_c)?,
                distance(&dense_c, &pruned_a)?,
                distance(&dense_c, &sham_a)?,
            ])
        })
        .collect::<Result<Vec<[f64; 4]>>>()?;
    relative_statistics(&distances)
}
