use htl_mining::LEAST_SHOWN;
use indexmap::IndexMap;
use serde::Serialize;

use crate::axis::{Axis, Tick};
use crate::{Estimate, RateRow, RateTable, words};

#[derive(Serialize)]
pub(super) struct Rates {
    title: String,
    note: String,
    counted: String,
    ticks: Vec<Tick>,
    attributes: Vec<Attribute>,
    /// Any ratio, odds ratio or p at all.
    compared: bool,
}

#[derive(Serialize)]
struct Attribute {
    name: String,
    overall: Option<String>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    level: String,
    n: u64,
    htl: u64,
    rate: String,
    interval: String,
    mark: Option<Mark>,
    few: bool,
    difference: String,
    difference_interval: String,
    ratio: String,
    ratio_interval: String,
    odds: String,
    odds_interval: String,
    p: String,
    p_adjusted: String,
    /// The smallest odds ratio seen with a power of 80 %.
    detectable: String,
}

#[derive(Serialize)]
struct Mark {
    at: String,
    lo: String,
    hi: String,
}

pub(super) fn view(tables: &[RateTable]) -> Vec<Rates> {
    tables
        .iter()
        .filter(|table| !table.rows.is_empty())
        .map(rates)
        .collect()
}

fn rates(table: &RateTable) -> Rates {
    let ends = table
        .rows
        .iter()
        .filter_map(|r| r.rate)
        .flat_map(|r| [r.value, r.lo, r.hi]);
    let axis = Axis::around(ends.chain([0.0]).map(|v| v * 100.0), 3);
    let attributes = by_attribute(&table.rows).into_iter().map(|(key, rows)| {
        let (n, htl) = rows.iter().fold((0, 0), |(n, htl), r| (n + r.n, htl + r.htl));
        Attribute {
            name: words::attribute(key),
            overall: (n > 0).then(|| axis.percent(100.0 * htl as f64 / n as f64)),
            rows: rows.into_iter().map(|r| row(r, &axis)).collect(),
        }
    });
    Rates {
        title: table.title.clone(),
        note: table.note.clone(),
        counted: table.counted.clone(),
        ticks: axis.ticks(|share| share * 100.0),
        attributes: attributes.collect(),
        compared: table.rows.iter().any(|r| ratio(r).or(r.p).is_some_and(f64::is_finite)),
    }
}

fn by_attribute(rows: &[RateRow]) -> IndexMap<&str, Vec<&RateRow>> {
    let mut groups: IndexMap<&str, Vec<&RateRow>> = IndexMap::new();
    for row in rows {
        groups.entry(&row.attribute).or_default().push(row);
    }
    groups
}

/// How much more often a level is hard to learn than the others, by either ratio.
fn ratio(r: &RateRow) -> Option<f64> {
    r.rate_ratio.or(r.odds_ratio).map(|ratio| ratio.value)
}

fn row(r: &RateRow, axis: &Axis) -> Row {
    let at = |v: f64| axis.percent(v * 100.0);
    let mark = r.rate.filter(|rate| rate.value.is_finite()).map(|rate| {
        let end = |end: f64| at(if end.is_finite() { end } else { rate.value });
        Mark {
            at: at(rate.value),
            lo: end(rate.lo),
            hi: end(rate.hi),
        }
    });
    let printed = |estimate: Option<Estimate>, number: fn(Option<f64>) -> String| {
        let part = |of: fn(Estimate) -> f64| number(estimate.map(of));
        (part(|e| e.value), span(part(|e| e.lo), part(|e| e.hi)))
    };
    let (rate, interval) = printed(r.rate, words::percent);
    let (difference, difference_interval) = printed(r.risk_difference, words::percent);
    let (ratio, ratio_interval) = printed(r.rate_ratio, words::ratio);
    let (odds, odds_interval) = printed(r.odds_ratio, words::ratio);
    Row {
        level: level(&r.level),
        n: r.n,
        htl: r.htl,
        rate,
        interval,
        mark,
        few: r.n < LEAST_SHOWN,
        difference,
        difference_interval,
        ratio,
        ratio_interval,
        odds,
        odds_interval,
        p: words::p(r.p),
        p_adjusted: words::p(r.p_adjusted),
        detectable: words::ratio(r.detectable_odds_ratio),
    }
}

fn level(name: &str) -> String {
    if name.trim().is_empty() {
        "not stated".to_owned()
    } else {
        words::level(name)
    }
}

fn span(lo: String, hi: String) -> String {
    match (lo.as_str(), hi.as_str()) {
        (words::UNDEFINED, words::UNDEFINED) => words::UNDEFINED.to_owned(),
        _ => format!("{} to {hi}", lo.trim_end_matches("\u{a0}%")),
    }
}

/// Which groups are hard more often than others, if the adjusted p allows to say so.
pub(super) fn sentences(tables: &[RateTable]) -> Vec<String> {
    tables
        .iter()
        .filter(|t| t.rows.iter().any(|r| r.n > 0))
        .map(sentence)
        .collect()
}

fn sentence(table: &RateTable) -> String {
    let start = if table.title.is_empty() {
        String::new()
    } else {
        format!("{}: ", table.title)
    };
    let counted = &table.counted;
    let tested = || table.rows.iter().filter(|r| r.p_adjusted.is_some_and(f64::is_finite));
    let describe = |r: &RateRow| {
        let (name, rate) = (
            words::attribute_in_sentence(&r.attribute),
            words::percent(r.rate.map(|rate| rate.value)),
        );
        format!("{name} {} ({} of {}, {rate})", level(&r.level), r.htl, r.n)
    };
    let apart: Vec<&RateRow> = tested().filter(|r| r.p_adjusted.is_some_and(|p| p < 0.05)).collect();
    if tested().next().is_none() {
        return format!("{start}rates of {counted} are described without a test.");
    }
    if apart.is_empty() {
        return format!(
            "{start}no group is shown to have more or fewer {counted} than the others (all adjusted p\u{a0}≥ 0.05)."
        );
    }
    let side = |more: bool| {
        let of = apart
            .iter()
            .filter(|r| ratio(r).is_some_and(|x| x.is_finite() && (x > 1.0) == more));
        of.map(|r| describe(r)).collect::<Vec<_>>().join(", ")
    };
    let groups = [("more", side(true)), ("fewer", side(false))];
    let parts = groups.iter().filter(|(_, list)| !list.is_empty());
    let parts: Vec<String> = parts
        .map(|(word, list)| format!("{word} {counted} than elsewhere: {list}"))
        .collect();
    if parts.is_empty() {
        return format!("{start}{} groups differ from the others; see the table.", apart.len());
    }
    format!("{start}{}.", parts.join("; "))
}
