use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::crossed::t_quantile;
use crate::error::{MetricError, check_finite};
use crate::registry::Metric;
use crate::runs::Runs;
use crate::table::{check_table, table_mean};
use crate::unit::Better;

/// Format version of [`Baseline`] files.
pub const BASELINE_VERSION: u32 = 2;

/// The number of runs without which a baseline judges nothing: the spread of two says next to nothing.
pub const LEAST_BASELINE_RUNS: usize = 3;

/// The number of runs from which a baseline's band is narrow enough to be of use.
pub const GOOD_BASELINE_RUNS: usize = 5;

/// How wide a noise band is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BandParams {
    /// How often the mean of an unchanged program may be called worse, in (0, 0.5); and, once more, how often any of its
    /// groups may.
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
#[serde(deny_unknown_fields)]
pub struct BaselineImage {
    /// Which image.
    pub image_id: String,
    /// The metric in each run of the baseline.
    pub values: Vec<f64>,
}

/// A metric's accepted value and how much it varies by chance: the file that new results are checked against.
///
/// The test images stay the same from run to run, so their difficulty is not noise here; only the training varies. The
/// band is the one-sided prediction interval for the median of m new runs, from the mean over images of each of the k
/// baseline runs (one per seed):
///
/// band = max(floor, t(1 − false_alarm; k − 1) · sd · sqrt(1/k + v(m))),
///
/// with sd their standard deviation (k − 1 in the denominator) and v(m) the variance of the median of m standard normal
/// values: 1, 0.5, 0.449, 0.298, 0.287 for m = 1 ... 5. A median, since now and then a training collapses and one in three
/// that does should not be an alarm; v(m) is what that costs beside the mean's 1/m. Unlike "two standard deviations" the
/// band keeps its false alarm rate with few seeds: at the default 1 % it is 3.0 sd wide for ten seeds and 4.1 for five.
/// With fewer than [`LEAST_BASELINE_RUNS`] nothing is judged. Means of runs are assumed to be about normal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// Format version, [`BASELINE_VERSION`].
    pub version: u32,
    /// Name of the metric.
    pub metric: String,
    /// Which way it improves.
    pub better: Better,
    /// Mean over runs and images.
    pub mean: f64,
    /// Seed of every run; none where they were not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<Vec<u64>>,
    /// Mean over images of every run.
    pub run_means: Vec<f64>,
    /// Standard deviation of `run_means`; none for a single run.
    pub run_sd: Option<f64>,
    /// Width of the band for one new run; none for fewer than [`LEAST_BASELINE_RUNS`].
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
    /// images, [`MetricError::DuplicateImage`], [`MetricError::NotFinite`], [`MetricError::Range`] for parameters,
    /// [`MetricError::BaselineDirection`] and [`MetricError::BaselineBand`] for a baseline that would judge nothing.
    pub fn from_runs(metric: &str, better: Better, runs: &Runs, params: BandParams) -> Result<Self, MetricError> {
        params.check()?;
        let table = runs.table();
        check_table("the runs of the baseline", table)?;
        let run_means = run_means(table);
        let images = runs
            .image_ids()
            .iter()
            .enumerate()
            .map(|(i, id)| BaselineImage {
                image_id: id.clone(),
                values: table.iter().map(|run| run[i]).collect(),
            })
            .collect();
        let mut baseline = Self {
            version: BASELINE_VERSION,
            metric: metric.to_string(),
            better,
            mean: table_mean(table),
            seeds: runs.seeds().map(<[u64]>::to_vec),
            run_sd: standard_deviation(&run_means),
            run_means,
            band: None,
            params,
            images,
            notes: BTreeMap::new(),
        };
        baseline.band = baseline.band_for(1);
        if let Some(metric) = Metric::named(metric) {
            baseline.check_metric(metric)?;
        }
        Ok(baseline)
    }

    /// Width of the band for the median of `new_runs` new runs; `None` for fewer than [`LEAST_BASELINE_RUNS`] runs.
    pub fn band_for(&self, new_runs: usize) -> Option<f64> {
        let runs = self.run_means.len();
        if runs < LEAST_BASELINE_RUNS {
            return None;
        }
        let spread = self.run_sd? * prediction_scale(runs, new_runs);
        let t = t_quantile((runs - 1) as f64, self.params.false_alarm);
        Some(self.params.floor.max(t * spread))
    }

    /// Values, `[runs][images]`, images in the order of [`images`](Self::images).
    pub fn table(&self) -> Vec<Vec<f64>> {
        (0..self.run_means.len())
            .map(|run| {
                self.images
                    .iter()
                    .filter_map(|image| image.values.get(run).copied())
                    .collect()
            })
            .collect()
    }

    /// Checks what deserialisation cannot: version, parameters, finite numbers in the metric's range, no image twice, and
    /// means that are those of the images.
    ///
    /// # Errors
    /// [`MetricError::BaselineVersion`], [`MetricError::Range`], [`MetricError::Value`], [`MetricError::Empty`],
    /// [`MetricError::Length`], [`MetricError::NotFinite`], [`MetricError::DuplicateImage`],
    /// [`MetricError::BaselineMean`], [`MetricError::BaselineDirection`], [`MetricError::BaselineBand`].
    pub fn validate(&self) -> Result<(), MetricError> {
        if self.version != BASELINE_VERSION {
            return Err(MetricError::BaselineVersion {
                found: self.version,
                expected: BASELINE_VERSION,
            });
        }
        self.params.check()?;
        if self.run_means.is_empty() || self.images.is_empty() {
            return Err(MetricError::Empty { what: "the baseline" });
        }
        let runs = self.run_means.len();
        for image in &self.images {
            if image.values.len() != runs {
                return Err(MetricError::Length {
                    what: format!("values of {} in the baseline, one per run", image.image_id),
                    expected: runs,
                    found: image.values.len(),
                });
            }
            check_finite(&format!("values of {} in the baseline", image.image_id), &image.values)?;
            if let Some(metric) = Metric::named(&self.metric) {
                image.values.iter().try_for_each(|value| metric.check(*value))?;
            }
        }
        if let Some(seeds) = &self.seeds {
            check_seeds(seeds, runs, "seeds of the baseline, one per run")?;
        }
        let table = self.table();
        let means = run_means(&table);
        let stored = self.run_means.iter().chain([&self.mean]);
        let computed = means.iter().copied().chain([table_mean(&table)]);
        let sd = standard_deviation(&means);
        let near = |stored: f64, computed: f64| (stored - computed).abs() <= 1e-9 * computed.abs().max(1.0);
        let means_fit = stored.zip(computed).all(|(stored, computed)| near(*stored, computed));
        let sd_fits = match (self.run_sd, sd) {
            (Some(stored), Some(computed)) => near(stored, computed),
            (None, None) => true,
            _ => false,
        };
        if !means_fit || !sd_fits {
            return Err(MetricError::BaselineMean);
        }
        if let Some(metric) = Metric::named(&self.metric) {
            self.check_metric(metric)?;
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

impl Baseline {
    /// Checks that it judges its metric in the metric's own direction, and by a band narrower than the metric's range: in a wider
    /// one everything passes.
    fn check_metric(&self, metric: &Metric) -> Result<(), MetricError> {
        if metric.better != Some(self.better) {
            return Err(MetricError::BaselineDirection { metric: metric.key });
        }
        let range = metric.range.end() - metric.range.start();
        let widest = self.params.floor.max(self.band_for(1).unwrap_or_default());
        if widest < range {
            return Ok(());
        }
        Err(MetricError::BaselineBand {
            metric: metric.key,
            band: widest,
            range,
        })
    }
}

/// Mean over images of each run.
pub(crate) fn run_means(table: &[Vec<f64>]) -> Vec<f64> {
    table
        .iter()
        .map(|run| run.iter().sum::<f64>() / run.len() as f64)
        .collect()
}

/// One seed per run, none twice.
pub(crate) fn check_seeds(seeds: &[u64], runs: usize, what: &str) -> Result<(), MetricError> {
    if seeds.len() != runs {
        return Err(MetricError::Length {
            what: what.to_owned(),
            expected: runs,
            found: seeds.len(),
        });
    }
    let mut seen = BTreeSet::new();
    match seeds.iter().find(|seed| !seen.insert(**seed)) {
        Some(&seed) => Err(MetricError::DuplicateSeed { seed }),
        None => Ok(()),
    }
}

/// The standard deviation of (median of `new_runs` further runs − mean of `runs` runs), in standard deviations of a run.
pub(crate) fn prediction_scale(runs: usize, new_runs: usize) -> f64 {
    (1.0 / runs as f64 + median_variance(new_runs)).sqrt()
}

/// Variance of the median of `n` independent standard normal values (of the two middle ones' mean for even `n`): David and
/// Nagaraja, "Order Statistics"; beyond ten the asymptotic π / 2n, which is a little too large.
fn median_variance(n: usize) -> f64 {
    const EXACT: [f64; 10] = [1.0, 0.5, 0.4487, 0.2982, 0.2868, 0.2147, 0.2104, 0.1682, 0.1661, 0.1383];
    EXACT.get(n.max(1) - 1).copied().unwrap_or(PI / (2.0 * n as f64))
}

/// The middle value, or the mean of the two middle ones; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    let half = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        (at(half.saturating_sub(1)) + at(half)) / 2.0
    } else {
        at(half)
    }
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
