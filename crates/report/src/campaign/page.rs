use htl_vocabulary::campaign::{CampaignFile, Role};
use minijinja::Value;
use serde::Serialize;

use super::CampaignRow;
use super::lines::Line;
use super::markdown::{facts, title};
use crate::axis::{Axis, Tick};
use crate::page::{fill, style};
use crate::{ReportError, words};

const TEMPLATE: &str = concat!(
    include_str!("../../templates/marks.html"),
    include_str!("../../templates/campaign.html")
);

/// What the template sees.
#[derive(Serialize)]
struct Page<'a> {
    style: Value,
    name: &'a str,
    setting: String,
    data: &'a str,
    parts: Vec<Part>,
}

/// A phase of a scenario.
#[derive(Serialize)]
struct Part {
    anchor: String,
    title: String,
    facts: String,
    grouped: bool,
    ticks: Vec<Tick>,
    zero: String,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    line: Line,
    style: usize,
    mark: Option<Mark>,
}

/// Positions of a gain in percent.
#[derive(Serialize)]
struct Mark {
    lo: String,
    hi: String,
    mean: String,
}

pub(super) fn page(campaign: &CampaignFile, rows: &[CampaignRow]) -> Result<String, ReportError> {
    let mut parts = Vec::new();
    for phase in &campaign.phases {
        for scenario in &phase.scenarios {
            let name = phase.phase.name();
            let of_part = |row: &&CampaignRow| row.phase == name && row.scenario == scenario.name;
            let rows: Vec<&CampaignRow> = rows.iter().filter(of_part).collect();
            let ends = rows
                .iter()
                .flat_map(|row| [row.gain, row.gain_lo, row.gain_hi])
                .flatten();
            let axis = Axis::around(
                ends.filter(|end| end.is_finite()).map(|end| end * 100.0).chain([0.0]),
                6,
            );
            parts.push(Part {
                anchor: format!("{name}-{}", scenario.name),
                title: title(phase, scenario),
                facts: facts(scenario, &rows),
                grouped: scenario.group.is_some(),
                ticks: axis.ticks(|share| share * 100.0),
                zero: axis.percent(0.0),
                rows: rows.into_iter().map(|row| of_row(row, &axis)).collect(),
            });
        }
    }
    fill(
        TEMPLATE,
        Page {
            style: style(),
            name: &campaign.name,
            setting: words::setting(&campaign.setting),
            data: &campaign.data,
            parts,
        },
    )
}

fn of_row(row: &CampaignRow, axis: &Axis) -> Row {
    let at = |value: f64| axis.percent(value * 100.0);
    let interval = row
        .gain_lo
        .zip(row.gain_hi)
        .filter(|(lo, hi)| lo.is_finite() && hi.is_finite());
    let mark = row.gain.zip(interval).map(|(mean, (lo, hi))| Mark {
        lo: at(lo),
        hi: at(hi),
        mean: at(mean),
    });
    Row {
        line: Line::of(row),
        style: style_of(&row.role),
        mark,
    }
}

/// A colour and mark by what an arm is there for.
fn style_of(role: &str) -> usize {
    let roles = [
        Role::Baseline,
        Role::Form,
        Role::Control,
        Role::Ceiling,
        Role::Reference,
    ];
    roles.iter().position(|known| known.name() == role).unwrap_or(0)
}
