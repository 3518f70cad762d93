use serde::{Deserialize, Serialize};

use crate::error::{MiningError, Result};
use crate::rank::{count_of, rank};
use crate::select::draw;
use crate::table::ScoreTable;

/// How images are chosen for annotation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "rule")]
pub enum QueryRule {
    /// Drawn at random from the hardest fraction (or from the hardest `budget`, if those are more): hard, and not all
    /// alike.
    SampledTop {
        /// The fraction, in (0, 1].
        fraction: f64,
    },
    /// The hardest.
    Top,
    /// Any: the control.
    Random,
}

impl QueryRule {
    /// Those that have a name in commands.
    pub const NAMED: [(&'static str, Self); 3] = [
        ("top-fifth", Self::SampledTop { fraction: 0.2 }),
        ("top", Self::Top),
        ("random", Self::Random),
    ];

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, rule)| rule)
    }
}

impl Default for QueryRule {
    /// Sampled from the top fifth.
    fn default() -> Self {
        Self::SampledTop { fraction: 0.2 }
    }
}

/// Chooses `budget` unlabelled images to annotate next, all of them rows of `table`, by a label-free score column; ties by a
/// hash of `seed` and id.
///
/// # Errors
/// [`MiningError::TooFewImages`] if the budget exceeds the scored images, and as [`rank`].
pub fn query(table: &ScoreTable, column: &str, budget: usize, rule: QueryRule, seed: u64) -> Result<Vec<String>> {
    let mut ids = rank(table, column, seed)?.ids().to_vec();
    if budget > ids.len() {
        return Err(MiningError::TooFewImages {
            what: "query",
            asked: budget,
            available: ids.len(),
        });
    }
    match rule {
        QueryRule::SampledTop { fraction } => {
            let pool = count_of(fraction, ids.len())?.max(budget);
            ids.truncate(pool);
            draw("query", ids, budget, seed)
        }
        QueryRule::Top => {
            ids.truncate(budget);
            Ok(ids)
        }
        QueryRule::Random => draw("query", ids, budget, seed),
    }
}
