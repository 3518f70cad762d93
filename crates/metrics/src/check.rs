use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::MetricError;
use crate::noise::{Baseline, standard_deviation, t_quantile};
use crate::runs::{Attribute, Runs, same_images};
use crate::unit::Better;

/// The smallest group whose change is reported by [`CheckOutcome`].
pub const MIN_GROUP: usize = 5;

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

/// The source of the band's width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BandBasis {
    /// The spread of the baseline's seeds.
    Seeds,
    /// The spread over images of the change itself, for a baseline of a single run.
    Images,
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
    /// Mean in the fresh results.
    pub fresh: f64,
    /// Fresh - baseline.
    pub change: f64,
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
    /// Number of seeds of the baseline.
    pub baseline_seeds: usize,
    /// Mean of the baseline.
    pub mean_baseline: f64,
    /// Mean of the fresh results.
    pub mean_fresh: f64,
    /// Fresh - baseline.
    pub change: f64,
    /// How far the mean may move by chance, to either side.
    pub band: f64,
    /// What the band was made from.
    pub basis: BandBasis,
    /// The judgement.
    pub verdict: BandVerdict,
    /// Groups of at least [`MIN_GROUP`] images, the one that changed most for the worse first.
    pub groups: Vec<GroupChange>,
    /// The ten images that changed most for the worse, worst first.
    pub worst_images: Vec<ImageChange>,
}

impl Baseline {
    /// Judges fresh results: inside the band, below it (worse) or above it (better than chance explains).
    ///
    /// `attributes` name the groups whose change is reported with the verdict; they do not influence it.
    ///
    /// # Errors
    /// [`MetricError::OtherImages`] unless the results are about exactly the baseline's images, and what
    /// [`validate`](Self::validate) finds.
    pub fn check(&self, fresh: &Runs, attributes: &[Attribute]) -> Result<CheckOutcome, MetricError> {
        CheckOutcome::of(self, fresh, attributes)
    }
}

impl CheckOutcome {
    pub(crate) fn of(baseline: &Baseline, fresh: &Runs, attributes: &[Attribute]) -> Result<Self, MetricError> {
        baseline.validate()?;
        let mut known: Vec<(&str, f64)> = baseline.images.iter().map(|i| (i.image_id.as_str(), i.mean)).collect();
        known.sort_by(|a, b| a.0.cmp(b.0));
        let ids: Vec<String> = known.iter().map(|k| k.0.to_string()).collect();
        same_images(&ids, fresh.image_ids())?;
        let before: Vec<f64> = known.iter().map(|k| k.1).collect();
        let after = fresh.image_means();
        let mean_fresh = after.iter().sum::<f64>() / after.len() as f64;
        let change = mean_fresh - baseline.mean;
        let (band, basis) = match baseline.seed_band(fresh.table().len()) {
            Some(band) => (band, BandBasis::Seeds),
            None => (image_band(baseline, &before, &after)?, BandBasis::Images),
        };
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
            baseline_seeds: baseline.seed_means.len(),
            mean_baseline: baseline.mean,
            mean_fresh,
            change,
            band,
            basis,
            verdict,
            groups: group_changes(baseline.better, &ids, &before, &after, attributes),
            worst_images: worst_images(baseline.better, &ids, &before, &after),
        })
    }

    /// True unless the verdict is [`BandVerdict::Below`].
    pub fn passed(&self) -> bool {
        self.verdict != BandVerdict::Below
    }
}

impl fmt::Display for CheckOutcome {
    /// A few lines for a person: the verdict, and for a regression the groups and images that lost most.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            BandVerdict::Inside => "inside the noise band",
            BandVerdict::Below => "WORSE than the noise band allows",
            BandVerdict::Above => "better than the noise band; consider a new baseline",
        };
        writeln!(
            f,
            "{}: {:.4} now, {:.4} in the baseline ({:+.4}, band +-{:.4}): {verdict}",
            self.metric, self.mean_fresh, self.mean_baseline, self.change, self.band
        )?;
        let basis = match self.basis {
            BandBasis::Seeds => format!("spread of {} seeds", self.baseline_seeds),
            BandBasis::Images => "spread of the change over images (the baseline is a single run)".to_string(),
        };
        writeln!(f, "{} images, {} run(s); band from the {basis}", self.images, self.runs)?;
        if self.verdict == BandVerdict::Below {
            for g in self.groups.iter().take(5) {
                let (b, v, c) = (g.baseline, g.fresh, g.change);
                writeln!(
                    f,
                    "  {} = {} ({} images): {b:.4} -> {v:.4} ({c:+.4})",
                    g.attribute, g.level, g.n
                )?;
            }
            for i in self.worst_images.iter().take(5) {
                writeln!(
                    f,
                    "  {}: {:.4} -> {:.4} ({:+.4})",
                    i.image_id, i.baseline, i.fresh, i.change
                )?;
            }
        }
        Ok(())
    }
}

/// Band of a baseline without a spread over seeds: t times the standard error of the change over images.
fn image_band(baseline: &Baseline, before: &[f64], after: &[f64]) -> Result<f64, MetricError> {
    let changes: Vec<f64> = before.iter().zip(after).map(|(b, a)| a - b).collect();
    let images = changes.len() as f64;
    let Some(sd) = standard_deviation(&changes) else {
        let expected = "at least 2, or a baseline of several seeds";
        return Err(MetricError::Range {
            what: "images of a check",
            found: images,
            expected,
        });
    };
    let spread = t_quantile(images - 1.0, baseline.params.false_alarm) * sd / images.sqrt();
    Ok(baseline.params.floor.max(spread))
}

fn group_changes(
    better: Better,
    ids: &[String],
    before: &[f64],
    after: &[f64],
    attributes: &[Attribute],
) -> Vec<GroupChange> {
    let mut changes = Vec::new();
    for attribute in attributes {
        let mut sums: BTreeMap<&str, (usize, f64, f64)> = BTreeMap::new();
        for ((id, b), a) in ids.iter().zip(before).zip(after) {
            if let Some(level) = attribute.levels.get(id) {
                let sum = sums.entry(level).or_default();
                *sum = (sum.0 + 1, sum.1 + b, sum.2 + a);
            }
        }
        changes.extend(
            sums.into_iter()
                .filter(|(_, sum)| sum.0 >= MIN_GROUP)
                .map(|(level, (n, b, a))| {
                    let (baseline, fresh) = (b / n as f64, a / n as f64);
                    let (attribute, level) = (attribute.name.clone(), level.to_string());
                    GroupChange {
                        attribute,
                        level,
                        n,
                        baseline,
                        fresh,
                        change: fresh - baseline,
                    }
                }),
        );
    }
    changes.sort_by(|a, b| (better.sign() * a.change).total_cmp(&(better.sign() * b.change)));
    changes
}

fn worst_images(better: Better, ids: &[String], before: &[f64], after: &[f64]) -> Vec<ImageChange> {
    let mut changes: Vec<ImageChange> = ids
        .iter()
        .zip(before)
        .zip(after)
        .map(|((id, &baseline), &fresh)| ImageChange {
            image_id: id.clone(),
            baseline,
            fresh,
            change: fresh - baseline,
        })
        .filter(|c| better.sign() * c.change < 0.0)
        .collect();
    changes.sort_by(|a, b| (better.sign() * a.change).total_cmp(&(better.sign() * b.change)));
    changes.truncate(10);
    changes
}
