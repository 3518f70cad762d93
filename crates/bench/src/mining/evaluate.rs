use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::Device;
use htl_datasets::Split;
use htl_mining::{SCORES, ScoreTable, auroc, average_precision, mean_ranks, score_named, spearman};
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::cost::Cost;
use super::networks::Networks;
use super::scenario::Ground;
use super::settings::Settings;
use super::tables::{Judged, curves};

/// The score that others have to add something to.
const SPREAD: &str = "dense_spread";

/// A value by all seeds, with a 95 % interval over seeds.
///
/// The interval is the jackknife's: the value without one seed, for each, and Student's t (Efron and Tibshirani 1993, chapter 11). It
/// is about other trainings on the same images with the same planting.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub value: f64,
    /// Its ends; `None` where a value without one of the seeds is not defined.
    pub ends: Option<(f64, f64)>,
}

/// How well a score finds one planted truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub scenario: String,
    pub truth: String,
    pub split: String,
    pub score: String,
    /// Images with a score, and special ones among them.
    pub images: usize,
    pub special: usize,
    pub auroc: Option<Interval>,
    pub average_precision: Option<Interval>,
    /// Spearman's correlation with the dense consensus' error against the true masks.
    pub error_rho: Option<Interval>,
    /// AUROC of spread and score together less that of spread.
    pub added_auroc: Option<Interval>,
    /// Share of the variance of the error's ranks that the score's ranks explain beyond those of spread.
    pub added_r2: Option<Interval>,
    pub trainings: f64,
    pub passes: f64,
}

/// Judges every score by every truth of a scenario. The scores by all seeds are kept as `scores-<split>.csv`.
pub fn rows(
    scenario: &str,
    ground: &Ground,
    networks: &Networks,
    settings: &Settings,
    folder: &Path,
    device: &Device,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let truths = |split: Split| ground.truths.iter().filter(move |truth| truth.split == split);
    let splits: Vec<Split> = [Split::Train, Split::Test]
        .into_iter()
        .filter(|split| truths(*split).next().is_some())
        .collect();
    let curves = curves(ground, &splits, networks, settings, device)?;
    for split in splits {
        let judged = Judged::of(ground, split, networks, &curves, device)
            .with_context(|| format!("judging the {split} images of {scenario}"))?;
        let seeds = settings.seeds as usize;
        // All seeds, then all but each.
        let subsets: Vec<Vec<usize>> = (0..=seeds)
            .map(|without| (0..seeds).filter(|seed| seed + 1 != without).collect())
            .collect();
        let mut replicates = Vec::new();
        for subset in &subsets {
            replicates.push(Replicate {
                table: judged.table(subset)?,
                error: judged.true_error(subset)?,
            });
        }
        if let Some(all) = replicates.first() {
            all.table.write(folder.join(format!("scores-{split}.csv")))?;
        }
        for truth in truths(split) {
            for score in SCORES {
                let of = replicates
                    .iter()
                    .map(|replicate| Values::of(replicate, score.key, &truth.special))
                    .collect::<Result<Option<Vec<_>>>>()?;
                let Some(of) = of else { continue };
                let Some(all) = of.first().filter(|all| all.images > 0) else {
                    continue;
                };
                let cost = Cost::of(score, settings);
                let interval = |get: fn(&Values) -> Option<f64>| jackknife(&of.iter().map(get).collect::<Vec<_>>());
                rows.push(Row {
                    scenario: scenario.to_owned(),
                    truth: truth.what.clone(),
                    split: split.name().to_owned(),
                    score: score.key.to_owned(),
                    images: all.images,
                    special: all.special,
                    auroc: interval(|values| values.auroc),
                    average_precision: interval(|values| values.average_precision),
                    error_rho: interval(|values| values.error_rho),
                    added_auroc: interval(|values| values.added_auroc),
                    added_r2: interval(|values| values.added_r2),
                    trainings: cost.trainings,
                    passes: cost.passes,
                });
            }
        }
    }
    Ok(rows)
}

/// Scores and true errors by some of the seeds.
struct Replicate {
    table: ScoreTable,
    error: Vec<Option<f64>>,
}

/// What one set of seeds says of one score.
struct Values {
    images: usize,
    special: usize,
    auroc: Option<f64>,
    average_precision: Option<f64>,
    error_rho: Option<f64>,
    added_auroc: Option<f64>,
    added_r2: Option<f64>,
}

impl Values {
    /// `None` if the table lacks the score, or has it of no image.
    fn of(replicate: &Replicate, key: &str, special: &BTreeSet<String>) -> Result<Option<Self>> {
        let Replicate { table, error } = replicate;
        if score_named(key).is_none() || !table.columns().iter().any(|column| column == key) {
            return Ok(None);
        }
        let (scores, spread) = (table.column(key)?, table.column(SPREAD)?);
        let flags: Vec<bool> = table.rows().iter().map(|row| special.contains(&row.image_id)).collect();
        let known: Vec<usize> = (0..scores.len()).filter(|&i| scores[i].is_some()).collect();
        if known.is_empty() {
            // Exemplars by some of the seeds: the value by all of them stands without an interval.
            return Ok(Some(Self::blank()));
        }
        // Both ranked among the images that have both.
        let both: Vec<usize> = known
            .into_iter()
            .filter(|&i| spread[i].is_some() && error[i].is_some())
            .collect();
        let ranks = |values: &[Option<f64>]| mean_ranks(&both.iter().filter_map(|&i| values[i]).collect::<Vec<_>>());
        let (x, y, target) = (ranks(&spread), ranks(&scores), ranks(error));
        let flagged: Vec<bool> = both.iter().map(|&i| flags[i]).collect();
        let numbers: Vec<f64> = flagged.iter().map(|flag| f64::from(u8::from(*flag))).collect();
        let area = |scores: &[f64]| auroc(&scores.iter().copied().map(Some).collect::<Vec<_>>(), &flagged);
        let (alone, together) = (fitted(&[&x], &numbers), fitted(&[&x, &y], &numbers));
        let added_auroc = area(&together)?
            .zip(area(&alone)?)
            .map(|(together, alone)| together - alone);
        let added_r2 = explained(&fitted(&[&x, &y], &target), &target)
            .zip(explained(&fitted(&[&x], &target), &target))
            .map(|(together, alone)| together - alone);
        Ok(Some(Self {
            images: scores.iter().flatten().count(),
            special: scores
                .iter()
                .zip(&flags)
                .filter(|(score, flag)| score.is_some() && **flag)
                .count(),
            auroc: auroc(&scores, &flags)?,
            average_precision: average_precision(&scores, &flags)?,
            error_rho: spearman(&scores, error)?.map(|found| found.rho),
            added_auroc,
            added_r2,
        }))
    }

    fn blank() -> Self {
        Self {
            images: 0,
            special: 0,
            auroc: None,
            average_precision: None,
            error_rho: None,
            added_auroc: None,
            added_r2: None,
        }
    }
}

/// Least squares of `y` on a constant and one or two predictors; a second one that says the same as the first is left out.
fn fitted(predictors: &[&[f64]], y: &[f64]) -> Vec<f64> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let centred = |values: &[f64]| {
        let centre = mean(values);
        values.iter().map(|value| value - centre).collect::<Vec<f64>>()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (level, y) = (mean(y), centred(y));
    // Gram and Schmidt: each predictor without what those before it say.
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for predictor in predictors {
        let mut own = centred(predictor);
        let size = dot(&own, &own);
        for earlier in &basis {
            let share = dot(&own, earlier) / dot(earlier, earlier);
            own.iter_mut()
                .zip(earlier)
                .for_each(|(own, earlier)| *own -= share * earlier);
        }
        if dot(&own, &own) > 1e-9 * size && size > 0.0 {
            basis.push(own);
        }
    }
    let mut values = vec![level; y.len()];
    for direction in &basis {
        let slope = dot(&y, direction) / dot(direction, direction);
        values
            .iter_mut()
            .zip(direction)
            .for_each(|(value, x)| *value += slope * x);
    }
    values
}

/// Share of the variance of `y` that a fit explains; `None` if there is none.
fn explained(fit: &[f64], y: &[f64]) -> Option<f64> {
    let mean = y.iter().sum::<f64>() / y.len().max(1) as f64;
    let all: f64 = y.iter().map(|y| (y - mean).powi(2)).sum();
    let left: f64 = y.iter().zip(fit).map(|(y, fit)| (y - fit).powi(2)).sum();
    (all > 0.0).then(|| 1.0 - left / all)
}

/// The first value, by all seeds, and its interval by those without one seed each.
fn jackknife(values: &[Option<f64>]) -> Option<Interval> {
    let (all, without) = values.split_first()?;
    let value = (*all)?;
    let ends = without
        .iter()
        .copied()
        .collect::<Option<Vec<f64>>>()
        .and_then(|without| {
            let seeds = without.len() as f64;
            let mean = without.iter().sum::<f64>() / seeds;
            let squares: f64 = without.iter().map(|value| (value - mean).powi(2)).sum();
            let error = ((seeds - 1.0) / seeds * squares).sqrt();
            let half = StudentsT::new(0.0, 1.0, seeds - 1.0).ok()?.inverse_cdf(0.975) * error;
            Some((value - half, value + half))
        });
    Some(Interval { value, ends })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a mean, the jackknife's interval is the t interval.
    #[test]
    fn the_jackknife_of_a_mean_is_students() {
        let seeds = [0.2, 0.5, 0.9, 0.4];
        let mean_without = |without: usize| {
            let kept: Vec<f64> = (0..4).filter(|i| i + 1 != without).map(|i| seeds[i]).collect();
            Some(kept.iter().sum::<f64>() / kept.len() as f64)
        };
        let found = jackknife(&(0..=4).map(mean_without).collect::<Vec<_>>()).unwrap();
        // By hand: sd 0.294392, t 3.182446 with 3 degrees of freedom.
        let half = 3.182_446_3 * 0.294_392_03 / 2.0;
        let (lo, hi) = found.ends.unwrap();
        assert!((found.value - 0.5).abs() < 1e-12 && (hi - 0.5 - half).abs() < 1e-6 && (0.5 - lo - half).abs() < 1e-6);
        assert_eq!(jackknife(&[Some(1.0), None]).unwrap().ends, None);
        assert_eq!(jackknife(&[None, Some(1.0)]), None);
    }

    /// A copy of spread adds nothing; what explains the rest adds the rest.
    #[test]
    fn only_news_adds_to_spread() {
        let x = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let news = [1.0, -1.0, 0.0, 0.0, -1.0, 1.0];
        let y: Vec<f64> = x.iter().zip(news).map(|(x, news)| 2.0 * x + 5.0 * news).collect();
        let r2 = |predictors: &[&[f64]]| explained(&fitted(predictors, &y), &y).unwrap();
        let copy = x.map(|x| 3.0 * x - 1.0);
        assert!((r2(&[&x, &copy]) - r2(&[&x])).abs() < 1e-12);
        assert!(r2(&[&x]) < 0.6 && (r2(&[&x, &news]) - 1.0).abs() < 1e-12);
        assert_eq!(explained(&[1.0, 1.0], &[1.0, 1.0]), None);
    }
}
