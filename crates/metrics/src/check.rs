use serde::{Deserialize, Serialize};

use crate::crossed::{t_quantile, t_tail};
use crate::error::MetricError;
use crate::groups::{LEAST_SHOWN, LEAST_TESTED};
use crate::holm::holm;
use crate::noise::{
    Baseline, GOOD_BASELINE_RUNS, LEAST_BASELINE_RUNS, median, prediction_scale, run_means, standard_deviation,
};
use crate::runs::{Attribute, Runs, same_images};
use crate::unit::Better;

/// Where fresh results lie, relative to the noise band of the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BandVerdict {
    /// No worse and no better than chance explains.
    Inside,
    /// Worse than chance explains: a regression.
    Below,
    /// Better than chance explains: time for a new baseline, or to check what is being measured.
    Above,
}

/// How fresh runs are compared with those of the baseline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// The median of the fresh runs with the mean of all runs of the baseline, in the band of
    /// [`Baseline::band_for`].
    Unpaired,
    /// Run by run with the baseline's run of the same seed: the mean of the differences, in a band from their own spread.
    BySeed,
}

/// What a group's test found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GroupTest {
    /// One-sided p of "no worse".
    pub p: f64,
    /// The same, adjusted for the number of tested groups by Holm's method.
    pub p_holm: f64,
    /// Whether the group is called worse: `p_holm` at most the false alarm rate, and a change beyond the floor.
    pub worse: bool,
}

/// The change of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupChange {
    /// Attribute, e.g. `sex`.
    pub attribute: String,
    /// Level, e.g. `female`.
    pub level: String,
    /// Number of images.
    pub n: usize,
    /// Mean in the baseline.
    pub baseline: f64,
    /// The fresh results' value that is compared with it.
    pub fresh: f64,
    /// Fresh - baseline.
    pub change: f64,
    /// Its test; none under [`LEAST_TESTED`] images.
    pub test: Option<GroupTest>,
}

/// The change of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageChange {
    /// Which image.
    pub image_id: String,
    /// Mean in the baseline.
    pub baseline: f64,
    /// Mean in the fresh results.
    pub fresh: f64,
    /// Fresh - baseline.
    pub change: f64,
}

/// The result of a comparison with a [`Baseline`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckOutcome {
    /// Name of the metric.
    pub metric: String,
    /// Number of images.
    pub images: usize,
    /// Number of fresh runs.
    pub runs: usize,
    /// Number of runs of the baseline.
    pub baseline_runs: usize,
    /// How they were compared.
    pub pairing: Pairing,
    /// Mean of the baseline (of its paired runs).
    pub mean_baseline: f64,
    /// Median of the fresh runs' means; the mean where they are paired.
    pub mean_fresh: f64,
    /// Fresh - baseline.
    pub change: f64,
    /// How far it may be by chance, to either side.
    pub band: f64,
    /// The judgement of the mean.
    pub verdict: BandVerdict,
    /// Groups of at least [`LEAST_SHOWN`] images, those that are worse first, then by change for the worse.
    pub groups: Vec<GroupChange>,
    /// The ten images that changed most for the worse, worst first.
    pub worst_images: Vec<ImageChange>,
}

impl Baseline {
    /// Judges fresh results twice: their mean over images, and every group of at least [`LEAST_TESTED`] images.
    ///
    /// The mean is worse if it is more than the band below the baseline. A group is worse if the same prediction
    /// interval for *its* mean is left, at a level divided among the tested groups by Holm's method, and by more than the
    /// floor. So an unchanged program is called worse for its mean in at most `false_alarm` of the checks, and for any
    /// group in at most as many again. `examples/check_power.rs` measures both, and what is found.
    ///
    /// Where at least [`GOOD_BASELINE_RUNS`] fresh runs are given and the baseline knows the seed of every one, they are
    /// compared with the runs of the same seeds: the mean difference d of m pairs, in max(floor, t(1 − false_alarm;
    /// m − 1) · sd(d) / sqrt(m)). What a seed decides alike before and after a change then cancels; with fewer pairs the
    /// t quantile costs more than that gains.
    ///
    /// # Errors
    /// [`MetricError::BaselineRuns`] under [`LEAST_BASELINE_RUNS`] runs, which cannot tell worse from chance;
    /// [`MetricError::OtherImages`] unless the results are about exactly the baseline's images, and what
    /// [`validate`](Self::validate) finds.
    pub fn check(&self, fresh: &Runs, attributes: &[Attribute]) -> Result<CheckOutcome, MetricError> {
        CheckOutcome::of(self, fresh, attributes)
    }
}

/// Both sides' values, `[runs][images]`, as they are compared.
struct Sides {
    pairing: Pairing,
    before: Vec<Vec<f64>>,
    after: Vec<Vec<f64>>,
}

/// A mean before and after, and how far apart the two may be by chance.
struct Change {
    before: f64,
    after: f64,
    /// Standard error of the difference.
    standard_error: f64,
    degrees: f64,
}

impl Sides {
    fn of(baseline: &Baseline, before: Vec<Vec<f64>>, fresh: &Runs) -> Self {
        let after = fresh.table().to_vec();
        let known = baseline.seeds.as_deref().unwrap_or_default();
        let place = |seed: &u64| known.iter().position(|known| known == seed);
        let pairs: Option<Vec<usize>> = fresh.seeds().and_then(|seeds| seeds.iter().map(place).collect());
        match pairs.filter(|pairs| pairs.len() >= GOOD_BASELINE_RUNS) {
            Some(pairs) => Self {
                pairing: Pairing::BySeed,
                before: pairs.into_iter().map(|run| before[run].clone()).collect(),
                after,
            },
            None => Self {
                pairing: Pairing::Unpaired,
                before,
                after,
            },
        }
    }

    /// The change of the mean over some images.
    fn change(&self, images: &[usize]) -> Change {
        let means = |table: &[Vec<f64>]| -> Vec<f64> {
            let pick = |run: &Vec<f64>| images.iter().map(|image| run[*image]).collect();
            run_means(&table.iter().map(pick).collect::<Vec<_>>())
        };
        let (before, after) = (means(&self.before), means(&self.after));
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let sd = |values: &[f64]| standard_deviation(values).unwrap_or_default();
        match self.pairing {
            Pairing::Unpaired => Change {
                before: mean(&before),
                after: median(&after),
                standard_error: sd(&before) * prediction_scale(before.len(), after.len()),
                degrees: (before.len() - 1) as f64,
            },
            Pairing::BySeed => {
                let differences: Vec<f64> = before.iter().zip(&after).map(|(b, a)| a - b).collect();
                Change {
                    before: mean(&before),
                    after: mean(&after),
                    standard_error: sd(&differences) / (differences.len() as f64).sqrt(),
                    degrees: (differences.len() - 1) as f64,
                }
            }
        }
    }
}

impl Change {
    /// One-sided p of "no worse".
    fn p(&self, better: Better) -> f64 {
        let loss = -better.sign() * (self.after - self.before);
        if self.standard_error == 0.0 {
            return if loss > 0.0 { 0.0 } else { 1.0 };
        }
        t_tail(self.degrees, loss / self.standard_error)
    }
}

impl CheckOutcome {
    fn of(baseline: &Baseline, fresh: &Runs, attributes: &[Attribute]) -> Result<Self, MetricError> {
        baseline.validate()?;
        let baseline_runs = baseline.run_means.len();
        if baseline_runs < LEAST_BASELINE_RUNS {
            return Err(MetricError::BaselineRuns {
                found: baseline_runs,
                least: LEAST_BASELINE_RUNS,
                good: GOOD_BASELINE_RUNS,
            });
        }
        let mut order: Vec<usize> = (0..baseline.images.len()).collect();
        order.sort_by(|a, b| baseline.images[*a].image_id.cmp(&baseline.images[*b].image_id));
        let ids: Vec<String> = order.iter().map(|at| baseline.images[*at].image_id.clone()).collect();
        same_images(&ids, fresh.image_ids())?;
        let sorted = |run: &Vec<f64>| order.iter().map(|at| run[*at]).collect();
        let known: Vec<Vec<f64>> = baseline.table().iter().map(sorted).collect();
        let sides = Sides::of(baseline, known, fresh);
        let all: Vec<usize> = (0..ids.len()).collect();
        let whole = sides.change(&all);
        let change = whole.after - whole.before;
        let t = t_quantile(whole.degrees, baseline.params.false_alarm);
        let band = baseline.params.floor.max(t * whole.standard_error);
        let gain = baseline.better.sign() * change;
        let verdict = match () {
            () if gain < -band => BandVerdict::Below,
            () if gain > band => BandVerdict::Above,
            () => BandVerdict::Inside,
        };
        Ok(Self {
            metric: baseline.metric.clone(),
            images: ids.len(),
            runs: fresh.table().len(),
            baseline_runs,
            pairing: sides.pairing,
            mean_baseline: whole.before,
            mean_fresh: whole.after,
            change,
            band,
            verdict,
            groups: group_changes(baseline, &sides, &ids, attributes),
            worst_images: worst_images(baseline.better, &sides, &ids),
        })
    }

    /// True unless the mean or a group is worse than chance explains.
    pub fn passed(&self) -> bool {
        self.verdict != BandVerdict::Below && self.worse_groups().next().is_none()
    }

    /// The groups that are worse than chance explains.
    pub fn worse_groups(&self) -> impl Iterator<Item = &GroupChange> {
        self.groups
            .iter()
            .filter(|group| group.test.is_some_and(|test| test.worse))
    }

    /// Number of groups that were tested.
    pub fn tested_groups(&self) -> usize {
        self.groups.iter().filter(|group| group.test.is_some()).count()
    }

    /// What makes the comparison weaker than it could be; `None` for a baseline of [`GOOD_BASELINE_RUNS`] runs or more.
    pub fn warning(&self) -> Option<String> {
        (self.baseline_runs < GOOD_BASELINE_RUNS).then(|| {
            format!(
                "the baseline has {} runs, so its band is wide; with {GOOD_BASELINE_RUNS} or more smaller losses are found",
                self.baseline_runs
            )
        })
    }
}

fn group_changes(baseline: &Baseline, sides: &Sides, ids: &[String], attributes: &[Attribute]) -> Vec<GroupChange> {
    let mut changes = Vec::new();
    for attribute in attributes {
        let mut levels: std::collections::BTreeMap<&str, Vec<usize>> = std::collections::BTreeMap::new();
        for (image, id) in ids.iter().enumerate() {
            if let Some(level) = attribute.levels.get(id) {
                levels.entry(level).or_default().push(image);
            }
        }
        for (level, images) in levels.into_iter().filter(|(_, images)| images.len() >= LEAST_SHOWN) {
            let found = sides.change(&images);
            let p = found.p(baseline.better);
            changes.push(GroupChange {
                attribute: attribute.name.clone(),
                level: level.to_owned(),
                n: images.len(),
                baseline: found.before,
                fresh: found.after,
                change: found.after - found.before,
                test: (images.len() >= LEAST_TESTED).then_some(GroupTest {
                    p,
                    p_holm: p,
                    worse: false,
                }),
            });
        }
    }
    let tested: Vec<f64> = changes.iter().filter_map(|group| Some(group.test?.p)).collect();
    let sign = baseline.better.sign();
    for (group, p_holm) in changes
        .iter_mut()
        .filter(|group| group.test.is_some())
        .zip(holm(&tested))
    {
        let loss = -sign * group.change;
        let worse = p_holm <= baseline.params.false_alarm && loss > baseline.params.floor;
        group.test = group.test.map(|test| GroupTest { p_holm, worse, ..test });
    }
    let worse = |group: &GroupChange| group.test.is_some_and(|test| test.worse);
    changes.sort_by(|a, b| {
        worse(b)
            .cmp(&worse(a))
            .then((sign * a.change).total_cmp(&(sign * b.change)))
    });
    changes
}

fn worst_images(better: Better, sides: &Sides, ids: &[String]) -> Vec<ImageChange> {
    let mean = |table: &[Vec<f64>], image: usize| table.iter().map(|run| run[image]).sum::<f64>() / table.len() as f64;
    let of = |(image, id): (usize, &String)| {
        let (baseline, fresh) = (mean(&sides.before, image), mean(&sides.after, image));
        ImageChange {
            image_id: id.clone(),
            baseline,
            fresh,
            change: fresh - baseline,
        }
    };
    let mut changes: Vec<ImageChange> = ids
        .iter()
        .enumerate()
        .map(of)
        .filter(|c| better.sign() * c.change < 0.0)
        .collect();
    changes.sort_by(|a, b| (better.sign() * a.change).total_cmp(&(better.sign() * b.change)));
    changes.truncate(10);
    changes
}
