use htl_vocabulary::results::PRIMARY_METRIC;
use serde::Serialize;

use super::CampaignRow;
use crate::words;

/// A row as it is printed.
#[derive(Serialize)]
pub(super) struct Line {
    pub arm: String,
    pub role: String,
    pub rank: String,
    pub jaccard: String,
    pub gain: Effect,
    pub over_control: Effect,
    /// The control that this is over.
    pub control: String,
    pub p_holm: String,
    pub ceiling_share: String,
    pub group: Effect,
    pub rest: Effect,
    pub worst: Effect,
    pub cost: String,
}

/// A gain and its interval, in points.
#[derive(Serialize)]
pub(super) struct Effect {
    pub change: String,
    pub interval: String,
}

impl Effect {
    fn of(mean: Option<f64>, lo: Option<f64>, hi: Option<f64>) -> Self {
        let change = mean.map(|mean| words::difference(PRIMARY_METRIC, mean));
        let interval = lo.zip(hi).map(|(lo, hi)| words::interval(PRIMARY_METRIC, [lo, hi]));
        Self {
            change: change.unwrap_or_else(|| words::UNDEFINED.into()),
            interval: interval.unwrap_or_default(),
        }
    }

    /// In one cell.
    pub fn cell(&self) -> String {
        match self.interval.as_str() {
            "" => self.change.clone(),
            interval => format!("{} ({interval})", self.change),
        }
    }
}

impl Line {
    pub fn of(row: &CampaignRow) -> Self {
        let own_name = |control: &str| {
            let own = control
                .strip_prefix(row.arm.as_str())
                .and_then(|rest| rest.strip_prefix('.'));
            own.unwrap_or(control).to_owned()
        };
        Self {
            arm: row.arm.clone(),
            role: words::capital(&row.role),
            rank: row.rank.map_or_else(String::new, |rank| rank.to_string()),
            jaccard: words::value(PRIMARY_METRIC, Some(row.jaccard)),
            gain: Effect::of(row.gain, row.gain_lo, row.gain_hi),
            over_control: Effect::of(row.over_control, row.over_control_lo, row.over_control_hi),
            control: row.control.as_deref().map(own_name).unwrap_or_default(),
            p_holm: words::p(row.over_control_p_holm),
            ceiling_share: words::two_decimals(row.ceiling_share),
            group: Effect::of(row.group_gain, row.group_gain_lo, row.group_gain_hi),
            rest: Effect::of(row.rest_gain, row.rest_gain_lo, row.rest_gain_hi),
            worst: Effect::of(row.worst_gain, row.worst_gain_lo, row.worst_gain_hi),
            cost: cost(row),
        }
    }
}

/// Images seen by a network and, after a plus, by all networks behind its scores; where labels were bought, how many, of which
/// size.
fn cost(row: &CampaignRow) -> String {
    let seen = match row.mining_image_steps {
        0 => row.image_steps.to_string(),
        mining => format!("{} + {mining}", row.image_steps),
    };
    let (Some(labels), Some(area), Some(outline)) = (row.labels, row.label_area, row.label_outline) else {
        return seen;
    };
    format!(
        "{seen}; {labels:.0} labels bought, lesions of {:.1} % with outlines of {outline:.2} diagonals",
        100.0 * area
    )
}
