//! `results.json` from the tables of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use htl_metrics::{Metric, PerImage};
use htl_mining::ScoreTable;
use htl_vocabulary::results::{Arm, Contrast, HtlSet, Metrics, PRIMARY_METRIC, Results, Setting, comparison_key};
use htl_vocabulary::run_file::{ArmSeed, RunFile, Setting as SettingFiles};
use htl_vocabulary::{SparsityChoice, arm, file, read_history, read_json, setting};
use indexmap::IndexMap;

use crate::arm_table::ArmTable;
use crate::contrasts::{self, Pair};
use crate::{ReportError, referral};

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
        let declared = run.primary.get(key);
        settings.insert(key.clone(), of_setting(key, &run.settings[key], declared, root)?);
    }
    contrasts::adjust_primary(&mut settings);
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

fn of_setting(
    key: &str,
    files: &SettingFiles,
    declared: Option<&Contrast>,
    root: &Path,
) -> Result<Setting, ReportError> {
    let scores = ScoreTable::read(root.join(&files.scores))?;
    let choice = SparsityChoice::read(&root.join(&files.sparsity))?;
    let hard_test: BTreeSet<String> = ScoreTable::read(root.join(&files.test_scores))?
        .selected()
        .into_iter()
        .collect();
    let mut arms = IndexMap::new();
    let mut oracle_tuned = IndexMap::new();
    let mut tables: BTreeMap<&str, ArmTable> = BTreeMap::new();
    for (name, seeds) in in_order(&files.arms) {
        let mut of_arm = Vec::new();
        for seed in seeds {
            let mut metrics = summary(&root.join(&seed.summary))?;
            let table = tables.entry(name).or_default();
            let images = table.read(seed.seed, &root.join(&seed.per_image))?;
            if let Some(mean) = mean_jaccard(images, &hard_test) {
                metrics.insert("htl_subset_jaccard".into(), mean);
            }
            of_arm.push((seed.seed, metrics));
        }
        let table = tables.entry(name).or_default();
        let entry = Arm {
            gradient_steps: gradient_steps(seeds, root)?,
            worst_group: contrasts::worst_of_arm(key, name, table)?,
            ..Arm::new(of_arm)
        };
        let into = if name == arm::ORACLE_TUNED.key {
            &mut oracle_tuned
        } else {
            &mut arms
        };
        into.insert(name.to_owned(), entry);
    }
    let declared_arms = declared.map(|contrast| [contrast.method.clone(), contrast.control.clone()]);
    let mut gain = IndexMap::new();
    let further = declared_arms.as_ref().filter(|arms| !files.compare.contains(arms));
    for [method, control] in files.compare.iter().chain(further) {
        let Some(pair) = pair_of(key, &tables, method, control)? else {
            continue;
        };
        let mut gains = IndexMap::new();
        let declared = declared.iter().map(|contrast| contrast.metric.as_str());
        let further = declared.filter(|metric| !GAINS.contains(metric));
        for metric in GAINS.into_iter().chain(further) {
            if let Some(found) = pair.gain(metric)? {
                gains.insert(metric.to_owned(), found);
            }
        }
        gain.insert(comparison_key(method, control), gains);
    }
    let weak = match declared {
        None => None,
        Some(contrast) => match pair_of(key, &tables, &contrast.method, &contrast.control)? {
            None => None,
            Some(pair) => {
                let outside = contrasts::outside(contrast, tables.iter().map(|(name, table)| (*name, table)));
                pair.weak(contrast, outside, &hard_test, files.mined_arm.as_deref())?
            }
        },
    };
    let mut notes = Vec::new();
    if files.arms.contains_key(arm::HTL.key) {
        notes.extend(setting::named(key).map(|setting| format!("HTL attention here: {}", setting.method)));
        notes.push(
            "Where HTL attention reads mined scores, all of its seeds read the same ones: its gains are conditional on them."
                .to_owned(),
        );
    }
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
            selection: selection(files.selection.as_deref(), root)?,
        }),
        arms,
        primary: declared.and_then(|contrast| contrasts::primary(contrast, &gain)),
        weak,
        gain,
        oracle_tuned,
        referral: match &files.referral {
            Some(files) => referral::read(files, root)?,
            None => None,
        },
        notes,
    })
}

/// The rule that selected, in words.
fn selection(path: Option<&str>, root: &Path) -> Result<String, ReportError> {
    #[derive(serde::Deserialize)]
    struct Record {
        selection: String,
    }
    let Some(path) = path else {
        return Ok("as marked".into());
    };
    let record: Record = read_json(&root.join(path), file::SELECTION)?;
    Ok(record.selection)
}

/// Two arms of a setting; `None` where one of them was not run.
fn pair_of<'a>(
    key: &'a str,
    tables: &'a BTreeMap<&'a str, ArmTable>,
    method: &str,
    control: &str,
) -> Result<Option<Pair<'a>>, ReportError> {
    match (tables.get_key_value(method), tables.get_key_value(control)) {
        (Some((method, a)), Some((control, b))) => Pair::of(key, [*method, *control], [a, b]).map(Some),
        _ => Ok(None),
    }
}

/// Mean over the images of a set; `None` if it holds none of them.
fn mean_jaccard(images: &PerImage, among: &BTreeSet<String>) -> Option<f64> {
    let values: Vec<f64> = images
        .rows
        .iter()
        .map(|row| &row.scores)
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

/// The numbers of a `summary.json`, those of [`GAINS`] first; what it holds beside numbers stands in other places.
fn summary(path: &Path) -> Result<Metrics, ReportError> {
    let document: BTreeMap<String, serde_json::Value> = read_json(path, file::SUMMARY)?;
    let all: BTreeMap<String, f64> = document
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_f64()?)))
        .collect();
    for (name, value) in &all {
        if let Some(metric) = Metric::named(name) {
            metric.check(*value).map_err(|source| ReportError::Range {
                path: path.to_owned(),
                source: Box::new(source),
            })?;
        }
    }
    let mut metrics = Metrics::new();
    for metric in GAINS {
        let value = all.get(metric).ok_or_else(|| ReportError::NoMetric {
            path: path.to_owned(),
            metric,
        })?;
        metrics.insert(metric.to_owned(), *value);
    }
    metrics.extend(all.into_iter().filter(|(name, _)| !GAINS.contains(&name.as_str())));
    Ok(metrics)
}
