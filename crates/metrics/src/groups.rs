use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{MetricError, check_finite};
use crate::unit::Better;

/// The smallest group whose figures are shown: what a handful of images says is mostly chance, and may be about a person.
pub const LEAST_SHOWN: usize = 10;

/// The smallest group that is tested and may make a check fail.
pub const LEAST_TESTED: usize = 20;

/// A group of images by name: a level of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageGroup {
    /// Attribute, e.g. `sex`.
    pub attribute: String,
    /// Level, e.g. `female`.
    pub level: String,
    /// Its images, as places in a table.
    pub images: Vec<usize>,
}

/// The mean of a metric in one group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupMean {
    /// The group's level, e.g. `female`.
    pub level: String,
    /// Number of images.
    pub n: usize,
    /// Mean over these images.
    pub mean: f64,
}

/// The reference that group means are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// The groups at both ends with each other.
    EachOther,
    /// The group furthest away with the overall mean.
    Overall,
}

/// A metric by group: overall, in every group, and how far groups lie apart.
///
/// Images whose level is unknown (`None`) count in the overall mean and in no group. Same values as Fairlearn's
/// `MetricFrame` with the mean as metric (`tests/golden/fairlearn.rs`); beside it, groups may be asked to have a minimum
/// number of images before they count in a comparison, since the worst of many small groups is mostly the smallest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricByGroup {
    /// Number of images, known level or not.
    pub n: usize,
    /// Mean over all images.
    pub overall: f64,
    /// Number of images whose level is unknown.
    pub unknown: usize,
    /// Every level that occurs, sorted by name, however few its images.
    pub groups: Vec<GroupMean>,
}

impl MetricByGroup {
    /// Averages `values` within the levels of one attribute.
    ///
    /// # Shapes
    /// - `values`, `levels`: one entry per image, same order; for intersections of attributes join their levels
    ///
    /// # Errors
    /// [`MetricError::Length`], [`MetricError::Empty`], [`MetricError::NotFinite`].
    pub fn of<S: AsRef<str>>(values: &[f64], levels: &[Option<S>]) -> Result<Self, MetricError> {
        if values.len() != levels.len() {
            let what = "levels, one per image".to_string();
            return Err(MetricError::Length {
                what,
                expected: values.len(),
                found: levels.len(),
            });
        }
        if values.is_empty() {
            return Err(MetricError::Empty {
                what: "the list of values to group",
            });
        }
        check_finite("values to group", values)?;
        let mut sums: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
        for (value, level) in values.iter().zip(levels) {
            if let Some(level) = level {
                let group = sums.entry(level.as_ref()).or_default();
                group.0 += 1;
                group.1 += value;
            }
        }
        let groups: Vec<GroupMean> = sums
            .into_iter()
            .map(|(level, (n, sum))| GroupMean {
                level: level.to_string(),
                n,
                mean: sum / n as f64,
            })
            .collect();
        Ok(Self {
            n: values.len(),
            overall: values.iter().sum::<f64>() / values.len() as f64,
            unknown: values.len() - groups.iter().map(|g| g.n).sum::<usize>(),
            groups,
        })
    }

    /// Groups with at least this many images.
    pub fn at_least(&self, min_count: usize) -> impl Iterator<Item = &GroupMean> {
        self.groups.iter().filter(move |g| g.n >= min_count)
    }

    /// The group that a metric of this direction says is worst among those with at least `min_count` images; `None` if
    /// there is no such group.
    pub fn worst(&self, min_count: usize, better: Better) -> Option<&GroupMean> {
        self.at_least(min_count)
            .min_by(|a, b| (better.sign() * a.mean).total_cmp(&(better.sign() * b.mean)))
    }

    /// The group that a metric of this direction says is best among those with at least `min_count` images; `None` if
    /// there is no such group.
    pub fn best(&self, min_count: usize, better: Better) -> Option<&GroupMean> {
        self.at_least(min_count)
            .max_by(|a, b| (better.sign() * a.mean).total_cmp(&(better.sign() * b.mean)))
    }

    /// Lowest and highest mean of groups with at least `min_count` images.
    fn ends(&self, min_count: usize) -> Option<(f64, f64)> {
        let lowest = self.worst(min_count, Better::Higher)?;
        Some((lowest.mean, self.best(min_count, Better::Higher)?.mean))
    }

    /// Largest difference, whatever the direction: highest minus lowest group, or largest distance of a group from the
    /// overall mean. `None` if no group has `min_count` images.
    pub fn difference(&self, against: Against, min_count: usize) -> Option<f64> {
        let (lowest, highest) = self.ends(min_count)?;
        Some(match against {
            Against::EachOther => highest - lowest,
            Against::Overall => (highest - self.overall).abs().max((lowest - self.overall).abs()),
        })
    }

    /// Smallest ratio, whatever the direction: lowest over highest group, or the smallest of group over overall and
    /// overall over group (whichever is below 1). `None` if no group has `min_count` images or the ratio is not defined
    /// (0 / 0).
    pub fn ratio(&self, against: Against, min_count: usize) -> Option<f64> {
        let (lowest, highest) = self.ends(min_count)?;
        let ratio = match against {
            Against::EachOther => lowest / highest,
            Against::Overall => {
                let below_one = |mean: f64| (mean / self.overall).min(self.overall / mean);
                below_one(lowest).min(below_one(highest))
            }
        };
        ratio.is_finite().then_some(ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_groups_are_shown_but_do_not_compete() {
        let values = [0.9, 0.8, 0.7, 0.1];
        let levels = [Some("a"), Some("a"), None, Some("b")];
        let by = MetricByGroup::of(&values, &levels).unwrap();
        assert_eq!((by.n, by.unknown, by.groups.len()), (4, 1, 2));
        assert_eq!(by.worst(1, Better::Higher).map(|g| g.level.as_str()), Some("b"));
        assert_eq!(by.worst(2, Better::Higher).map(|g| g.level.as_str()), Some("a"));
        assert!(by.worst(3, Better::Higher).is_none() && by.difference(Against::EachOther, 3).is_none());
        assert!(MetricByGroup::of(&values, &levels[..3]).is_err());
        assert!(MetricByGroup::of(&[f64::NAN], &[Some("a")]).is_err());
    }

    /// The group with the largest distance is the worst; how far groups lie apart has no direction.
    #[test]
    fn the_direction_decides_which_group_is_worst() {
        let levels = ["near", "near", "far", "far"].map(Some);
        let by = MetricByGroup::of(&[0.01, 0.02, 0.3, 0.4], &levels).unwrap();
        let named = |group: Option<&GroupMean>| group.unwrap().level.clone();
        assert_eq!(named(by.worst(1, Better::Lower)), "far");
        assert_eq!(named(by.best(1, Better::Lower)), "near");
        assert_eq!(named(by.worst(1, Better::Higher)), "near");
        assert_eq!(named(by.best(1, Better::Higher)), "far");
        assert!((by.difference(Against::EachOther, 1).unwrap() - 0.335).abs() < 1e-12);
        assert!((by.ratio(Against::EachOther, 1).unwrap() - 0.015 / 0.35).abs() < 1e-12);
    }
}
