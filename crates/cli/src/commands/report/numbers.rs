//! `results.json` from the tables of a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context, ensure};
use htl_metrics::{BootstrapParams, ImageScores, paired_gain};
use htl_mining::ScoreTable;
use htl_report::{Arm, Dataset, Gain, HtlSet, Metrics, Results, Setting};
use indexmap::IndexMap;

use super::read_text;
use crate::{
    commands::sparsity::Choice,
    per_image,
    run_file::{ArmSeed, RunFile, Setting as SettingEntry},
};

/// The settings in the order in which they are read best.
const SETTINGS: [&str; 4] = [
    "supervised",
    "semi-supervised",
    "weakly-supervised",
    "weakly-supervised-boxes",
];

/// The metrics whose gains are reported.
const GAINS: [&str; 3] = ["jaccard", "threshold_jaccard", "dice"];

/// An arm whose thresholds were tuned with masks that its setting does not have.
const ORACLE: &str = "oracle-tuned";

/// Everything `results.json` holds.
pub fn results(run: &RunFile, device: &str, root: &Path) -> anyhow::Result<Results> {
    let mut settings = IndexMap::new();
    let known = SETTINGS.iter().copied().filter(|name| run.settings.contains_key(*name));
    let others = run
        .settings
        .keys()
        .map(String::as_str)
        .filter(|name| !SETTINGS.contains(name));
    for name in known.chain(others) {
        let entry = &run.settings[name];
        settings.insert(
            name.to_owned(),
            setting(name, entry, root).with_context(|| format!("setting {name}"))?,
        );
    }
    let mut trivial = IndexMap::new();
    for (name, entry) in &run.trivial {
        trivial.insert(name.clone(), summary(&root.join(&entry.summary))?);
    }
    Ok(Results {
        profile: run.profile.clone(),
        device: device.to_owned(),
        dataset: Dataset {
            name: run.dataset.name.clone(),
            train: run.dataset.train,
            val: run.dataset.val,
            test: run.dataset.test,
        },
        settings,
        trivial,
    })
}

fn setting(name: &str, entry: &SettingEntry, root: &Path) -> anyhow::Result<Setting> {
    let scores = ScoreTable::read(root.join(&entry.scores))?;
    let choice: Choice = serde_json::from_str(&read_text(&root.join(&entry.sparsity))?)
        .with_context(|| entry.sparsity.display().to_string())?;
    let hard_test = match &entry.test_scores {
        Some(path) => Some(
            ScoreTable::read(root.join(path))?
                .selected()
                .into_iter()
                .collect::<BTreeSet<_>>(),
        ),
        None => None,
    };
    let mut arms = IndexMap::new();
    let mut oracle_tuned = IndexMap::new();
    let mut tables: BTreeMap<&str, BTreeMap<u64, Vec<ImageScores>>> = BTreeMap::new();
    for (arm, seeds) in in_order(&entry.arms) {
        let mut of_arm = Vec::new();
        for seed in seeds {
            let mut metrics = summary(&root.join(&seed.summary))?;
            let rows = per_image::read(&root.join(&seed.per_image))?;
            let mut images: Vec<ImageScores> = rows.into_iter().map(|row| row.scores).collect();
            images.sort_by(|a, b| a.image_id.cmp(&b.image_id));
            if let Some(hard) = &hard_test {
                let of_hard: Vec<f64> = images
                    .iter()
                    .filter(|i| hard.contains(&i.image_id))
                    .map(|i| i.jaccard)
                    .collect();
                if !of_hard.is_empty() {
                    let mean = of_hard.iter().sum::<f64>() / of_hard.len() as f64;
                    metrics.insert("htl_subset_jaccard".into(), mean);
                }
            }
            tables.entry(arm).or_default().insert(seed.seed, images);
            of_arm.push((seed.seed, metrics));
        }
        let into = if arm == ORACLE { &mut oracle_tuned } else { &mut arms };
        into.insert(
            arm.to_owned(),
            Arm {
                gradient_steps: gradient_steps(seeds, root)?,
                ..Arm::new(of_arm)
            },
        );
    }
    let mut gain = IndexMap::new();
    for [method, control] in &entry.compare {
        let (Some(a), Some(b)) = (tables.get(method.as_str()), tables.get(control.as_str())) else {
            continue;
        };
        gain.insert(
            format!("{method}-vs-{control}"),
            gains(a, b).with_context(|| format!("{method} vs {control}"))?,
        );
    }
    let mut notes = Vec::new();
    if !choice.within {
        notes.push(format!(
            "No candidate sparsity kept the validation quality within {} of the dense network; the smallest was taken.",
            choice.tolerance
        ));
    }
    Ok(Setting {
        description: description(name),
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
        ..Setting::default()
    })
}

/// Gradient steps of an arm's first training, from its history.
fn gradient_steps(seeds: &[ArmSeed], root: &Path) -> anyhow::Result<Option<u64>> {
    let Some(history) = seeds.first().and_then(|seed| seed.history.as_ref()) else {
        return Ok(None);
    };
    let rows = htl_trainers::read_history(&root.join(history))?;
    Ok(rows.last().map(|row| row.step as u64))
}

fn description(name: &str) -> Option<String> {
    let text = match name {
        "supervised" => "Masks of all training images.",
        "semi-supervised" => "Masks of a fixed list of training images, the others without; mean teacher.",
        "weakly-supervised" => "Diagnoses only, no masks: class activation maps of a classifier.",
        "weakly-supervised-boxes" => "Tight boxes of training images only; none at test.",
        _ => return None,
    };
    Some(text.to_owned())
}

/// Baseline first, then the method, its control and the rest.
fn in_order(arms: &BTreeMap<String, Vec<ArmSeed>>) -> Vec<(&str, &Vec<ArmSeed>)> {
    let first = ["baseline", "htl", "random"];
    let place = |arm: &str| first.iter().position(|name| *name == arm).unwrap_or(first.len());
    let mut all: Vec<(&str, &Vec<ArmSeed>)> = arms.iter().map(|(name, seeds)| (name.as_str(), seeds)).collect();
    all.sort_by(|a, b| place(a.0).cmp(&place(b.0)).then(a.0.cmp(b.0)));
    all
}

/// Paired gains over the seeds that both arms have.
fn gains(
    method: &BTreeMap<u64, Vec<ImageScores>>,
    control: &BTreeMap<u64, Vec<ImageScores>>,
) -> anyhow::Result<IndexMap<String, Gain>> {
    let pairs: Vec<_> = method
        .iter()
        .filter_map(|(seed, a)| Some((a, control.get(seed)?)))
        .collect();
    for (a, b) in &pairs {
        let same = a.len() == b.len() && a.iter().zip(b.iter()).all(|(x, y)| x.image_id == y.image_id);
        ensure!(same, "the two arms were evaluated on different images");
    }
    let mut gains = IndexMap::new();
    for metric in GAINS {
        let column = |images: &[ImageScores]| images.iter().filter_map(|i| i.metric(metric)).collect::<Vec<f64>>();
        let a: Vec<Vec<f64>> = pairs.iter().map(|(a, _)| column(a)).collect();
        let b: Vec<Vec<f64>> = pairs.iter().map(|(_, b)| column(b)).collect();
        let gain = paired_gain(&a, &b, &BootstrapParams::default())?;
        gains.insert(metric.to_owned(), Gain::new(gain.mean, gain.ci95, gain.p, gain.seeds));
    }
    Ok(gains)
}

/// The numbers of a `summary.json`, the primary ones first.
fn summary(path: &Path) -> anyhow::Result<Metrics> {
    let all: BTreeMap<String, f64> =
        serde_json::from_str(&read_text(path)?).with_context(|| path.display().to_string())?;
    let mut metrics = Metrics::new();
    for name in GAINS {
        let value = all
            .get(name)
            .with_context(|| format!("{}: no `{name}`", path.display()))?;
        metrics.insert(name.to_owned(), *value);
    }
    metrics.extend(all.into_iter().filter(|(name, _)| !GAINS.contains(&name.as_str())));
    Ok(metrics)
}
