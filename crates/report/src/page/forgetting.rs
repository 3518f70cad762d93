//! Who is forgotten first: agreement of networks with their pruned copies along the sparsities, by group.

use htl_mining::{Damage, HARD};
use htl_vocabulary::ForgettingRow;
use indexmap::IndexMap;
use serde::Serialize;

use super::chart::{Chart, Entry, Frame};
use crate::words;

/// Lines of more levels than this cannot be told apart; the levels with the most images are drawn.
const MOST_LINES: usize = 8;

/// One attribute's chart.
#[derive(Serialize)]
pub(super) struct Forgetting {
    chart: Chart,
    legend: Vec<Entry>,
}

/// A chart per attribute with at least two levels to be drawn, hard against other images first.
pub(super) fn view(rows: &[ForgettingRow]) -> Vec<Forgetting> {
    let damages = [Damage::PrunedRaw.key(), Damage::Pruned.key()];
    let mut attributes: IndexMap<(&str, &str), Vec<&ForgettingRow>> = IndexMap::new();
    for measure in ["iou", "classes"] {
        let of_measure = |row: &&ForgettingRow| row.measure == measure && row.agreement.is_some();
        let known = |damage: &&str| rows.iter().filter(of_measure).any(|row| row.damage == *damage);
        let Some(damage) = damages.into_iter().find(known) else {
            continue;
        };
        for row in rows.iter().filter(of_measure).filter(|row| row.damage == damage) {
            if !row.attribute.is_empty() {
                attributes.entry((measure, &row.attribute)).or_default().push(row);
            }
        }
    }
    let chart =
        |((measure, attribute), rows): ((&str, &str), Vec<&ForgettingRow>)| of_attribute(measure, attribute, &rows);
    attributes.into_iter().filter_map(chart).collect()
}

fn of_attribute(measure: &str, attribute: &str, rows: &[&ForgettingRow]) -> Option<Forgetting> {
    let mut levels: IndexMap<&str, Vec<&ForgettingRow>> = IndexMap::new();
    for row in rows {
        levels.entry(&row.level).or_default().push(row);
    }
    let images = |rows: &[&ForgettingRow]| rows.first().map_or(0, |row| row.n);
    let mut sizes: Vec<u64> = levels.values().map(|rows| images(rows)).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    let least = sizes.get(MOST_LINES).map_or(0, |next| next + 1);
    levels.retain(|_, rows| images(rows) >= least);
    if levels.len() < 2 {
        return None;
    }
    let points = |rows: &[&ForgettingRow]| -> Vec<(f64, f64)> {
        rows.iter()
            .filter_map(|row| Some((row.sparsity * 100.0, row.agreement?)))
            .collect()
    };
    let mut shown: Vec<(f64, f64)> = levels.values().flat_map(|rows| points(rows)).collect();
    // All charts of agreement have one scale, from 0 to 1.
    let start = shown.first().map_or(0.0, |(sparsity, _)| *sparsity);
    shown.extend([(start, 0.0), (start, 1.0)]);
    let frame = Frame::around(shown.into_iter(), Some([0.0, 1.0]));
    let lines = levels.values().enumerate();
    let lines = lines
        .map(|(style, rows)| frame.line(&points(rows), style, "mean"))
        .collect();
    let half = |rows: &[&ForgettingRow]| {
        rows.iter()
            .find(|row| row.agreement.is_some_and(|agreement| agreement < 0.5))
            .map_or_else(
                || "not under one half".to_owned(),
                |row| format!("under one half at {}", words::percent(Some(row.sparsity))),
            )
    };
    let said: Vec<String> = levels
        .iter()
        .map(|(level, rows)| format!("{} {}", words::level(level), half(rows)))
        .collect();
    let title = match (attribute, measure) {
        (HARD, "classes") => "Hard to learn or not, class probabilities".to_owned(),
        (HARD, _) => "Hard to learn or not".to_owned(),
        (_, "classes") => format!("{}, class probabilities", words::attribute(attribute)),
        _ => words::attribute(attribute),
    };
    let legend = levels.iter().enumerate().map(|(style, (level, rows))| Entry {
        name: format!("{} ({})", words::level(level), images(rows)),
        style,
    });
    let text = format!(
        "{title}: agreement with the pruned copies over the share of weights taken away. {}.",
        said.join("; ")
    );
    Some(Forgetting {
        chart: frame.chart(title, text, "% of the weights taken away", lines),
        legend: legend.collect(),
    })
}
