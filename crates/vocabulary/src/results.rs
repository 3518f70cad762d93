//! `results.json`: what a run found.

use std::path::Path;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::FormatError;
pub use crate::contrast::{Contrast, PrimaryGain, Subset, SubsetGain, Weak, WorstGroup};
use crate::error::read_json;
use crate::whole::write_whole;

/// Significant decimal digits kept in `results.json`: differences in the last bits of a sum do not reach the file.
pub const SIGNIFICANT_DIGITS: usize = 6;

/// The metric that decides: per-image Jaccard averaged over images.
pub const PRIMARY_METRIC: &str = "jaccard";

/// Named metrics in the order in which they were measured. A metric that is undefined (no image in the group) is NaN
/// here and `null` in the file.
pub type Metrics = IndexMap<String, f64>;

/// Everything `results.json` holds: nothing in it depends on time, caching or the machine.
///
/// Maps keep the order of insertion, so the same run writes the same bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// Name of the profile: `tiny`, `smoke`, `embedded`, `isic2018`.
    pub profile: String,
    /// Kind of device the networks ran on: `cpu`, `cuda`, `metal`.
    pub device: String,
    /// The data.
    pub dataset: Dataset,
    /// Setting (`supervised`, `semi-supervised`, `weakly-supervised`, `weakly-supervised-boxes`) to its arms and gains.
    #[serde(default)]
    pub settings: IndexMap<String, Setting>,
    /// Predictors that learn nothing (`whole-image`, `centred-disc`, `otsu`) on the same test images.
    #[serde(
        default,
        serialize_with = "metrics_map::serialize",
        deserialize_with = "metrics_map::deserialize"
    )]
    pub trivial: IndexMap<String, Metrics>,
}

/// Name and size of a data set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Name as people cite it.
    pub name: String,
    /// Training images.
    pub train: usize,
    /// Validation images.
    pub val: usize,
    /// Test images.
    pub test: usize,
}

/// One way of supervising: its arms, trained alike but for the attention, and the paired gains between them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Setting {
    /// One sentence on what the networks could see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Sparsity chosen on validation for the pruned population, in [0, 1).
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "rounded_option")]
    pub sparsity: Option<f64>,
    /// The hard-to-learn set attended to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub htl: Option<HtlSet>,
    /// Arm (`baseline`, `htl`, `random`, ...) to its seeds.
    pub arms: IndexMap<String, Arm>,
    /// [`comparison_key`] to metric to the paired gain of the first arm over the second.
    #[serde(default)]
    pub gain: IndexMap<String, IndexMap<String, Gain>>,
    /// The one comparison that was declared before the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<PrimaryGain>,
    /// The same comparison on the images where help is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weak: Option<Weak>,
    /// Rows whose threshold was tuned with masks that the setting does not have: an upper bound, never a result.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty", rename = "oracle-tuned")]
    pub oracle_tuned: IndexMap<String, Arm>,
    /// What the trained networks know of the test images without any further training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral: Option<Referral>,
    /// What a reader of this setting's numbers must know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Whom networks refer to a person, and what several of them are worth together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Referral {
    /// Signal to what it costs and what it is worth: `aurc`, `share_of_oracle`, `jaccard` of all images, and of those that are left without
    /// the tenth and the fifth that it doubts most.
    pub signals: IndexMap<String, Rated>,
    /// Predictor of one or several networks to what it costs and to its `jaccard`, its `gain` over a single one and the ends of
    /// that gain's 95 % interval.
    pub ensembles: IndexMap<String, Rated>,
}

/// Numbers of something that is not an arm; `trainings`, `fine_tunings` and `passes` are what it costs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rated {
    /// Name for people.
    pub label: String,
    /// Name to value.
    #[serde(serialize_with = "metrics::serialize", deserialize_with = "metrics::deserialize")]
    pub numbers: Metrics,
}

/// Size of the hard-to-learn set and how it was chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HtlSet {
    /// Samples selected.
    pub selected: usize,
    /// Samples scored.
    pub of: usize,
    /// Rule in words: `top 20 %`, `adaptive q = 0.2`.
    pub selection: String,
}

/// One arm: the same training repeated over seeds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Test metrics per seed.
    pub seeds: Vec<SeedResult>,
    /// Gradient steps per training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_steps: Option<u64>,
    /// The group with the worst mean of the primary metric over all seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst_group: Option<WorstGroup>,
}

/// Test metrics of one seed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SeedResult {
    /// The seed of the training.
    pub seed: u64,
    /// Metric name to value: at least `jaccard`, `threshold_jaccard`, `dice`.
    #[serde(serialize_with = "metrics::serialize", deserialize_with = "metrics::deserialize")]
    pub test: Metrics,
}

/// A paired difference between two arms (first minus second) with its interval for further seeds and images: a crossed t.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// Mean difference over seeds and images, in the metric's own unit.
    #[serde(serialize_with = "rounded", deserialize_with = "nullable")]
    pub mean: f64,
    /// 95 % interval: low, high.
    #[serde(serialize_with = "rounded_pair", deserialize_with = "nullable_pair")]
    pub ci95: [f64; 2],
    /// Percentile interval of the crossed bootstrap, to be read beside `ci95`.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "rounded_pair_option",
        deserialize_with = "nullable_pair_option"
    )]
    pub bootstrap_ci95: Option<[f64; 2]>,
    /// Two-sided p; `None` with fewer than five seeds, where the interval is only descriptive.
    #[serde(default, serialize_with = "rounded_option")]
    pub p: Option<f64>,
    /// Paired seeds behind the interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<usize>,
    /// Independent images behind the interval: lesions or patients, where images of one were averaged first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<usize>,
    /// A remark: `descriptive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Between the two arms of a comparison's key.
const VERSUS: &str = "-vs-";

/// The key of a comparison in [`Setting::gain`]: `htl-vs-baseline`.
pub fn comparison_key(method: &str, control: &str) -> String {
    format!("{method}{VERSUS}{control}")
}

/// The two arms of a [`comparison_key`]; `None` if it is not one.
pub fn comparison_arms(key: &str) -> Option<(&str, &str)> {
    key.split_once(VERSUS)
}

impl Arm {
    /// An arm from the test metrics of its seeds.
    pub fn new(seeds: impl IntoIterator<Item = (u64, Metrics)>) -> Self {
        let seeds = seeds
            .into_iter()
            .map(|(seed, test)| SeedResult { seed, test })
            .collect();
        Self {
            seeds,
            ..Self::default()
        }
    }

    /// Mean of a metric over the seeds that have it; `None` where none has.
    pub fn mean(&self, metric: &str) -> Option<f64> {
        let values: Vec<f64> = self.values(metric).map(|(_, value)| value).collect();
        if values.is_empty() {
            None
        } else {
            Some(values.iter().sum::<f64>() / values.len() as f64)
        }
    }

    /// (seed, value) of a metric for the seeds that have a finite one.
    pub fn values<'a>(&'a self, metric: &'a str) -> impl Iterator<Item = (u64, f64)> + 'a {
        self.seeds.iter().filter_map(move |s| {
            let value = *s.test.get(metric)?;
            value.is_finite().then_some((s.seed, value))
        })
    }
}

impl Gain {
    /// A paired gain of `seeds` seeds. With fewer than five, `p` is dropped and the note says `descriptive`.
    pub fn new(mean: f64, ci95: [f64; 2], p: Option<f64>, seeds: usize) -> Self {
        let descriptive = seeds < Self::SEEDS_FOR_A_TEST;
        Self {
            mean,
            ci95,
            bootstrap_ci95: None,
            p: if descriptive { None } else { p },
            seeds: Some(seeds),
            units: None,
            note: descriptive.then(|| "descriptive".to_owned()),
        }
    }

    /// Fewest seeds with which an interval may support a claim.
    pub const SEEDS_FOR_A_TEST: usize = 5;
}

impl Results {
    /// The document's bytes: indented JSON, numbers rounded to [`SIGNIFICANT_DIGITS`], one newline at the end.
    pub fn to_json(&self) -> String {
        // Serialising maps with string keys and finite-or-null numbers into memory cannot fail.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Writes `results.json` under a temporary name in the same folder and renames it into place.
    ///
    /// # Errors
    /// [`FormatError::NotWritten`].
    pub fn write(&self, path: &Path) -> Result<(), FormatError> {
        write_whole(path, self.to_json()).map_err(FormatError::NotWritten)
    }

    /// Reads a `results.json`. Unknown fields are ignored.
    ///
    /// # Errors
    /// [`FormatError::Io`] if the file cannot be read, [`FormatError::Json`] naming the field if its content does not
    /// follow the format.
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        read_json(path, crate::file::RESULTS)
    }
}

/// Rounds to a number of significant decimal digits; minus zero becomes zero, what is not finite stays.
pub fn round_significant(value: f64, digits: usize) -> f64 {
    if !value.is_finite() || value == 0.0 {
        return if value == 0.0 { 0.0 } else { value };
    }
    // Through decimal text: the only rounding that gives the same shortest digits on every machine.
    format!("{value:.*e}", digits.saturating_sub(1))
        .parse()
        .unwrap_or(value)
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then(|| round_significant(value, SIGNIFICANT_DIGITS))
}

pub(crate) fn rounded<S: Serializer>(value: &f64, s: S) -> Result<S::Ok, S::Error> {
    finite(*value).serialize(s)
}

pub(crate) fn rounded_option<S: Serializer>(value: &Option<f64>, s: S) -> Result<S::Ok, S::Error> {
    value.and_then(finite).serialize(s)
}

pub(crate) fn rounded_pair<S: Serializer>(value: &[f64; 2], s: S) -> Result<S::Ok, S::Error> {
    value.map(finite).serialize(s)
}

pub(crate) fn nullable<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or(f64::NAN))
}

pub(crate) fn nullable_pair<'de, D: Deserializer<'de>>(d: D) -> Result<[f64; 2], D::Error> {
    Ok(<[Option<f64>; 2]>::deserialize(d)?.map(|v| v.unwrap_or(f64::NAN)))
}

fn rounded_pair_option<S: Serializer>(value: &Option<[f64; 2]>, s: S) -> Result<S::Ok, S::Error> {
    value.map(|pair| pair.map(finite)).serialize(s)
}

fn nullable_pair_option<'de, D: Deserializer<'de>>(d: D) -> Result<Option<[f64; 2]>, D::Error> {
    let pair = Option::<[Option<f64>; 2]>::deserialize(d)?;
    Ok(pair.map(|pair| pair.map(|v| v.unwrap_or(f64::NAN))))
}

mod metrics {
    use super::*;

    pub fn serialize<S: Serializer>(metrics: &Metrics, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(metrics.iter().map(|(name, value)| (name, finite(*value))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Metrics, D::Error> {
        let map = IndexMap::<String, Option<f64>>::deserialize(d)?;
        Ok(map
            .into_iter()
            .map(|(name, value)| (name, value.unwrap_or(f64::NAN)))
            .collect())
    }
}

mod metrics_map {
    use super::*;

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Row(#[serde(with = "super::metrics")] Metrics);

    pub fn serialize<S: Serializer>(rows: &IndexMap<String, Metrics>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(rows.iter().map(|(name, metrics)| (name, Row(metrics.clone()))))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<IndexMap<String, Metrics>, D::Error> {
        let rows = IndexMap::<String, Row>::deserialize(d)?;
        Ok(rows.into_iter().map(|(name, row)| (name, row.0)).collect())
    }
}
