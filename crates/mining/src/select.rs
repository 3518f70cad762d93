use std::fmt;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::column;
use crate::error::{MiningError, Result};
use crate::rank::{Tie, count_of, rank};
use crate::table::ScoreTable;

/// How a set of images came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "rule")]
pub enum Outcome {
    /// The hardest fraction by a score.
    Top {
        /// Score column.
        column: String,
        /// Fraction asked for.
        fraction: f64,
        /// The images of equal score that the cut ran through.
        tie: Tie,
    },
    /// In the hardest fraction again and again, over halves of the seeds.
    Stable {
        /// Score column.
        column: String,
        /// The hardest fraction of each half.
        fraction: f64,
        /// Least share of the halves that an image has to be among the hardest of.
        share: f64,
        /// Halves looked at.
        halves: usize,
    },
    /// Knockoff+ at target rate q.
    Adaptive {
        /// Target false discovery rate.
        q: f64,
        /// Smallest W selected; `None`: no threshold reaches the target and nothing is selected by W.
        threshold: Option<f64>,
    },
    /// As the `htl` column of a score table marks it.
    Marked,
    /// A random control.
    Random {
        /// Seed of the draw.
        seed: u64,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Top { column, fraction, tie } => {
                write!(f, "top {} % by {column}", percent(*fraction))?;
                match tie.images {
                    0 => Ok(()),
                    tied => write!(
                        f,
                        "; the cut runs through {tied} images of equal score, {} of them are selected by a hash of their id",
                        tie.selected
                    ),
                }
            }
            Self::Stable {
                column,
                fraction,
                share,
                halves,
            } => write!(
                f,
                "in the top {} % by {column} of at least {} % of {halves} halves of the seeds",
                percent(*fraction),
                percent(*share)
            ),
            Self::Adaptive {
                q,
                threshold: Some(threshold),
            } => write!(f, "adaptive (knockoff+, q = {q}): W >= {threshold:.4}"),
            Self::Adaptive { q, threshold: None } => {
                write!(f, "adaptive (knockoff+, q = {q}): no image stands out from the sham")
            }
            Self::Marked => f.write_str("as marked in the score table"),
            Self::Random { seed } => write!(f, "random, seed {seed}"),
        }
    }
}

/// A set of images, hardest first, and how it came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// The images.
    pub ids: Vec<String>,
    /// The rule, with what it found.
    pub outcome: Outcome,
}

impl Selection {
    /// The images that a score table marks, in the order of its rows.
    pub fn marked(table: &ScoreTable) -> Self {
        Self {
            ids: table.selected(),
            outcome: Outcome::Marked,
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether nothing is selected.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The selection less the images whose `suspect_label` is 1: attention to wrong labels teaches wrong labels.
    pub fn without_suspect_labels(mut self, table: &ScoreTable) -> Self {
        self.ids
            .retain(|id| table.score(id, column::SUSPECT_LABEL) != Some(1.0));
        self
    }
}

impl ScoreTable {
    /// Sets `htl` to whether the selection holds the image, in every row.
    ///
    /// # Errors
    /// [`MiningError::MissingId`] if a selected image is not in the table.
    pub fn mark(&mut self, selection: &Selection) -> Result<()> {
        self.mark_ids(&selection.ids)
    }
}

/// The hardest `fraction` of the scored images: exactly round(fraction * n) (at least one if the fraction is not 0), images
/// empty in both first, ties by a hash of `seed` and id.
///
/// # Errors
/// As [`rank`] and [`Ranking::hardest`](crate::Ranking::hardest), and [`MiningError::Parameter`] if the fraction is outside
/// [0, 1].
pub fn top(table: &ScoreTable, column: &str, fraction: f64, seed: u64) -> Result<Selection> {
    let ranking = rank(table, column, seed)?;
    let count = count_of(fraction, ranking.len())?;
    Ok(Selection {
        ids: ranking.hardest(count)?,
        outcome: Outcome::Top {
            column: column.to_string(),
            fraction,
            tie: ranking.tie_at(count),
        },
    })
}

/// A fraction in percent, without needless digits.
fn percent(fraction: f64) -> f64 {
    (1e3 * fraction).round() / 10.0
}

/// A random control: as many images as the selection, drawn without replacement from `ids`, selected ones included;
/// another seed draws anew. The result does not depend on the order of `ids`.
///
/// # Errors
/// [`MiningError::TooFewImages`] if there are fewer images than the selection has.
pub fn random_like(selection: &Selection, ids: &[String], seed: u64) -> Result<Selection> {
    let ids = draw("random control", ids.to_vec(), selection.len(), seed)?;
    Ok(Selection {
        ids,
        outcome: Outcome::Random { seed },
    })
}

/// `count` of the candidates, drawn without replacement, in order of the draw.
pub(crate) fn draw(what: &'static str, mut candidates: Vec<String>, count: usize, seed: u64) -> Result<Vec<String>> {
    candidates.sort_unstable();
    candidates.dedup();
    if count > candidates.len() {
        return Err(MiningError::TooFewImages {
            what,
            asked: count,
            available: candidates.len(),
        });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    candidates.shuffle(&mut rng);
    candidates.truncate(count);
    Ok(candidates)
}
