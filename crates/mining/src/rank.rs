use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::column;
use crate::correlate::mean_ranks;
use crate::error::{MiningError, Result};
use crate::table::ScoreTable;

/// The largest share of the images that may lie in the tie that a cut runs through: beyond it, chance selects. Two images may
/// always tie.
pub const MOST_TIED: f64 = 0.05;

/// Images from hardest to easiest by one score.
///
/// Images flagged `both_empty` are the hardest under every score, and all alike. Equal scores are put in order by a hash of
/// the seed and the id: ids are often numbered by site or year, so their own order would prefer some people.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    column: String,
    ids: Vec<String>,
    /// Scores in the same order; infinite for what is empty in both.
    scores: Vec<f64>,
    empty: usize,
}

/// How attention grows with a score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// In proportion to the score: the score's share of the largest one, counted from 0, or from the smallest where scores are
    /// negative.
    Score,
    /// By order alone: the share of the other images that score lower, those that tie counted half. Every score gives the
    /// same grades, to other images.
    Rank,
}

/// The images of equal score that a cut runs through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tie {
    /// How many there are; 0 where the cut falls between two scores.
    pub images: usize,
    /// How many of them are selected, by their hash.
    pub selected: usize,
}

/// Ranks the images of a table by a score column. Images without a value in the column are left out, unless they are flagged
/// `both_empty`.
///
/// An image with several rows (folds, settings) must not be ranked twice: [`ScoreTable::choose`] first.
///
/// # Errors
/// [`MiningError::NoColumn`], [`MiningError::NothingScored`], [`MiningError::DuplicateId`].
pub fn rank(table: &ScoreTable, by: &str, seed: u64) -> Result<Ranking> {
    let scores = table.column(by)?;
    if scores.iter().all(Option::is_none) {
        return Err(MiningError::NothingScored {
            column: by.to_string(),
            rows: table.len(),
        });
    }
    let flags = table
        .column(column::BOTH_EMPTY)
        .unwrap_or_else(|_| vec![None; table.len()]);
    let mut empty = 0;
    let mut entries: Vec<(f64, [u8; 32], &str)> = Vec::with_capacity(table.len());
    for ((row, score), flag) in table.rows().iter().zip(scores).zip(flags) {
        let score = if flag == Some(1.0) {
            empty += 1;
            Some(f64::INFINITY)
        } else {
            score
        };
        if let Some(score) = score {
            // + 0.0 makes -0 and 0 tie.
            entries.push((score + 0.0, hash(seed, &row.image_id), &row.image_id));
        }
    }
    let mut seen = HashSet::new();
    if let Some((.., id)) = entries.iter().find(|(.., id)| !seen.insert(*id)) {
        return Err(MiningError::DuplicateId {
            image_id: (*id).to_string(),
            place: "the table to rank (choose a setting and a fold first)".into(),
        });
    }
    entries.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    Ok(Ranking {
        column: by.to_string(),
        scores: entries.iter().map(|(score, ..)| *score).collect(),
        ids: entries.into_iter().map(|(.., id)| id.to_string()).collect(),
        empty,
    })
}

impl Ranking {
    /// The images, hardest first.
    pub fn ids(&self) -> &[String] {
        &self.ids
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no image is ranked: never, a column without a value is an error.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The tie that the cut after the hardest `count` images runs through.
    pub fn tie_at(&self, count: usize) -> Tie {
        let (Some(inside), Some(outside)) = (
            count.checked_sub(1).and_then(|last| self.scores.get(last)),
            self.scores.get(count),
        ) else {
            return Tie::default();
        };
        if inside != outside {
            return Tie::default();
        }
        let tied = |score: &&f64| *score == inside;
        Tie {
            images: self.scores.iter().filter(tied).count(),
            selected: self.scores[..count].iter().filter(tied).count(),
        }
    }

    /// How hard each image is, hardest first: 1 the hardest that can be, 0 not at all. What is empty in both is 1.
    pub fn grades(&self, grade: Grade) -> Vec<f64> {
        match grade {
            Grade::Score => {
                let finite = || self.scores.iter().copied().filter(|score| score.is_finite());
                let low = finite().fold(0.0, f64::min);
                let range = finite().fold(low, f64::max) - low;
                let share = |score: &f64| match score.is_finite() {
                    false => 1.0,
                    true if range > 0.0 => (score - low) / range,
                    true => 0.0,
                };
                self.scores.iter().map(share).collect()
            }
            Grade::Rank => {
                let others = self.len().saturating_sub(1).max(1) as f64;
                let ranks = mean_ranks(&self.scores);
                ranks.into_iter().map(|rank| (rank - 1.0) / others).collect()
            }
        }
    }

    /// The hardest `count` images (all, if there are fewer).
    ///
    /// # Errors
    /// [`MiningError::AllTied`] if no image differs from any other, [`MiningError::TiedCut`] if more than [`MOST_TIED`] of
    /// the images, and more than two, lie in the tie that the cut runs through.
    pub fn hardest(&self, count: usize) -> Result<Vec<String>> {
        let count = count.min(self.len());
        let tie = self.tie_at(count);
        let all_tied = self.len() > 1 && self.scores.iter().all(|score| *score == self.scores[0]);
        if all_tied && count < self.len() && count > 0 {
            return Err(MiningError::AllTied {
                column: self.column.clone(),
                images: self.len(),
                empty: self.empty,
            });
        }
        if tie.images > 2 && tie.images as f64 > MOST_TIED * self.len() as f64 {
            return Err(MiningError::TiedCut {
                column: self.column.clone(),
                tied: tie.images,
                selected: tie.selected,
                images: self.len(),
                empty: self.empty,
            });
        }
        Ok(self.ids[..count].to_vec())
    }
}

/// Puts equal scores in order: sha256 of the seed (eight bytes, least first) and the id.
pub(crate) fn hash(seed: u64, image_id: &str) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update(image_id.as_bytes());
    hasher.finalize().into()
}

/// A number in [0, 1) that looks random and depends on the seed and the id alone.
///
/// Ties are broken by the same hash: a score made of it needs a seed that nobody breaks ties with.
pub fn hashed_uniform(seed: u64, image_id: &str) -> f64 {
    let bytes = hash(seed, image_id);
    let high = bytes.iter().take(7).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    // 53 of the 56 bits: as many as a number in [0, 1) has.
    (high >> 3) as f64 / (1u64 << 53) as f64
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
