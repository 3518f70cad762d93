use htl_vocabulary::results::{Gain, PRIMARY_METRIC, Results, Setting, comparison_arms, comparison_key};
use serde::Serialize;

use crate::axis::{Axis, Tick};
use crate::summary::{self, Verdict};
use crate::{weak, words};

use super::style_of;

#[derive(Serialize)]
pub(super) struct Forest {
    metric: String,
    unit: &'static str,
    ticks: Vec<Tick>,
    zero: String,
    groups: Vec<Group>,
    /// The comparisons declared before the run.
    declared: Vec<Declared>,
    /// Every metric's gains, as a table.
    table: Vec<TableRow>,
}

#[derive(Serialize)]
struct Group {
    title: String,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    label: String,
    style: usize,
    /// Whether it was declared before the run.
    primary: bool,
    /// Positions in percent; `None` where the gain is undefined.
    mark: Option<Mark>,
    change: String,
    interval: String,
    verdict: &'static str,
    class: &'static str,
}

#[derive(Serialize)]
struct Mark {
    lo: String,
    hi: String,
    mean: String,
}

#[derive(Serialize)]
struct Declared {
    setting: String,
    comparison: String,
    metric: String,
    change: String,
    interval: String,
    p: String,
    p_holm: String,
    verdict: &'static str,
    class: &'static str,
}

#[derive(Serialize)]
struct TableRow {
    setting: String,
    comparison: String,
    metric: String,
    change: String,
    interval: String,
    bootstrap: String,
    p: String,
    seeds: String,
    verdict: &'static str,
}

pub(super) fn view(results: &Results) -> Forest {
    let primary = || {
        results.settings.iter().flat_map(|(key, setting)| {
            setting
                .gain
                .iter()
                .filter_map(move |(pair, gains)| Some((key, pair, gains.get(PRIMARY_METRIC)?)))
        })
    };
    let points = |v: f64| v * 100.0;
    let ends = primary()
        .flat_map(|(_, _, g)| [g.ci95[0], g.ci95[1], g.mean])
        .map(points);
    let axis = Axis::around(ends.chain([0.0]), 6);
    let mut groups: Vec<Group> = Vec::new();
    for (key, setting) in &results.settings {
        let rows: Vec<Row> = primary()
            .filter(|(k, _, _)| *k == key)
            .map(|(_, pair, gain)| row(results, setting, pair, gain, &axis))
            .collect();
        if !rows.is_empty() {
            groups.push(Group {
                title: words::setting(key),
                rows,
            });
        }
    }
    Forest {
        metric: words::metric(PRIMARY_METRIC),
        unit: words::points(PRIMARY_METRIC).trim(),
        ticks: axis.ticks(|share| share * 100.0),
        zero: axis.percent(0.0),
        groups,
        declared: declared(results),
        table: table(results),
    }
}

/// `HTL attention vs random attention`: the second name in lower case, unless it is an abbreviation.
pub(super) fn comparison(pair: &str) -> String {
    let Some((a, b)) = comparison_arms(pair) else {
        return words::spell(pair);
    };
    let (a, b) = (words::arm(a), words::arm(b));
    let abbreviated = b.chars().take(2).all(char::is_uppercase);
    let mut letters = b.chars();
    let lower = letters
        .next()
        .map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect());
    format!("{a} vs {}", if abbreviated { b } else { lower })
}

fn row(results: &Results, setting: &Setting, pair: &str, gain: &Gain, axis: &Axis) -> Row {
    let seeds = summary::seeds_of(setting, pair, gain);
    let verdict = summary::verdict_of(setting, pair, PRIMARY_METRIC, gain);
    let at = |v: f64| axis.percent(v * 100.0);
    let mark = (verdict != Verdict::Undefined).then(|| Mark {
        lo: at(gain.ci95[0]),
        hi: at(gain.ci95[1]),
        mean: at(gain.mean),
    });
    Row {
        label: comparison(pair),
        style: comparison_arms(pair).map_or(0, |(a, _)| style_of(results, a)),
        primary: summary::primary(setting, pair, PRIMARY_METRIC).is_some(),
        mark,
        change: words::difference(PRIMARY_METRIC, gain.mean),
        interval: words::interval(PRIMARY_METRIC, gain.ci95),
        verdict: if seeds == 1 && verdict == Verdict::Descriptive {
            "One seed"
        } else {
            verdict.label()
        },
        class: verdict.class(),
    }
}

fn declared(results: &Results) -> Vec<Declared> {
    let of = |(key, setting): (&String, &Setting)| {
        let primary = setting.primary.as_ref()?;
        let (contrast, gain) = (&primary.contrast, &primary.gain);
        let verdict = weak::verdict(&contrast.metric, gain, primary.p_holm);
        Some(Declared {
            setting: words::setting(key),
            comparison: comparison(&comparison_key(&contrast.method, &contrast.control)),
            metric: words::metric(&contrast.metric),
            change: words::difference(&contrast.metric, gain.mean),
            interval: words::interval(&contrast.metric, gain.ci95),
            p: words::p(gain.p),
            p_holm: words::p(primary.p_holm),
            verdict: verdict.label(),
            class: verdict.class(),
        })
    };
    results.settings.iter().filter_map(of).collect()
}

fn table(results: &Results) -> Vec<TableRow> {
    let mut rows = Vec::new();
    for (key, setting) in &results.settings {
        for (pair, gains) in &setting.gain {
            for (metric, gain) in gains {
                let unit = words::points(metric);
                rows.push(TableRow {
                    setting: words::setting(key),
                    comparison: comparison(pair),
                    metric: if unit.is_empty() {
                        words::metric(metric)
                    } else {
                        format!("{},{unit}", words::metric(metric))
                    },
                    change: words::difference(metric, gain.mean),
                    interval: words::interval(metric, gain.ci95),
                    bootstrap: gain
                        .bootstrap_ci95
                        .map_or_else(|| words::UNDEFINED.to_owned(), |ends| words::interval(metric, ends)),
                    p: words::p(gain.p),
                    seeds: summary::seeds_of(setting, pair, gain).to_string(),
                    verdict: summary::verdict_of(setting, pair, metric, gain).label(),
                });
            }
        }
    }
    rows
}
