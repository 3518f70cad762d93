use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::error::{MiningError, Result};
use crate::rank::{count_of, rank};
use crate::select::{Outcome, Selection};
use crate::table::ScoreTable;

/// Scores of the same images by disjoint halves of the seeds: what comes out again, and what is chance.
///
/// With K seeds each half has K / 2 of them, rounded down; of an odd number each seed is left out in turn.
#[derive(Debug, Clone)]
pub struct SeedHalves {
    per_half: usize,
    pairs: Vec<[ScoreTable; 2]>,
}

impl SeedHalves {
    /// Scores both halves of every way to split `seeds` seeds, at most `most` ways, drawn at random if there are more.
    /// `score` gives the table of some of the seeds, all tables with the same images.
    ///
    /// ```
    /// use htl_mining::{ScoreRow, ScoreTable, SeedHalves};
    ///
    /// // Each seed's opinion of three images; a score is the mean over seeds.
    /// let seeds = [[0.1, 0.5, 0.9], [0.2, 0.4, 0.8], [0.0, 0.6, 0.7], [0.1, 0.7, 0.9]];
    /// let halves = SeedHalves::of(seeds.len(), 30, |chosen| {
    ///     let mut table = ScoreTable::new(["x"]);
    ///     for image in 0..3 {
    ///         let sum: f64 = chosen.iter().map(|seed| seeds[*seed][image]).sum();
    ///         let scores = vec![Some(sum / chosen.len() as f64)];
    ///         table.push(ScoreRow { image_id: image.to_string(), scores, ..ScoreRow::default() })?;
    ///     }
    ///     Ok(table)
    /// })?;
    /// assert_eq!((halves.splits(), halves.per_half()), (3, 2));
    /// # Ok::<(), htl_mining::MiningError>(())
    /// ```
    ///
    /// # Errors
    /// [`MiningError::Parameter`] with fewer than two seeds, and what `score` fails with.
    pub fn of(seeds: usize, most: usize, score: impl Fn(&[usize]) -> Result<ScoreTable>) -> Result<Self> {
        let splits = splits(seeds, most);
        if splits.is_empty() {
            return Err(MiningError::Parameter {
                name: "seeds",
                expected: "at least 2, to be split into halves",
                found: seeds as f64,
            });
        }
        let pairs = splits.iter().map(|[a, b]| Ok([score(a)?, score(b)?]));
        Ok(Self {
            per_half: seeds / 2,
            pairs: pairs.collect::<Result<_>>()?,
        })
    }

    /// Seeds in each half.
    pub fn per_half(&self) -> usize {
        self.per_half
    }

    /// Ways of splitting.
    pub fn splits(&self) -> usize {
        self.pairs.len()
    }

    /// The tables of both halves, split by split.
    pub fn pairs(&self) -> &[[ScoreTable; 2]] {
        &self.pairs
    }

    /// Stability selection: the images among the hardest `fraction` by a score in at least `share` of all halves, most often
    /// hard first (Meinshausen and Bühlmann 2010, in the complementary pairs of Shah and Samworth 2013).
    ///
    /// # Errors
    /// As [`rank`] and [`Ranking::hardest`](crate::Ranking::hardest); [`MiningError::Parameter`] for a share outside (0, 1].
    pub fn stable(&self, column: &str, fraction: f64, share: f64, seed: u64) -> Result<Selection> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(MiningError::Parameter {
                name: "share of the halves",
                expected: "in (0, 1]",
                found: share,
            });
        }
        let halves = 2 * self.splits();
        let mut counts: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
        for table in self.pairs.iter().flatten() {
            for id in hardest(table, column, fraction, seed)? {
                *counts.entry(id).or_default() += 1;
            }
        }
        let enough = |count: usize| count as f64 >= share * halves as f64 - 1e-9;
        let mut chosen: Vec<(usize, [u8; 32], String)> = counts
            .into_iter()
            .filter(|(_, count)| enough(*count))
            .map(|(id, count)| (count, crate::rank::hash(seed, &id), id))
            .collect();
        chosen.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        Ok(Selection {
            ids: chosen.into_iter().map(|(.., id)| id).collect(),
            outcome: Outcome::Stable {
                column: column.to_string(),
                fraction,
                share,
                halves,
            },
        })
    }
}

/// The hardest fraction of one half's table.
pub(crate) fn hardest(table: &ScoreTable, column: &str, fraction: f64, seed: u64) -> Result<Vec<String>> {
    let ranking = rank(table, column, seed)?;
    ranking.hardest(count_of(fraction, ranking.len())?)
}

/// Pairs of disjoint halves; each pair once.
fn splits(seeds: usize, most: usize) -> Vec<[Vec<usize>; 2]> {
    let half = seeds / 2;
    if half == 0 {
        return Vec::new();
    }
    let left_out: Vec<Option<usize>> = if seeds.is_multiple_of(2) {
        vec![None]
    } else {
        (0..seeds).map(Some).collect()
    };
    let mut splits = Vec::new();
    for out in left_out {
        let pool: Vec<usize> = (0..seeds).filter(|seed| Some(*seed) != out).collect();
        // The first of the pool is always in the first half: a pair counts once.
        let (first, others) = pool.split_at(1);
        for chosen in combinations(others, half - 1) {
            let a: Vec<usize> = first.iter().chain(&chosen).copied().collect();
            let b = pool.iter().copied().filter(|seed| !a.contains(seed)).collect();
            splits.push([a, b]);
            if splits.len() >= MOST_LISTED {
                break;
            }
        }
    }
    if splits.len() > most {
        splits.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
        splits.truncate(most);
    }
    splits
}

/// Splits that are listed before some are drawn: all of up to fifteen seeds.
const MOST_LISTED: usize = 60_000;

fn combinations(items: &[usize], count: usize) -> Vec<Vec<usize>> {
    match (count, items.split_first()) {
        (0, _) => vec![Vec::new()],
        (_, None) => Vec::new(),
        (_, Some((first, rest))) => {
            let mut all: Vec<Vec<usize>> = combinations(rest, count - 1)
                .into_iter()
                .map(|mut chosen| {
                    chosen.insert(0, *first);
                    chosen
                })
                .collect();
            all.extend(combinations(rest, count));
            all
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_split_is_there_once() {
        for (seeds, expected) in [(0, 0), (1, 0), (2, 1), (3, 3), (4, 3), (5, 15), (6, 10), (8, 35)] {
            let splits = splits(seeds, usize::MAX);
            assert_eq!(splits.len(), expected, "{seeds} seeds");
            let mut seen = std::collections::BTreeSet::new();
            for [a, b] in splits {
                assert_eq!((a.len(), b.len()), (seeds / 2, seeds / 2));
                assert!(a.iter().all(|seed| !b.contains(seed)));
                let mut pair = [a, b];
                pair.sort();
                assert!(seen.insert(pair));
            }
        }
        assert_eq!(splits(8, 7).len(), 7);
    }
}
