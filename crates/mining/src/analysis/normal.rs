//! Distributions of the tests.

use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};

/// Quantile of the standard normal distribution that leaves 2.5 % above.
pub(crate) fn z95() -> f64 {
    Normal::standard().inverse_cdf(0.975)
}

/// Two-sided p of a standard normal statistic.
pub(crate) fn normal_p(z: f64) -> f64 {
    (2.0 * Normal::standard().sf(z.abs())).min(1.0)
}

/// Probability of a chi-square statistic at least as large.
pub(crate) fn chi_square_p(statistic: f64, freedom: usize) -> f64 {
    match ChiSquared::new(freedom as f64) {
        Ok(distribution) => distribution.sf(statistic.max(0.0)),
        Err(_) => 1.0,
    }
}

/// The argument in `[low, high]` at which a monotone function crosses zero, by bisection to the last bits.
pub(crate) fn bisect(mut low: f64, mut high: f64, function: impl Fn(f64) -> f64) -> f64 {
    let rising = function(low) <= function(high);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if (function(middle) < 0.0) == rising {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}
