//! Axes for figures drawn in percent of a box's width or in a figure's own units.

use serde::Serialize;

/// A linear axis with round ticks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    lo: f64,
    hi: f64,
    ticks: Vec<f64>,
    step: f64,
}

/// A tick ready for a template.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Tick {
    /// Position, with two decimals.
    pub at: String,
    pub label: String,
}

impl Axis {
    /// An axis that shows all finite values, with a margin, and about `wanted` ticks. Without a finite value: 0 to 1.
    pub fn around(values: impl IntoIterator<Item = f64>, wanted: usize) -> Self {
        let finite = values.into_iter().filter(|v| v.is_finite());
        let (mut lo, mut hi) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
        if lo > hi {
            (lo, hi) = (0.0, 1.0);
        }
        let size = hi.abs().max(lo.abs());
        if hi - lo <= size * 1e-9 {
            let half = if size > 0.0 { size * 0.05 } else { 0.5 };
            (lo, hi) = (lo - half, hi + half);
        }
        let margin = 0.04 * (hi - lo);
        Self::between(lo - margin, hi + margin, wanted)
    }

    /// The part of the axis within a range of possible values; the whole axis where they do not meet.
    pub fn within(self, [lowest, highest]: [f64; 2]) -> Self {
        let (lo, hi) = (self.lo.max(lowest), self.hi.min(highest));
        if lo >= hi {
            return self;
        }
        // Values are inside by a margin, which is what is cut.
        let ticks = self.ticks.into_iter().filter(|tick| (lo..=hi).contains(tick));
        Self {
            lo,
            hi,
            ticks: ticks.collect(),
            step: self.step,
        }
    }

    fn between(lo: f64, hi: f64, wanted: usize) -> Self {
        let step = round_step((hi - lo) / wanted.max(1) as f64);
        let (first, last) = ((lo / step).ceil() as i64, (hi / step).floor() as i64);
        let ticks = (first..=last).map(|k| k as f64 * step).collect();
        Self { lo, hi, ticks, step }
    }

    /// Where a value lies: 0 at the axis' start, 1 at its end; kept inside.
    pub fn share(&self, value: f64) -> f64 {
        ((value - self.lo) / (self.hi - self.lo)).clamp(0.0, 1.0)
    }

    /// Where a value lies, in percent with two decimals.
    pub fn percent(&self, value: f64) -> String {
        format!("{:.2}", 100.0 * self.share(value))
    }

    /// Whether the axis shows a value.
    pub fn shows(&self, value: f64) -> bool {
        (self.lo..=self.hi).contains(&value)
    }

    /// Ticks with positions from a function of the share, and labels with as few decimals as the step needs.
    pub fn ticks(&self, place: impl Fn(f64) -> f64) -> Vec<Tick> {
        let label = |v: f64| crate::words::minus(self.label(v));
        self.ticks
            .iter()
            .map(|&v| Tick {
                at: format!("{:.2}", place(self.share(v))),
                label: label(v),
            })
            .collect()
    }

    fn label(&self, value: f64) -> String {
        if self.step >= 1000.0 && value != 0.0 && value % 100.0 == 0.0 {
            return format!("{}k", value / 1000.0);
        }
        let decimals = (-self.step.log10().floor()).clamp(0.0, 6.0) as usize;
        format!("{value:.decimals$}")
    }
}

/// The 1, 2 or 5 times a power of ten nearest to a step.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let factor = match rough / power {
        f if f < 1.5 => 1.0,
        f if f < 3.5 => 2.0,
        f if f < 7.5 => 5.0,
        _ => 10.0,
    };
    factor * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks(|s| s).into_iter().map(|t| t.label).collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis::around([-0.8, 1.5], 5);
        assert_eq!(labels(&axis), ["−0.5", "0.0", "0.5", "1.0", "1.5"]);
        assert_eq!(labels(&Axis::around([0.0, 6000.0], 3)), ["0", "2k", "4k", "6k"]);
        assert!(
            axis.ticks(|s| s)
                .iter()
                .all(|t| (0.0..=1.0).contains(&t.at.parse::<f64>().unwrap()))
        );
    }

    #[test]
    fn impossible_values_are_cut() {
        let axis = Axis::around([0.0, 1.0], 4).within([0.0, 1.0]);
        assert_eq!((axis.share(0.0), axis.share(1.0)), (0.0, 1.0));
        assert_eq!(labels(&axis), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        let outside = Axis::around([3.0, 5.0], 4);
        assert_eq!(outside.clone().within([0.0, 1.0]), outside);
    }

    #[test]
    fn one_value_none_and_nan_still_give_an_axis() {
        for values in [vec![], vec![f64::NAN], vec![0.0], vec![0.7, 0.7], vec![f64::INFINITY]] {
            let axis = Axis::around(values.clone(), 4);
            assert!(labels(&axis).len() >= 2, "{values:?}: {axis:?}");
            assert!(axis.share(0.7).is_finite());
        }
    }
}
