use htl_vocabulary::arm;
use htl_vocabulary::results::{Arm, Metrics, PRIMARY_METRIC, Results, Setting};
use serde::Serialize;

use crate::axis::{Axis, Tick};
use crate::summary::arms_in_order;
use crate::{weak, words};

use super::style_of;

/// Columns every arms table has, after the primary metric.
const SECOND: [&str; 2] = ["threshold_jaccard", "dice"];

#[derive(Serialize)]
pub(super) struct SettingTable {
    title: String,
    description: String,
    facts: Vec<String>,
    notes: Vec<String>,
    ticks: Vec<Tick>,
    arms: Vec<Row>,
    oracle: Vec<Row>,
    trivial: Vec<Row>,
    /// Each arm's worst group.
    worst: Vec<WorstRow>,
    /// Further metrics, and the same rows' values of them.
    more: Vec<String>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    style: usize,
    primary: String,
    /// Seeds' values, printed.
    seeds: Vec<String>,
    dots: Vec<String>,
    mean: Option<String>,
    /// Below or above the axis: `low`, `high`.
    beyond: Option<&'static str>,
    second: Vec<String>,
    more: Vec<String>,
}

/// An arm's worst group: its name, images, mean and interval.
#[derive(Serialize)]
struct WorstRow {
    arm: String,
    group: String,
    n: usize,
    mean: String,
    interval: String,
    of: usize,
}

pub(super) fn view(results: &Results) -> Vec<SettingTable> {
    results
        .settings
        .iter()
        .map(|(key, setting)| table(results, key, setting))
        .collect()
}

fn table(results: &Results, key: &str, setting: &Setting) -> SettingTable {
    let more = further_metrics(results, setting);
    let learnt = || setting.arms.iter().chain(&setting.oracle_tuned);
    let axis = axis(results, setting);
    let row = |(name, arm): (&str, &Arm)| arm_row(results, name, arm, &axis, &more);
    let trivial = results
        .trivial
        .iter()
        .map(|(name, metrics)| trivial_row(name, metrics, &axis, &more))
        .collect();
    SettingTable {
        title: words::setting(key),
        description: setting.description.clone().unwrap_or_default(),
        facts: facts(setting, learnt().map(|(_, arm)| arm)),
        notes: setting.notes.clone(),
        ticks: axis.ticks(|share| share * 100.0),
        arms: arms_in_order(&setting.arms).map(row).collect(),
        oracle: arms_in_order(&setting.oracle_tuned).map(row).collect(),
        trivial,
        worst: arms_in_order(&setting.arms).filter_map(worst_row).collect(),
        more: more.iter().map(|m| words::metric(m)).collect(),
    }
}

fn worst_row((name, arm): (&str, &Arm)) -> Option<WorstRow> {
    let worst = arm.worst_group.as_ref()?;
    let [low, high] = worst.ci95.map(|end| words::value(PRIMARY_METRIC, Some(end)));
    Some(WorstRow {
        arm: words::arm(name),
        group: weak::group(&worst.attribute, &worst.level),
        n: worst.n,
        mean: words::value(PRIMARY_METRIC, Some(worst.mean)),
        interval: format!("{low} to {high}"),
        of: worst.of,
    })
}

/// An axis on which the seeds of the arms can be told apart: predictors far away from them do not stretch it.
fn axis(results: &Results, setting: &Setting) -> Axis {
    let learnt: Vec<f64> = setting
        .arms
        .values()
        .chain(setting.oracle_tuned.values())
        .flat_map(|a| a.values(PRIMARY_METRIC).map(|(_, v)| v))
        .collect();
    let (lo, hi) = learnt.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| {
        (lo.min(*v), hi.max(*v))
    });
    let near = (hi - lo).max(0.02) * 1.5;
    let trivial = results.trivial.values().filter_map(|m| m.get(PRIMARY_METRIC).copied());
    let shown = trivial.filter(|v| learnt.is_empty() || (lo - near..=hi + near).contains(v));
    Axis::around(learnt.iter().copied().chain(shown), 3)
}

fn further_metrics(results: &Results, setting: &Setting) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    let learnt = setting
        .arms
        .values()
        .chain(setting.oracle_tuned.values())
        .flat_map(|a| &a.seeds)
        .map(|s| &s.test);
    for key in learnt.chain(results.trivial.values()).flat_map(|m| m.keys()) {
        if key != PRIMARY_METRIC && !SECOND.contains(&key.as_str()) && !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    keys
}

fn arm_row(results: &Results, name: &str, arm: &Arm, axis: &Axis, more: &[String]) -> Row {
    let values: Vec<f64> = arm.values(PRIMARY_METRIC).map(|(_, v)| v).collect();
    let mean = arm.mean(PRIMARY_METRIC);
    Row {
        name: words::arm(name),
        style: style_of(results, name),
        primary: words::value(PRIMARY_METRIC, mean),
        seeds: values.iter().map(|v| words::value(PRIMARY_METRIC, Some(*v))).collect(),
        dots: values.iter().map(|v| axis.percent(*v)).collect(),
        mean: mean.map(|v| axis.percent(v)),
        beyond: None,
        second: SECOND.iter().map(|m| words::value(m, arm.mean(m))).collect(),
        more: more.iter().map(|m| words::value(m, arm.mean(m))).collect(),
    }
}

fn trivial_row(name: &str, metrics: &Metrics, axis: &Axis, more: &[String]) -> Row {
    let of = |m: &str| metrics.get(m).copied();
    let value = of(PRIMARY_METRIC).filter(|v| v.is_finite());
    let (shown, beyond): (Vec<f64>, Vec<f64>) = value.iter().partition(|v| axis.shows(**v));
    Row {
        name: words::trivial(name),
        style: 0,
        primary: words::value(PRIMARY_METRIC, of(PRIMARY_METRIC)),
        seeds: Vec::new(),
        dots: shown.iter().map(|v| axis.percent(*v)).collect(),
        mean: None,
        beyond: beyond
            .first()
            .map(|v| if axis.share(*v) < 0.5 { "low" } else { "high" }),
        second: SECOND.iter().map(|m| words::value(m, of(m))).collect(),
        more: more.iter().map(|m| words::value(m, of(m))).collect(),
    }
}

fn facts<'a>(setting: &Setting, arms: impl Iterator<Item = &'a Arm>) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(s) = setting.sparsity.filter(|s| s.is_finite()) {
        facts.push(format!("pruned to sparsity {}", words::minus(format!("{s:.2}"))));
    }
    if let Some(htl) = &setting.htl {
        facts.push(format!(
            "{} of {} samples hard to learn ({})",
            htl.selected, htl.of, htl.selection
        ));
    }
    let mut steps: Vec<u64> = arms.filter_map(|a| a.gradient_steps).collect();
    steps.dedup();
    if let [only] = steps[..] {
        facts.push(format!("{only} gradient steps in every arm"));
    }
    facts
}

/// An arm's name, mark and meaning.
#[derive(Serialize, PartialEq)]
pub(super) struct Term {
    name: String,
    style: usize,
    note: String,
}

/// What the arms are, once for all settings.
pub(super) fn terms(results: &Results) -> Vec<Term> {
    let mut terms = Vec::new();
    let names = results
        .settings
        .values()
        .flat_map(|s| s.arms.keys().chain(s.oracle_tuned.keys()));
    for known in names.filter_map(|name| arm::named(name)) {
        let term = Term {
            name: known.label.to_owned(),
            style: style_of(results, known.key),
            note: known.about.to_owned(),
        };
        if !terms.contains(&term) {
            terms.push(term);
        }
    }
    terms
}
