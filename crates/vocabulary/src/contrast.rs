//! Comparisons that are declared before a run, and what is recorded of them in `results.json`.

use serde::{Deserialize, Serialize};

use crate::results::{Gain, PRIMARY_METRIC, nullable, nullable_pair, rounded, rounded_option, rounded_pair};

/// A comparison declared before the run: in the profile, in `run.json` and in `results.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contrast {
    /// The arm whose gain it is.
    pub method: String,
    /// Its strongest control.
    pub control: String,
    /// The metric, one that every image has.
    #[serde(default = "primary_metric")]
    pub metric: String,
}

impl Contrast {
    /// A comparison in the primary metric.
    pub fn new(method: &str, control: &str) -> Self {
        Self {
            method: method.to_owned(),
            control: control.to_owned(),
            metric: primary_metric(),
        }
    }
}

fn primary_metric() -> String {
    PRIMARY_METRIC.to_owned()
}

/// A setting's one primary comparison and its adjusted p.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrimaryGain {
    /// What was declared.
    pub contrast: Contrast,
    /// What came out: the same as in [`Setting::gain`](crate::results::Setting::gain).
    pub gain: Gain,
    /// p adjusted by Holm's method over the primary comparisons of all settings; `None` where `gain` has no p.
    #[serde(default, serialize_with = "rounded_option")]
    pub p_holm: Option<f64>,
    /// Number of settings whose primary comparison has a p.
    pub settings: usize,
}

/// Which test images a gain is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subset {
    /// The tenth with the lowest mean of the metric in an arm outside the comparison.
    WorstDecile,
    /// The hard-to-learn test images.
    Htl,
    /// A level of an attribute.
    Group {
        /// The attribute, as the column of `per_image.csv` is called.
        attribute: String,
        /// The level.
        level: String,
    },
}

/// The gain on some of the test images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubsetGain {
    /// Which images.
    pub subset: Subset,
    /// Number of them.
    pub n: usize,
    /// The gain; without a p on fewer than twenty images.
    pub gain: Gain,
    /// p adjusted by Holm's method over the subsets of this setting that have one.
    #[serde(default, serialize_with = "rounded_option")]
    pub p_holm: Option<f64>,
}

/// The second declared family of a setting: its primary comparison on the images where help is needed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weak {
    /// The comparison.
    pub contrast: Contrast,
    /// Worst decile, HTL subset and named groups, those that could be formed.
    pub subsets: Vec<SubsetGain>,
    /// Number of subsets with a p, over which `p_holm` is adjusted.
    pub tested: usize,
    /// The arm whose test results say which images are the worst decile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_decile_by: Option<String>,
    /// The arm whose networks, dense and pruned, say which test images are hard to learn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub htl_by: Option<String>,
    /// Gain on the hard-to-learn images minus gain on all others: the interaction of arm and hardness. One test, adjusted
    /// for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interaction: Option<Gain>,
}

/// The group of an arm's test images with the worst mean of the primary metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorstGroup {
    /// The attribute, as the column of `per_image.csv` is called.
    pub attribute: String,
    /// Its level.
    pub level: String,
    /// Number of images.
    pub n: usize,
    /// Mean over seeds and images.
    #[serde(serialize_with = "rounded", deserialize_with = "nullable")]
    pub mean: f64,
    /// 95 % interval that knows that the group was chosen.
    #[serde(serialize_with = "rounded_pair", deserialize_with = "nullable_pair")]
    pub ci95: [f64; 2],
    /// The number of groups that it was chosen from.
    pub of: usize,
}
