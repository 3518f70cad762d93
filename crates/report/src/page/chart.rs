//! A line chart: a frame with axes, and paths in it.

use serde::Serialize;

use crate::axis::{Axis, Tick};

/// The figure's own units; the browser scales them to the room there is.
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;

/// What the template draws.
#[derive(Serialize)]
pub(super) struct Chart {
    title: String,
    /// For those who cannot see the figure.
    words: String,
    x_label: &'static str,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    /// Those that lie under others first.
    lines: Vec<Line>,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    width: f64,
    height: f64,
}

/// A line of a chart.
#[derive(Serialize)]
pub(super) struct Line {
    style: usize,
    kind: &'static str,
    path: String,
}

/// A line's name in a legend.
#[derive(Serialize)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) style: usize,
}

/// The axes of a chart.
pub(super) struct Frame {
    x: Axis,
    y: Axis,
}

impl Frame {
    /// Axes that show all these points; `range` cuts the second one to the values that there can be.
    pub(super) fn around(points: impl Iterator<Item = (f64, f64)> + Clone, range: Option<[f64; 2]>) -> Self {
        let y = Axis::around(points.clone().map(|(_, y)| y), 4);
        Self {
            x: Axis::around(points.map(|(x, _)| x), 5),
            y: match range {
                Some(range) => y.within(range),
                None => y,
            },
        }
    }

    /// A line through points; a single one is a dot.
    pub(super) fn line(&self, points: &[(f64, f64)], style: usize, kind: &'static str) -> Line {
        let place = |(x, y): &(f64, f64)| {
            let (x, y) = (place_x(self.x.share(*x)), place_y(self.y.share(*y)));
            format!("{x:.1} {y:.1}")
        };
        let joined = points.iter().map(place).collect::<Vec<_>>().join("L");
        let single = points.len() == 1;
        Line {
            style,
            kind: if single { "dot" } else { kind },
            // A line of no length shows its round ends.
            path: format!("M{joined}{}", if single { "h0" } else { "" }),
        }
    }

    /// The chart with its lines.
    pub(super) fn chart(&self, title: String, words: String, x_label: &'static str, lines: Vec<Line>) -> Chart {
        Chart {
            title,
            words,
            x_label,
            x_ticks: self.x.ticks(place_x),
            y_ticks: self.y.ticks(place_y),
            lines,
            left: LEFT,
            right: WIDTH - RIGHT,
            top: TOP,
            bottom: HEIGHT - BOTTOM,
            width: WIDTH,
            height: HEIGHT,
        }
    }
}

fn place_x(share: f64) -> f64 {
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

fn place_y(share: f64) -> f64 {
    HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
}
