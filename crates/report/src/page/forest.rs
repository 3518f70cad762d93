use htl_vocabulary::results::{Gain, PRIMARY_METRIC, Results, comparison_arms};
use serde::Serialize;

use crate::axis::{Axis, Tick};
use crate::summary::{self, Verdict};
use crate::words;

use super::style_of;

#[derive(Serialize)]
pub(super) struct Forest {
    metric: String,
    unit: &'static str,
    ticks: Vec<Tick>,
    zero: String,
    groups: Vec<Group>,
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
struct TableRow {
    setting: String,
    comparison: String,
    metric: String,
    change: String,
    interval: String,
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
            .map(|(_, pair, gain)| row(results, pair, gain, &axis, summary::seeds_of(setting, pair, gain)))
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
        table: table(results),
    }
}

/// `HTL attention vs random attention`: the second name in lower case, unless it is an abbreviation.
fn comparison(pair: &str) -> String {
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

fn row(results: &Results, pair: &str, gain: &Gain, axis: &Axis, seeds: usize) -> Row {
    let verdict = Verdict::of(PRIMARY_METRIC, gain);
    let at = |v: f64| axis.percent(v * 100.0);
    let mark = (verdict != Verdict::Undefined).then(|| Mark {
        lo: at(gain.ci95[0]),
        hi: at(gain.ci95[1]),
        mean: at(gain.mean),
    });
    Row {
        label: comparison(pair),
        style: comparison_arms(pair).map_or(0, |(a, _)| style_of(results, a)),
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
                    p: words::p(gain.p),
                    seeds: summary::seeds_of(setting, pair, gain).to_string(),
                    verdict: Verdict::of(metric, gain).label(),
                });
            }
        }
    }
    rows
}
