use statrs::distribution::{ContinuousCDF, Normal};

use super::normal::{bisect, z95};

/// The smallest difference that a comparison can be expected to show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detectable {
    /// As a difference of rates, in (0, 1).
    pub risk_difference: f64,
    /// As an odds ratio, above 1.
    pub odds_ratio: f64,
}

/// Probability that a two-sided test of two proportions at .05 finds `p1` and `p2` different.
///
/// Matches `statsmodels.stats.proportion.power_proportions_2indep`.
pub fn power(p1: f64, n1: f64, p2: f64, n2: f64) -> f64 {
    let ratio = n2 / n1;
    let pooled = (p1 + p2 * ratio) / (1.0 + ratio);
    let null = (pooled * (1.0 - pooled) * (1.0 + 1.0 / ratio)).sqrt();
    let alternative = (p1 * (1.0 - p1) + p2 * (1.0 - p2) / ratio).sqrt();
    if alternative == 0.0 {
        return if p1 == p2 { 0.0 } else { 1.0 };
    }
    let normal = Normal::standard();
    let (edge, shift) = (z95() * null / alternative, (p1 - p2) * n1.sqrt() / alternative);
    normal.sf(edge - shift) + normal.cdf(-edge - shift)
}

/// The smallest rate above `outside_rate` in a group of `group` images that one two-sided test at .05 against `outside`
/// images finds with a probability of 80 %. `None` if not even a rate of 1 would be found, or there is no rate to start
/// from.
pub fn detectable(group: u64, outside: u64, outside_rate: f64) -> Option<Detectable> {
    let (n1, n2) = (group as f64, outside as f64);
    if group == 0 || outside == 0 || !(0.0..1.0).contains(&outside_rate) {
        return None;
    }
    let missing = |rate: f64| power(rate, n1, outside_rate, n2) - 0.8;
    // Just under 1, where the odds are still a number.
    let most = 1.0 - 1e-9;
    if most <= outside_rate || missing(most) < 0.0 {
        return None;
    }
    let rate = bisect(outside_rate, most, missing);
    let odds = |rate: f64| rate / (1.0 - rate);
    Some(Detectable {
        risk_difference: rate - outside_rate,
        odds_ratio: odds(rate) / odds(outside_rate),
    })
}
