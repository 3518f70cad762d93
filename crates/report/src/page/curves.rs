use htl_vocabulary::Results;
use indexmap::IndexMap;
use serde::Serialize;

use crate::summary::arms_in_order;
use crate::{CurvePoint, words};

use super::chart::{Chart, Entry, Frame};
use super::style_of;

/// More points than this along one line cannot be told apart; they are averaged in groups.
const MOST_POINTS: usize = 120;

#[derive(Serialize)]
pub(super) struct SettingCurves {
    title: String,
    charts: Vec<Chart>,
    legend: Vec<Entry>,
}

/// (step, value) along one seed's training.
type Series = Vec<(u64, f64)>;
/// Arm to seed to series.
type Arms<'a> = IndexMap<&'a str, IndexMap<u64, Series>>;

pub(super) fn view(results: &Results, points: &[CurvePoint]) -> Vec<SettingCurves> {
    let mut settings: IndexMap<&str, Vec<&CurvePoint>> = IndexMap::new();
    // In the order of the results, then whatever else there is.
    for key in results.settings.keys() {
        settings.insert(key, Vec::new());
    }
    for point in points {
        settings.entry(&point.setting).or_default().push(point);
    }
    settings
        .into_iter()
        .filter(|(_, points)| !points.is_empty())
        .map(|(key, points)| setting(results, key, &points))
        .collect()
}

fn setting(results: &Results, key: &str, points: &[&CurvePoint]) -> SettingCurves {
    let order: Vec<&str> = results
        .settings
        .get(key)
        .map_or_else(Vec::new, |s| arms_in_order(&s.arms).map(|(name, _)| name).collect());
    let mut charts = Vec::new();
    let mut measures: Vec<&str> = Vec::new();
    for point in points.iter().filter(|p| p.validation.is_some_and(f64::is_finite)) {
        if !measures.contains(&point.measure.as_str()) {
            measures.push(&point.measure);
        }
    }
    for measure in measures {
        let arms = series(&order, points, |p| p.validation.filter(|_| p.measure == measure));
        let name = if measure.is_empty() { "quality" } else { measure };
        charts.push(chart(results, format!("Validation {name}"), &arms, Some([0.0, 1.0])));
    }
    let losses = series(&order, points, |p| p.train_loss);
    if !losses.is_empty() {
        charts.push(chart(results, "Training loss".to_owned(), &losses, None));
    }
    let shown = series(&order, points, |p| p.validation.or(p.train_loss));
    let legend = shown
        .keys()
        .map(|arm| Entry {
            name: words::arm(arm),
            style: style_of(results, arm),
        })
        .collect();
    SettingCurves {
        title: words::setting(key),
        charts,
        legend,
    }
}

fn series<'a>(order: &[&'a str], points: &[&'a CurvePoint], value: impl Fn(&CurvePoint) -> Option<f64>) -> Arms<'a> {
    let mut arms: Arms = order.iter().map(|arm| (*arm, IndexMap::new())).collect();
    for point in points {
        if let Some(v) = value(point).filter(|v| v.is_finite()) {
            arms.entry(&point.arm)
                .or_default()
                .entry(point.seed)
                .or_default()
                .push((point.step, v));
        }
    }
    arms.retain(|_, seeds| !seeds.is_empty());
    for line in arms.values_mut().flat_map(IndexMap::values_mut) {
        line.sort_by_key(|(step, _)| *step);
        *line = thin(line);
    }
    arms
}

/// Averages groups of neighbours so that at most [`MOST_POINTS`] are left.
fn thin(line: &[(u64, f64)]) -> Series {
    let group = line.len().div_ceil(MOST_POINTS).max(1);
    let mean = |part: &[(u64, f64)]| part.iter().map(|(_, v)| v).sum::<f64>() / part.len() as f64;
    line.chunks(group)
        .filter_map(|part| Some((part.last()?.0, mean(part))))
        .collect()
}

/// Mean over seeds at the steps that every seed has.
fn mean_line(seeds: &IndexMap<u64, Series>) -> Series {
    let Some(first) = seeds.values().next() else {
        return Vec::new();
    };
    let at = |line: &Series, step: u64| line.iter().find(|(s, _)| *s == step).map(|(_, v)| *v);
    let mean = |step: u64| {
        let values: Option<Vec<f64>> = seeds.values().map(|line| at(line, step)).collect();
        values.map(|v| (step, v.iter().sum::<f64>() / v.len() as f64))
    };
    first.iter().filter_map(|(step, _)| mean(*step)).collect()
}

fn chart(results: &Results, title: String, arms: &Arms, range: Option<[f64; 2]>) -> Chart {
    let points = |line: &Series| -> Vec<(f64, f64)> { line.iter().map(|(step, v)| (*step as f64, *v)).collect() };
    let all: Vec<(f64, f64)> = arms.values().flat_map(IndexMap::values).flat_map(points).collect();
    let frame = Frame::around(all.into_iter(), range);
    let mut lines = Vec::new();
    let mut last = Vec::new();
    for (arm, seeds) in arms {
        let style = style_of(results, arm);
        if seeds.len() > 1 {
            lines.extend(seeds.values().map(|line| frame.line(&points(line), style, "seed")));
        }
    }
    for (arm, seeds) in arms {
        let mean = mean_line(seeds);
        if let Some((_, v)) = mean.last() {
            lines.push(frame.line(&points(&mean), style_of(results, arm), "mean"));
            last.push(format!("{} {}", words::arm(arm), words::minus(words::compact(*v))));
        }
    }
    let words = format!(
        "{title} over gradient steps. Last mean over seeds: {}.",
        last.join(", ")
    );
    frame.chart(title, words, "gradient steps", lines)
}
