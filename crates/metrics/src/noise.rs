use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::error::{MetricError, check_finite};
use crate::paired::check_table;
use crate::registry::Metric;
use crate::runs::Runs;
use crate::unit::Better;

/// Format version of [`Baseline`] files.
pub const BASELINE_VERSION: u32 = 1;

/// How wide a noise band is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BandParams {
    /// How often an unchanged program may be called worse, in (0, 0.5).
    pub false_alarm: f64,
    /// The band is never narrower than this, in units of the metric: a change too small to care about.
    pub floor: f64,
}

impl Default for BandParams {
    /// One false alarm in a hundred, and half a point of Jaccard.
    fn default() -> Self {
        Self {
            false_alarm: 0.01,
            floor: 0.005,
        }
    }
}

impl BandParams {
    fn check(&self) -> Result<(), MetricError> {
        if !(self.false_alarm > 0.0 && self.false_alarm < 0.5) {
            let (what, found) = ("false_alarm", self.false_alarm);
            return Err(MetricError::Range {
                what,
                found,
                expected: "a number in (0, 0.5)",
            });
        }
        if !(self.floor >= 0.0 && self.floor.is_finite()) {
            return Err(MetricError::Range {
                what: "floor",
                found: self.floor,
                expected: "a number >= 0",
            });
        }
        Ok(())
    }
}

/// One image of a baseline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineImage {
    /// Which image.
    pub image_id: String,
    /// Mean of the metric over the baseline's seeds.
    pub mean: f64,
}

/// A metric's accepted value and how much it varies by chance: the file that new results are checked against.
///
/// The test images stay the same from run to run, so their difficulty is not noise here; only the training varies. The
/// band is the one-sided prediction interval for the mean of m new runs, from the mean over images of each of the k
/// baseline runs (one per seed):
///
/// band = max(floor, t(1 - false_alarm; k - 1) * sd * sqrt(1/k + 1/m)),
///
/// with sd their standard deviation (k - 1 in the denominator). Unlike "two standard deviations" it keeps its false alarm
/// rate with few seeds: at the default 1 % it is 3.0 sd wide for ten seeds, 4.1 for five and 39 for two, so a useful
/// baseline has five seeds or more. Means of runs are assumed to be about normal.
///
/// A baseline of a single run has no sd. Then the change is compared with its own standard error over images (paired,
/// t with images - 1 degrees of freedom): that tells a changed set of predictions, not a changed program, since a new
/// seed alone may be outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Format version, [`BASELINE_VERSION`].
    pub version: u32,
    /// Name of the metric.
    pub metric: String,
    /// Which way it improves.
    pub better: Better,
    /// Mean over seeds and images.
    pub mean: f64,
    /// Mean over images of every seed.
    pub seed_means: Vec<f64>,
    /// Standard deviation of `seed_means`; none for a single seed.
    pub seed_sd: Option<f64>,
    /// Width of the band for one new run; none for a single seed.
    pub band: Option<f64>,
    /// How the band was made.
    pub params: BandParams,
    /// Every image, sorted by id.
    pub images: Vec<BaselineImage>,
    /// Anything worth keeping: profile, command, date.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, String>,
}

impl Baseline {
    /// Makes a baseline from the per-image results of one or more runs with different seeds.
    ///
    /// # Errors
    /// [`MetricError::Empty`] without runs or images, [`MetricError::OtherImages`] if the runs are not about the same
    /// images, [`MetricError::DuplicateImage`], [`MetricError::NotFinite`], [`MetricError::Range`] for parameters.
    pub fn from_runs(metric: &str, better: Better, runs: &Runs, params: BandParams) -> Result<Self, MetricError> {
        params.check()?;
        let table = runs.table();
        check_table("the runs of the baseline", table)?;
        let seed_means: Vec<f64> = table
            .iter()
            .map(|run| run.iter().sum::<f64>() / run.len() as f64)
            .collect();
        let images = runs
            .image_ids()
            .iter()
            .enumerate()
            .map(|(i, id)| BaselineImage {
                image_id: id.clone(),
                mean: table.iter().map(|run| run[i]).sum::<f64>() / table.len() as f64,
            })
            .collect();
        let mut baseline = Self {
            version: BASELINE_VERSION,
            metric: metric.to_string(),
            better,
            mean: seed_means.iter().sum::<f64>() / seed_means.len() as f64,
            seed_sd: standard_deviation(&seed_means),
            seed_means,
            band: None,
            params,
            images,
            notes: BTreeMap::new(),
        };
        baseline.band = baseline.seed_band(1);
        Ok(baseline)
    }

    /// Width of the band for the mean of `new_runs` new runs; `None` for a baseline of a single seed.
    pub fn seed_band(&self, new_runs: usize) -> Option<f64> {
        let seeds = self.seed_means.len() as f64;
        let spread = self.seed_sd? * (1.0 / seeds + 1.0 / new_runs.max(1) as f64).sqrt();
        Some(
            self.params
                .floor
                .max(t_quantile(seeds - 1.0, self.params.false_alarm) * spread),
        )
    }

    /// Checks what deserialisation cannot: version, parameters, finite numbers in the metric's range, no image twice.
    ///
    /// # Errors
    /// [`MetricError::BaselineVersion`], [`MetricError::Range`], [`MetricError::Value`], [`MetricError::Empty`], [`MetricError::NotFinite`],
    /// [`MetricError::DuplicateImage`].
    pub fn validate(&self) -> Result<(), MetricError> {
        if self.version != BASELINE_VERSION {
            return Err(MetricError::BaselineVersion {
                found: self.version,
                expected: BASELINE_VERSION,
            });
        }
        self.params.check()?;
        if self.seed_means.is_empty() || self.images.is_empty() {
            return Err(MetricError::Empty { what: "the baseline" });
        }
        check_finite("seed means of the baseline", &self.seed_means)?;
        let means: Vec<f64> = self.images.iter().map(|i| i.mean).collect();
        check_finite("images of the baseline", &means)?;
        check_finite(
            "mean and seed_sd of the baseline",
            &[self.mean, self.seed_sd.unwrap_or(0.0)],
        )?;
        if let Some(found) = self.seed_sd.filter(|sd| *sd < 0.0) {
            return Err(MetricError::Range {
                what: "seed_sd of the baseline",
                found,
                expected: "a number >= 0",
            });
        }
        if let Some(metric) = Metric::named(&self.metric) {
            let values = [self.mean]
                .into_iter()
                .chain(self.seed_means.iter().copied())
                .chain(means);
            values.into_iter().try_for_each(|value| metric.check(value))?;
        }
        let mut seen = BTreeSet::new();
        match self.images.iter().find(|i| !seen.insert(i.image_id.as_str())) {
            Some(twice) => Err(MetricError::DuplicateImage {
                image_id: twice.image_id.clone(),
                what: "the baseline",
            }),
            None => Ok(()),
        }
    }
}

/// Upper quantile of Student's t: exceeded with probability `tail`.
pub(crate) fn t_quantile(degrees: f64, tail: f64) -> f64 {
    // Degrees of freedom are at least 1 wherever this is called, so the distribution exists.
    StudentsT::new(0.0, 1.0, degrees.max(1.0)).map_or(f64::INFINITY, |t| t.inverse_cdf(1.0 - tail))
}

/// Standard deviation with n - 1 in the denominator; `None` for fewer than two values.
pub(crate) fn standard_deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Some((squares / (values.len() - 1) as f64).sqrt())
}
