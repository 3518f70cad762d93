//! `results.json` from the tables of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use htl_metrics::{BootstrapParams, ImageScores, PerImage, paired_gain};
use htl_mining::ScoreTable;
use htl_vocabulary::results::{Arm, Gain, HtlSet, Metrics, PRIMARY_METRIC, Results, Setting, comparison_key};
use htl_vocabulary::run_file::{ArmSeed, RunFile, Setting as SettingFiles};
use htl_vocabulary::{SparsityChoice, arm, file, read_history, read_json, setting};
use indexmap::IndexMap;

use crate::ReportError;

/// The metrics whose gains are reported, in the order in which they are written.
const GAINS: [&str; 3] = [PRIMARY_METRIC, "threshold_jaccard", "dice"];

/// Arms that come first in a setting, in this order; the others follow by name.
const FIRST: [arm::Arm; 3] = [arm::BASELINE, arm::HTL, arm::RANDOM];

/// Everything `results.json` holds, from the files that `run.json` names in the folder `root`.
///
/// Nothing but the run decides what comes out: the device is the one that the networks ran on, wherever this is called.
///
/// # Errors
/// [`ReportError`] naming the file that is missing or does not fit, or the two arms that cannot be compared.
pub fn results(run: &RunFile, root: &Path) -> Result<Results, ReportError> {
    let mut keys: Vec<&String> = run.settings.keys().collect();
    keys.sort_by_key(|key| setting::position(key));
    let mut settings = IndexMap::new();
    for key in keys {
        settings.insert(key.clone(), of_setting(key, &run.settings[key], root)?);
    }
    let mut trivial = IndexMap::new();
    for (name, files) in &run.trivial {
        trivial.insert(name.clone(), summary(&root.join(&files.summary))?);
    }
    Ok(Results {
        profile: run.profile.clone(),
        device: run.device.clone(),
        dataset: run.dataset.clone(),
        settings,
        trivial,
    })
}

/// Test results of an arm's images, by seed and sorted by image.
type BySeed = BTreeMap<u64, Vec<ImageScores>>;

fn of_setting(key: &str, files: &SettingFiles, root: &Path) -> Result<Setting, ReportError> {
    let scores = ScoreTable::read(root.join(&files.scores))?;
    let choice = SparsityChoice::read(&root.join(&files.sparsity))?;
    let hard_test: BTreeSet<String> = ScoreTable::read(root.join(&files.test_scores))?
        .selected()
        .into_iter()
        .collect();
    let mut arms = IndexMap::new();
    let mut oracle_tuned = IndexMap::new();
    let mut tables: BTreeMap<&str, BySeed> = BTreeMap::new();
    for (name, seeds) in in_order(&files.arms) {
        let mut of_arm = Vec::new();
        for seed in seeds {
            let mut metrics = summary(&root.join(&seed.summary))?;
            let images = per_image(&root.join(&seed.per_image))?;
            if let Some(mean) = mean_jaccard(&images, &hard_test) {
                metrics.insert("htl_subset_jaccard".into(), mean);
            }
            tables.entry(name).or_default().insert(seed.seed, images);
            of_arm.push((seed.seed, metrics));
        }
        let entry = Arm {
            gradient_steps: gradient_steps(seeds, root)?,
            ..Arm::new(of_arm)
        };
        let into = if name == arm::ORACLE_TUNED.key {
            &mut oracle_tuned
        } else {
            &mut arms
        };
        into.insert(name.to_owned(), entry);
    }
    let mut gain = IndexMap::new();
    for [method, control] in &files.compare {
        if let (Some(a), Some(b)) = (tables.get(method.as_str()), tables.get(control.as_str())) {
            gain.insert(comparison_key(method, control), gains(key, [method, control], [a, b])?);
        }
    }
    let mut notes = Vec::new();
    if !choice.within {
        notes.push(format!(
            "No candidate sparsity kept the validation quality within {} of the dense network; the smallest was taken.",
            choice.tolerance
        ));
    }
    Ok(Setting {
        description: setting::named(key).map(|setting| setting.about.to_owned()),
        sparsity: Some(choice.sparsity),
        htl: Some(HtlSet {
            selected: scores.selected().len(),
            of: scores.len(),
            selection: "hardest by dense-sparse disagreement".into(),
        }),
        arms,
        gain,
        oracle_tuned,
        notes,
    })
}

fn per_image(path: &Path) -> Result<Vec<ImageScores>, ReportError> {
    let bytes = std::fs::read(path).map_err(|source| ReportError::Io {
        path: path.to_owned(),
        action: "read",
        source,
    })?;
    let table = PerImage::from_csv(&bytes).map_err(|source| ReportError::PerImage {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    let mut images: Vec<ImageScores> = table.rows.into_iter().map(|row| row.scores).collect();
    images.sort_by(|a, b| a.image_id.cmp(&b.image_id));
    Ok(images)
}

/// Mean over the images of a set; `None` if it holds none of them.
fn mean_jaccard(images: &[ImageScores], among: &BTreeSet<String>) -> Option<f64> {
    let values: Vec<f64> = images
        .iter()
        .filter(|image| among.contains(&image.image_id))
        .map(|image| image.jaccard)
        .collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Gradient steps of an arm's first training, from its history.
fn gradient_steps(seeds: &[ArmSeed], root: &Path) -> Result<Option<u64>, ReportError> {
    let Some(history) = seeds.first().and_then(|seed| seed.history.as_ref()) else {
        return Ok(None);
    };
    let rows = read_history(&root.join(history))?;
    Ok(rows.last().map(|row| row.step as u64))
}

fn in_order(arms: &BTreeMap<String, Vec<ArmSeed>>) -> Vec<(&str, &[ArmSeed])> {
    let place = |name: &str| FIRST.iter().position(|arm| arm.key == name).unwrap_or(FIRST.len());
    let mut all: Vec<_> = arms
        .iter()
        .map(|(name, seeds)| (name.as_str(), seeds.as_slice()))
        .collect();
    all.sort_by_key(|(name, _)| place(name));
    all
}

/// Paired gains over the seeds that both arms have.
fn gains(key: &str, names: [&String; 2], tables: [&BySeed; 2]) -> Result<IndexMap<String, Gain>, ReportError> {
    let [setting, method, control] = [key, names[0], names[1]].map(str::to_owned);
    let [of_method, of_control] = tables;
    let pairs: Vec<_> = of_method
        .iter()
        .filter_map(|(seed, a)| Some((a, of_control.get(seed)?)))
        .collect();
    let same = |a: &[ImageScores], b: &[ImageScores]| a.iter().map(|i| &i.image_id).eq(b.iter().map(|i| &i.image_id));
    if !pairs.iter().all(|(a, b)| same(a, b)) {
        return Err(ReportError::DifferentImages {
            setting,
            method,
            control,
        });
    }
    let mut gains = IndexMap::new();
    for metric in GAINS {
        let column = |images: &[ImageScores]| images.iter().filter_map(|i| i.metric(metric)).collect::<Vec<f64>>();
        let a: Vec<Vec<f64>> = pairs.iter().map(|(a, _)| column(a)).collect();
        let b: Vec<Vec<f64>> = pairs.iter().map(|(_, b)| column(b)).collect();
        let gain = paired_gain(&a, &b, &BootstrapParams::default()).map_err(|source| ReportError::Gain {
            setting: setting.clone(),
            method: method.clone(),
            control: control.clone(),
            source: Box::new(source),
        })?;
        gains.insert(metric.to_owned(), Gain::new(gain.mean, gain.ci95, gain.p, gain.seeds));
    }
    Ok(gains)
}

/// The numbers of a `summary.json`, those of [`GAINS`] first.
fn summary(path: &Path) -> Result<Metrics, ReportError> {
    let all: BTreeMap<String, f64> = read_json(path, file::SUMMARY)?;
    let mut metrics = Metrics::new();
    for metric in GAINS {
        let value = all.get(metric).ok_or_else(|| ReportError::NoMetric {
            path: path.to_owned(),
            metric,
        })?;
        if !(0.0..=1.0).contains(value) {
            return Err(ReportError::Range {
                path: path.to_owned(),
                metric: metric.to_owned(),
                found: *value,
            });
        }
        metrics.insert(metric.to_owned(), *value);
    }
    metrics.extend(all.into_iter().filter(|(name, _)| !GAINS.contains(&name.as_str())));
    Ok(metrics)
}
