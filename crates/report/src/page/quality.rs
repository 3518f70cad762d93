//! How well each group is localized: per arm a figure and a table, what arms gain on each group, and a map of crossed groups.

use htl_mining::GROUP_METRICS;
use htl_vocabulary::PerformanceRow;
use indexmap::IndexMap;
use serde::Serialize;

use crate::axis::{Axis, Tick};
use crate::{QualityTable, words};

/// The metric of figures and maps.
const SHOWN: &str = "jaccard";
/// Steps of colour of a map.
const STEPS: f64 = 6.0;
/// Maps with fewer cells say no more than the table.
const FEWEST_CELLS: usize = 4;
/// So many maps are shown, those whose cells differ most.
const MAPS: usize = 6;

/// Quality by group of one setting.
#[derive(Serialize)]
pub(super) struct Quality {
    title: String,
    parts: Vec<Part>,
    maps: Vec<Map>,
    /// Whether intervals describe these networks only.
    descriptive: bool,
}

/// An arm, or what one gains over another.
#[derive(Serialize)]
struct Part {
    title: String,
    unit: &'static str,
    ticks: Vec<Tick>,
    zero: Option<String>,
    metrics: Vec<&'static str>,
    attributes: Vec<Attribute>,
}

#[derive(Serialize)]
struct Attribute {
    name: String,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    level: String,
    n: u64,
    few: bool,
    mark: Option<Mark>,
    value: String,
    interval: String,
    gap: String,
    gap_interval: String,
    p_adjusted: String,
    /// The metrics, in the order of the part's.
    values: Vec<String>,
}

#[derive(Serialize)]
struct Mark {
    at: String,
    lo: String,
    hi: String,
}

/// Two attributes crossed.
#[derive(Serialize)]
struct Map {
    title: String,
    columns: Vec<String>,
    rows: Vec<MapRow>,
}

#[derive(Serialize)]
struct MapRow {
    name: String,
    cells: Vec<Cell>,
}

#[derive(Serialize)]
struct Cell {
    value: String,
    n: Option<u64>,
    /// 0 (lowest) to 6 (highest); none where too few images are in it.
    step: Option<u8>,
}

pub(super) fn view(tables: &[QualityTable]) -> Vec<Quality> {
    tables
        .iter()
        .filter(|table| !table.rows.is_empty())
        .map(of_setting)
        .collect()
}

fn of_setting(table: &QualityTable) -> Quality {
    let rows = &table.rows;
    let crossed = |row: &PerformanceRow| row.attribute.contains(" x ");
    let mut parts: IndexMap<(&str, &str), Vec<&PerformanceRow>> = IndexMap::new();
    for row in rows.iter().filter(|row| !crossed(row)) {
        parts.entry((&row.arm, &row.against)).or_default().push(row);
    }
    let first = rows.first().map(|row| row.arm.as_str()).unwrap_or_default();
    let of_first =
        |row: &&PerformanceRow| crossed(row) && row.arm == first && row.metric == SHOWN && row.against.is_empty();
    Quality {
        title: table.title.clone(),
        parts: parts
            .into_iter()
            .map(|((arm, against), rows)| part(arm, against, &rows))
            .collect(),
        maps: maps(&rows.iter().filter(of_first).collect::<Vec<_>>()),
        descriptive: rows.iter().any(|row| row.reading == "descriptive"),
    }
}

fn part(arm: &str, against: &str, rows: &[&PerformanceRow]) -> Part {
    let shown: Vec<&&PerformanceRow> = rows.iter().filter(|row| row.metric == SHOWN).collect();
    let gain = !against.is_empty();
    let ends = shown.iter().flat_map(|row| [row.value, row.lo, row.hi]).flatten();
    let axis = Axis::around(ends.chain(gain.then_some(0.0)).map(|value| value * 100.0), 3);
    let metrics: Vec<&htl_mining::GroupMetric> = GROUP_METRICS
        .iter()
        .filter(|metric| rows.iter().any(|row| row.metric == metric.key))
        .collect();
    let mut attributes: IndexMap<&str, Vec<&PerformanceRow>> = IndexMap::new();
    for row in shown {
        attributes.entry(&row.attribute).or_default().push(row);
    }
    let title = if gain {
        format!(
            "What {} gains over {}",
            words::arm_in_sentence(arm),
            words::arm_in_sentence(against)
        )
    } else {
        words::arm(arm)
    };
    let attribute = |(key, of): (&str, Vec<&PerformanceRow>)| Attribute {
        name: words::attribute(key),
        rows: of
            .into_iter()
            .map(|shown| row(shown, rows, &metrics, &axis, gain))
            .collect(),
    };
    Part {
        title,
        unit: if gain { "points of Jaccard" } else { "Jaccard in %" },
        ticks: axis.ticks(|share| share * 100.0),
        zero: gain.then(|| axis.percent(0.0)),
        metrics: metrics.iter().map(|metric| metric.label).collect(),
        attributes: attributes.into_iter().map(attribute).collect(),
    }
}

fn row(
    shown: &PerformanceRow,
    all: &[&PerformanceRow],
    metrics: &[&htl_mining::GroupMetric],
    axis: &Axis,
    gain: bool,
) -> Row {
    let at = |value: f64| axis.percent(value * 100.0);
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
    let mark = finite(shown.value).map(|value| Mark {
        at: at(value),
        lo: at(finite(shown.lo).unwrap_or(value)),
        hi: at(finite(shown.hi).unwrap_or(value)),
    });
    let print = |value: Option<f64>| match finite(value) {
        None => words::UNDEFINED.to_owned(),
        Some(value) if gain => words::difference(SHOWN, value),
        Some(value) => words::value(SHOWN, Some(value)),
    };
    let span = |lo: Option<f64>, hi: Option<f64>, print: &dyn Fn(Option<f64>) -> String| match (finite(lo), finite(hi))
    {
        (Some(lo), Some(hi)) => format!("{} to {}", print(Some(lo)), print(Some(hi))),
        _ => words::UNDEFINED.to_owned(),
    };
    let points =
        |value: Option<f64>| finite(value).map_or_else(|| words::UNDEFINED.to_owned(), |v| words::difference(SHOWN, v));
    let of_metric = |metric: &&htl_mining::GroupMetric| {
        let same = |row: &&&PerformanceRow| {
            row.metric == metric.key && row.attribute == shown.attribute && row.level == shown.level
        };
        print(all.iter().find(same).and_then(|row| row.value))
    };
    Row {
        level: words::level(&shown.level),
        n: shown.n,
        few: shown.value.is_none(),
        mark,
        value: print(shown.value),
        interval: span(shown.lo, shown.hi, &print),
        gap: points(shown.gap),
        gap_interval: span(shown.gap_lo, shown.gap_hi, &points),
        p_adjusted: words::p(shown.p_adjusted),
        values: metrics.iter().map(of_metric).collect(),
    }
}

/// The maps whose cells lie furthest apart.
fn maps(rows: &[&PerformanceRow]) -> Vec<Map> {
    let mut pairs: IndexMap<&str, Vec<&PerformanceRow>> = IndexMap::new();
    for row in rows {
        pairs.entry(&row.attribute).or_default().push(row);
    }
    let known = |rows: &[&PerformanceRow]| -> Vec<f64> {
        rows.iter()
            .filter_map(|row| row.value)
            .filter(|value| value.is_finite())
            .collect()
    };
    let range = |values: &[f64]| {
        let ends = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| {
            (lo.min(*v), hi.max(*v))
        });
        if ends.0 <= ends.1 { ends } else { (0.0, 0.0) }
    };
    let mut all: Vec<(f64, Map)> = pairs
        .into_iter()
        .filter_map(|(pair, rows)| {
            let values = known(&rows);
            let (lo, hi) = range(&values);
            let (first, second) = pair.split_once(" x ")?;
            (values.len() >= FEWEST_CELLS).then(|| (hi - lo, map([first, second], &rows, (lo, hi))))
        })
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.into_iter().take(MAPS).map(|(_, map)| map).collect()
}

fn map([first, second]: [&str; 2], rows: &[&PerformanceRow], (lo, hi): (f64, f64)) -> Map {
    let mut lines: IndexMap<&str, IndexMap<&str, &PerformanceRow>> = IndexMap::new();
    let mut columns: Vec<&str> = Vec::new();
    for row in rows {
        let Some((a, b)) = row.level.split_once(", ") else {
            continue;
        };
        lines.entry(a).or_default().insert(b, row);
        if !columns.contains(&b) {
            columns.push(b);
        }
    }
    let cell = |row: Option<&&PerformanceRow>| {
        let value = row.and_then(|row| row.value).filter(|value| value.is_finite());
        let step = |value: f64| {
            if hi > lo {
                ((value - lo) / (hi - lo) * STEPS).round() as u8
            } else {
                0
            }
        };
        Cell {
            value: words::value(SHOWN, value),
            n: row.map(|row| row.n),
            step: value.map(step),
        }
    };
    Map {
        title: format!(
            "{} and {}",
            words::attribute(first),
            words::attribute_in_sentence(second)
        ),
        rows: lines
            .iter()
            .map(|(name, cells)| MapRow {
                name: words::level(name),
                cells: columns.iter().map(|column| cell(cells.get(column))).collect(),
            })
            .collect(),
        columns: columns.into_iter().map(words::level).collect(),
    }
}

/// The group of each arm's own quality that lies furthest below the others, where the adjusted p allows to say so.
pub(super) fn sentences(tables: &[QualityTable]) -> Vec<String> {
    tables
        .iter()
        .flat_map(|table| sentences_of(&table.title, &table.rows))
        .collect()
}

fn sentences_of(title: &str, rows: &[PerformanceRow]) -> Vec<String> {
    let clear = |row: &&PerformanceRow| {
        row.metric == SHOWN
            && !row.attribute.contains(" x ")
            && row.p_adjusted.is_some_and(|p| p < 0.05)
            && row.gap.is_some_and(f64::is_finite)
    };
    let mut found: Vec<&PerformanceRow> = rows.iter().filter(clear).collect();
    found.sort_by(|a, b| a.gap.unwrap_or(0.0).total_cmp(&b.gap.unwrap_or(0.0)));
    let name = |row: &PerformanceRow| {
        format!(
            "{} {}",
            words::attribute_in_sentence(&row.attribute),
            words::level(&row.level)
        )
    };
    let gap = |row: &PerformanceRow| words::difference(SHOWN, row.gap.unwrap_or(f64::NAN));
    let below = found
        .iter()
        .find(|row| row.against.is_empty() && row.gap.is_some_and(|gap| gap < 0.0));
    let changed = found.iter().filter(|row| !row.against.is_empty());
    let mut sentences: Vec<String> = below
        .map(|row| {
            format!(
                "{title}: {} is furthest below for {} ({} points against all other images, {} images).",
                words::arm_in_sentence(&row.arm),
                name(row),
                gap(row),
                row.n
            )
        })
        .into_iter()
        .collect();
    sentences.extend(changed.map(|row| {
        format!(
            "{title}: against {}, {} changes the gap of {} by {} points.",
            words::arm_in_sentence(&row.against),
            words::arm_in_sentence(&row.arm),
            name(row),
            gap(row)
        )
    }));
    sentences
}
