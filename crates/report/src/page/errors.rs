//! Do the images that a score calls hard go wrong? Errors by tenth of the score.

use serde::Serialize;

use crate::axis::{Axis, Tick};
use crate::{ScoreErrors, words};

#[derive(Serialize)]
pub(super) struct Errors {
    score: String,
    images: usize,
    rho: String,
    ticks: Vec<Tick>,
    rows: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    lower: String,
    median: String,
    upper: String,
    value: String,
    range: String,
}

pub(super) fn view(errors: &ScoreErrors) -> Errors {
    let ends = errors.tenths.iter().flat_map(|tenth| [tenth.lower, tenth.upper]);
    let axis = Axis::around(ends.chain([0.0]), 4).within([0.0, 1.0]);
    let count = errors.tenths.len();
    let rows = errors.tenths.iter().enumerate().map(|(at, tenth)| Row {
        name: match at {
            0 => "lowest".to_owned(),
            last if last + 1 == count => "highest".to_owned(),
            _ => (at + 1).to_string(),
        },
        lower: axis.percent(tenth.lower),
        median: axis.percent(tenth.median),
        upper: axis.percent(tenth.upper),
        value: format!("{:.2}", tenth.median),
        range: format!("{:.2} to {:.2}", tenth.lower, tenth.upper),
    });
    Errors {
        score: words::score(&errors.score),
        images: errors.images,
        rho: words::two_decimals(errors.rho),
        ticks: axis.ticks(|share| share * 100.0),
        rows: rows.collect(),
    }
}
