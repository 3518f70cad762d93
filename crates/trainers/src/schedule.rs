use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the learning rate changes over a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Up over the first 30 % of the steps and down to nothing, both along a cosine.
    #[default]
    OneCycle,
    /// Straight up over the first 5 % of the steps, then down to nothing along a cosine.
    Cosine,
    /// Straight up over the first 5 % of the steps, then down along the power 0.9 of what is left (Chen et al. 2018).
    Polynomial,
    /// Straight up over the first 5 % of the steps, then constant.
    Constant,
}

/// Share of the steps over which all schedules but one-cycle rise.
const WARM_UP: f64 = 0.05;

impl Schedule {
    /// The rate of a step, counted from 0, of so many.
    pub fn rate(self, step: usize, steps: usize, peak: f64) -> f64 {
        let warm_up = (WARM_UP * steps as f64).ceil().max(1.0);
        let risen = (step as f64 + 1.0) / warm_up;
        if self != Self::OneCycle && risen < 1.0 {
            return peak * risen;
        }
        let done = ((step as f64 + 1.0 - warm_up) / (steps as f64 - warm_up).max(1.0)).min(1.0);
        match self {
            Self::OneCycle => one_cycle(step, steps, peak),
            Self::Cosine => peak / 2.0 * (1.0 + (std::f64::consts::PI * done).cos()),
            Self::Polynomial => peak * (1.0 - done).powf(0.9),
            Self::Constant => peak,
        }
    }
}

/// One-cycle learning rate (Smith & Topin 2018, as `torch.optim.lr_scheduler.OneCycleLR` with cosine annealing):
/// from `peak / 25` up to `peak` over the first 30 % of the steps, then down to `peak / 250_000`.
///
/// `step` counts from 0; the result is the rate of that step.
pub fn one_cycle(step: usize, steps: usize, peak: f64) -> f64 {
    let (first, last) = (peak / 25.0, peak / 25.0 / 1e4);
    let top = (0.3 * steps as f64 - 1.0).max(0.0);
    let end = (steps as f64 - 1.0).max(1.0);
    let step = step as f64;
    let (from, to, share) = if step <= top {
        (first, peak, if top > 0.0 { step / top } else { 1.0 })
    } else {
        (peak, last, ((step - top) / (end - top).max(1e-9)).min(1.0))
    };
    to + (from - to) / 2.0 * (1.0 + (std::f64::consts::PI * share).cos())
}

/// Rises from 0 to 1 over the first `ramp` of the steps as exp(-5 (1 - t)^2) (Laine & Aila 2017), 1 afterwards.
pub fn ramp_up(step: usize, steps: usize, ramp: f64) -> f64 {
    let end = ramp * steps as f64;
    if end <= 0.0 || step as f64 >= end {
        return 1.0;
    }
    let left = 1.0 - step as f64 / end;
    (-5.0 * left * left).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of torch 2.x `OneCycleLR(max_lr=1e-3, total_steps=10)`.
    #[test]
    fn matches_torch() {
        let torch = [
            4e-5,
            5.2e-4,
            1e-3,
            9.504846e-4,
            8.117456e-4,
            6.112620e-4,
            3.887420e-4,
            1.882584e-4,
            4.951939e-5,
        ];
        for (step, want) in torch.iter().enumerate() {
            let got = one_cycle(step, 10, 1e-3);
            assert!(
                (got - want).abs() < 2e-9 + 1e-5 * want,
                "step {step}: {got} instead of {want}"
            );
        }
        assert!((one_cycle(9, 10, 1e-3) - 4e-9).abs() < 1e-12);
    }

    /// Each rises to the peak, and stays between nothing and it; what falls ends at nothing.
    #[test]
    fn schedules_rise_and_fall() {
        use Schedule::{Constant, Cosine, OneCycle, Polynomial};
        for schedule in [OneCycle, Cosine, Polynomial, Constant] {
            for steps in [1, 2, 7, 100, 1001] {
                let rates: Vec<f64> = (0..steps).map(|step| schedule.rate(step, steps, 0.5)).collect();
                assert!(
                    rates.iter().all(|rate| (0.0..=0.5 + 1e-12).contains(rate)),
                    "{schedule:?} {rates:?}"
                );
                let top = rates.iter().fold(0.0, |top: f64, rate| top.max(*rate));
                assert!(steps < 7 || (top - 0.5).abs() < 0.02, "{schedule:?} of {steps}: {top}");
                let last = rates[steps - 1];
                assert!(
                    steps < 7 || (schedule == Constant) == (last == 0.5),
                    "{schedule:?} of {steps}: {last}"
                );
                assert!(
                    steps < 7 || schedule == Constant || last < 1e-5,
                    "{schedule:?} of {steps}: {last}"
                );
            }
        }
        assert!((Cosine.rate(52, 100, 1.0) - 0.5).abs() < 0.02);
        assert!((Polynomial.rate(52, 100, 1.0) - 0.5f64.powf(0.9)).abs() < 0.02);
    }

    #[test]
    fn ramp_starts_near_zero_and_ends_at_one() {
        assert!(ramp_up(0, 100, 0.3) < 0.01);
        assert_eq!(ramp_up(30, 100, 0.3), 1.0);
        assert_eq!(ramp_up(0, 100, 0.0), 1.0);
    }
}
