use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{MetricError, check_finite};

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

/// What group means are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Against {
    /// The best group with the worst.
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

    /// The group with the lowest mean among those with at least `min_count` images; `None` if there is no such group.
    /// For a metric where lower is better use [`best`](Self::best).
    pub fn worst(&self, min_count: usize) -> Option<&GroupMean> {
        self.at_least(min_count).min_by(|a, b| a.mean.total_cmp(&b.mean))
    }

    /// The group with the highest mean among those with at least `min_count` images; `None` if there is no such group.
    pub fn best(&self, min_count: usize) -> Option<&GroupMean> {
        self.at_least(min_count).max_by(|a, b| a.mean.total_cmp(&b.mean))
    }

    /// Largest difference: best minus worst group, or largest distance of a group from the overall mean. `None` if no
    /// group has `min_count` images.
    pub fn difference(&self, against: Against, min_count: usize) -> Option<f64> {
        let (worst, best) = (self.worst(min_count)?.mean, self.best(min_count)?.mean);
        Some(match against {
            Against::EachOther => best - worst,
            Against::Overall => (best - self.overall).abs().max((worst - self.overall).abs()),
        })
    }

    /// Smallest ratio: worst over best group, or the smallest of group over overall and overall over group (whichever
    /// is below 1). `None` if no group has `min_count` images or the ratio is not defined (0 / 0).
    pub fn ratio(&self, against: Against, min_count: usize) -> Option<f64> {
        let (worst, best) = (self.worst(min_count)?.mean, self.best(min_count)?.mean);
        let ratio = match against {
            Against::EachOther => worst / best,
            Against::Overall => {
                let below_one = |mean: f64| (mean / self.overall).min(self.overall / mean);
                below_one(worst).min(below_one(best))
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
        assert_eq!(by.worst(1).map(|g| g.level.as_str()), Some("b"));
        assert_eq!(by.worst(2).map(|g| g.level.as_str()), Some("a"));
        assert!(by.worst(3).is_none() && by.difference(Against::EachOther, 3).is_none());
        assert!(MetricByGroup::of(&values, &levels[..3]).is_err());
        assert!(MetricByGroup::of(&[f64::NAN], &[Some("a")]).is_err());
    }
}
