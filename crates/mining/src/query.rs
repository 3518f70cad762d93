use std::collections::{BTreeMap, HashMap, VecDeque};

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
    let mut ids = in_turn(table, column, budget, rule, seed)?;
    ids.truncate(budget);
    Ok(ids)
}

/// The same, but as many of each cluster: of each in turn the image that the rule takes next, as long as it has one.
///
/// # Errors
/// Those of [`query`]; [`MiningError::MissingId`] for an image that is in no cluster.
pub fn query_balanced(
    table: &ScoreTable,
    column: &str,
    budget: usize,
    rule: QueryRule,
    clusters: &HashMap<String, usize>,
    seed: u64,
) -> Result<Vec<String>> {
    let mut of_clusters: BTreeMap<usize, VecDeque<String>> = BTreeMap::new();
    for image_id in in_turn(table, column, budget, rule, seed)? {
        let Some(cluster) = clusters.get(&image_id) else {
            return Err(MiningError::MissingId {
                image_id,
                place: "the clusters".into(),
            });
        };
        of_clusters.entry(*cluster).or_default().push_back(image_id);
    }
    let mut chosen = Vec::with_capacity(budget);
    while chosen.len() < budget {
        let round = of_clusters.values_mut().filter_map(VecDeque::pop_front);
        chosen.extend(round);
    }
    chosen.truncate(budget);
    Ok(chosen)
}

/// The images that the rule may choose, at least `budget`, in the order in which it takes them.
fn in_turn(table: &ScoreTable, column: &str, budget: usize, rule: QueryRule, seed: u64) -> Result<Vec<String>> {
    let mut ids = rank(table, column, seed)?.ids().to_vec();
    if budget > ids.len() {
        return Err(MiningError::TooFewImages {
            what: "query",
            asked: budget,
            available: ids.len(),
        });
    }
    if rule != QueryRule::Random {
        let scores = table.column(column)?;
        let first = scores.first().copied().flatten();
        if ids.len() > 1 && scores.iter().flatten().all(|score| Some(*score) == first) {
            return Err(MiningError::AllTied {
                column: column.to_owned(),
                images: ids.len(),
                empty: 0,
            });
        }
    }
    if let QueryRule::SampledTop { fraction } = rule {
        let pool = count_of(fraction, ids.len())?.max(budget);
        ids.truncate(pool);
    }
    match rule {
        QueryRule::Top => Ok(ids),
        QueryRule::SampledTop { .. } | QueryRule::Random => {
            let all = ids.len();
            draw("query", ids, all, seed)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ScoreRow;

    /// Where all scores are equal, nobody is harder than anybody.
    #[test]
    fn equal_scores_choose_nobody() {
        let mut equal = ScoreTable::new(["score"]);
        for row in table().rows() {
            let scores = vec![Some(0.25)];
            equal.push(ScoreRow { scores, ..row.clone() }).unwrap();
        }
        assert!(matches!(
            query(&equal, "score", 1, QueryRule::Top, 0),
            Err(MiningError::AllTied { .. })
        ));
        assert_eq!(query(&equal, "score", 1, QueryRule::Random, 0).unwrap().len(), 1);
    }

    /// Scores 0 to 29.
    fn table() -> ScoreTable {
        let mut table = ScoreTable::new(["score"]);
        for i in 0..30 {
            let row = ScoreRow {
                image_id: format!("i{i:02}"),
                setting: String::new(),
                fold: None,
                scores: vec![Some(f64::from(i))],
                htl: false,
            };
            table.push(row).unwrap();
        }
        table
    }

    /// Nine in ten of the images are of one cluster; the others come in as often, as long as there are any.
    #[test]
    fn clusters_come_in_turn() {
        let clusters: HashMap<String, usize> = (0..30)
            .map(|i| (format!("i{i:02}"), usize::from(i % 10 == 0)))
            .collect();
        let chosen = query_balanced(&table(), "score", 5, QueryRule::Top, &clusters, 0).unwrap();
        assert_eq!(chosen, ["i29", "i20", "i28", "i10", "i27"]);
        let many = query_balanced(&table(), "score", 10, QueryRule::Random, &clusters, 0).unwrap();
        assert_eq!(many.iter().filter(|id| clusters[*id] == 1).count(), 3);
        assert!(query_balanced(&table(), "score", 31, QueryRule::Top, &clusters, 0).is_err());
        let few = HashMap::from([("i29".to_owned(), 0)]);
        assert!(query_balanced(&table(), "score", 2, QueryRule::Top, &few, 0).is_err());
    }
}
