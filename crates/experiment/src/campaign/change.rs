use htl_mining::{QueryRule, score_named};
use serde::Deserialize;

use super::keys;
use crate::design::SETTING_PLANS;
use crate::plan::Value;

/// Keys of a training whose value is a score of `htl mine`; of the last one it may be another word.
const NAMES_A_SCORE: [&str; 3] = ["attention.by", "attention.matched", "pseudo.leave_out.by"];

/// A change of the setting's training.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variation {
    /// Its name.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub about: String,
    /// As in [`Change`].
    #[serde(default)]
    pub train: toml::Table,
    /// As in [`Change`].
    #[serde(default)]
    pub query: Option<Query>,
    /// Of a form, the controls that it has; if left out, all that change something that the form has.
    #[serde(default)]
    pub controls: Option<Vec<String>>,
    /// Of a control, the only forms that it is one of.
    #[serde(default)]
    pub of: Option<Vec<String>>,
}

/// What a variation changes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Keys of a training's configuration. `"$scores"` and `"$maps"` are what `htl mine` made of the scenario's trainings,
    /// `"$planted"` a score table that marks what was planted and `"$parity"` the weight that makes up for what was removed;
    /// `"$own"` leaves the key out, for trainings that make scores of their own. `setting` takes the training of another setting, with all labels;
    /// `"$true-scores"` (column `true_error`) and `"$true-maps"` know the true masks.
    #[serde(default)]
    pub train: toml::Table,
    /// How some of its labels are bought.
    #[serde(default)]
    pub query: Option<Query>,
}

/// Labels that are bought by a score: networks are trained on a first list, judge all other images, and more labels are chosen
/// by what they say.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Labels to begin with.
    pub start: Option<usize>,
    /// Whether these are of images that stand for the others, instead of images drawn at random.
    pub representative: Option<bool>,
    /// Labels that are bought.
    pub budget: Option<usize>,
    /// How, as `htl query` has it: `top-fifth`, `top`, `random`.
    pub strategy: Option<String>,
    /// By which score; the usual one if left out.
    pub by: Option<String>,
    /// Clusters of encoder features of which as many images are bought each; no clusters if left out.
    pub clusters: Option<u32>,
}

impl Variation {
    /// What it changes.
    pub(super) fn change(&self) -> Change {
        Change {
            train: self.train.clone(),
            query: self.query.clone(),
        }
    }
}

impl Change {
    /// The same with another change on top.
    pub(super) fn with(&self, above: &Self) -> Self {
        let query = match (&self.query, &above.query) {
            (Some(below), Some(above)) => {
                let (below, above) = (below.clone(), above.clone());
                Some(Query {
                    start: above.start.or(below.start),
                    representative: above.representative.or(below.representative),
                    budget: above.budget.or(below.budget),
                    strategy: above.strategy.or(below.strategy),
                    by: above.by.or(below.by),
                    clusters: above.clusters.or(below.clusters),
                })
            }
            (below, above) => above.clone().or_else(|| below.clone()),
        };
        Self {
            train: keys::merged(&self.train, &above.train),
            query,
        }
    }

    /// Whether all that another change touches is there.
    pub(super) fn has_all_of(&self, other: &Self) -> bool {
        has_sections_of(&self.train, &other.train) && (self.query.is_some() || other.query.is_none())
    }

    /// Whether it makes sense as a whole.
    pub(super) fn check(&self) -> Result<(), String> {
        self.check_parts()?;
        let Some(query) = &self.query else { return Ok(()) };
        for (key, count) in [("start", query.start), ("budget", query.budget)] {
            if count.is_none_or(|count| count == 0) {
                return Err(format!("a query needs `{key}`, at least 1"));
            }
        }
        if query.clusters == Some(0) {
            return Err("`clusters` is at least 1".into());
        }
        if self.train.contains_key("labelled") {
            return Err("a query finds the labelled images: `labelled` is not for it".into());
        }
        Ok(())
    }

    /// Whether what is there makes sense, the rest being elsewhere.
    pub(super) fn check_parts(&self) -> Result<(), String> {
        let keys = keys::dotted(&self.train)?;
        let by_table = !keys
            .iter()
            .any(|(key, value)| key == "attention.scores" && !is_mined(value));
        if let Some(setting) = self.train.get("setting") {
            known_setting(setting.as_str().unwrap_or_default())?;
        }
        for (key, value) in &keys {
            let names_a_score = key.starts_with("attention.") && NAMES_A_SCORE.contains(&key.as_str());
            if let (true, true, Value::Text(score)) = (by_table, names_a_score, value)
                && score_named(score).is_none()
            {
                return Err(no_score(score));
            }
        }
        let Some(query) = &self.query else { return Ok(()) };
        if let Some(strategy) = &query.strategy
            && QueryRule::named(strategy).is_none()
        {
            let names = QueryRule::NAMED.map(|(name, _)| name);
            return Err(format!(
                "there is no strategy `{strategy}`: choose {}",
                names.join(", ")
            ));
        }
        match &query.by {
            Some(by) if score_named(by).is_none() => Err(no_score(by)),
            _ => Ok(()),
        }
    }
}

/// Whether every section of another table, and every key outside of sections, is in one.
fn has_sections_of(table: &toml::Table, other: &toml::Table) -> bool {
    other.iter().all(|(key, value)| match (table.get(key), value) {
        (Some(toml::Value::Table(table)), toml::Value::Table(other)) => {
            let inner = |(key, value): (&String, &toml::Value)| value.is_table().then(|| (key.clone(), value.clone()));
            has_sections_of(table, &other.iter().filter_map(inner).collect())
        }
        (found, _) => found.is_some(),
    })
}

/// The scores that a change names.
pub(super) fn scores_of(change: &Change) -> Vec<String> {
    let keys = keys::dotted(&change.train).unwrap_or_default();
    let named = keys.into_iter().filter_map(|(key, value)| match value {
        Value::Text(name) if NAMES_A_SCORE.contains(&key.as_str()) => Some(name),
        _ => None,
    });
    let bought = change.query.iter().filter_map(|query| query.by.clone());
    named.chain(bought).collect()
}

/// Whether a score table is one of `htl mine`.
fn is_mined(table: &Value) -> bool {
    matches!(table, Value::Text(word) if keys::MINED.contains(&word.as_str()))
}

/// Whether there is a setting of that name.
pub(super) fn known_setting(name: &str) -> Result<(), String> {
    let keys: Vec<&str> = SETTING_PLANS.iter().map(|row| row.setting.key).collect();
    match keys.contains(&name) {
        true => Ok(()),
        false => Err(format!("there is no setting `{name}`: choose {}", keys.join(", "))),
    }
}

fn no_score(name: &str) -> String {
    format!("there is no score `{name}`: `htl mine --help` lists them")
}
