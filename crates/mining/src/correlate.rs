use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::error::{MiningError, Result};

/// A rank correlation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// Pairs in which both values are known.
    pub n: usize,
    /// Spearman's rho, in [-1, 1].
    pub rho: f64,
    /// Two-sided p by the t distribution with n - 2 degrees of freedom; needs a few dozen pairs to be right. `None`
    /// with two pairs.
    pub p: Option<f64>,
}

/// Spearman's rank correlation of the pairs in which both values are known; ties share their mean rank. `None` with
/// fewer than two pairs or if either side is constant.
///
/// Matches `scipy.stats.spearmanr`.
///
/// # Errors
/// [`MiningError::Length`] if the lists differ in length, [`MiningError::Parameter`] if a value is not a number.
pub fn spearman(x: &[Option<f64>], y: &[Option<f64>]) -> Result<Option<Correlation>> {
    if x.len() != y.len() {
        return Err(MiningError::Length {
            what: "second list of a correlation",
            found: y.len(),
            expected: x.len(),
        });
    }
    if let Some(&found) = x.iter().chain(y).flatten().find(|value| value.is_nan()) {
        return Err(MiningError::Parameter {
            name: "correlated value",
            expected: "a number, or missing",
            found,
        });
    }
    let (x, y): (Vec<f64>, Vec<f64>) = x.iter().zip(y).filter_map(|(x, y)| Some(((*x)?, (*y)?))).unzip();
    let n = x.len();
    let (x, y) = (mean_ranks(&x), mean_ranks(&y));
    let centre = (n as f64 + 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - centre) * (b - centre)).sum::<f64>();
    let (xx, yy, xy) = (product(&x, &x), product(&y, &y), product(&x, &y));
    if n < 2 || xx == 0.0 || yy == 0.0 {
        return Ok(None);
    }
    let rho = (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0);
    let freedom = n as f64 - 2.0;
    let p = StudentsT::new(0.0, 1.0, freedom).ok().map(|distribution| {
        let t = rho.abs() * (freedom / ((1.0 - rho) * (1.0 + rho))).sqrt();
        if t.is_finite() {
            (2.0 * distribution.sf(t)).min(1.0)
        } else {
            0.0
        }
    });
    Ok(Some(Correlation { n, rho, p }))
}

/// Ranks from 1, ties sharing the mean of theirs.
pub fn mean_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| (values[a] + 0.0).total_cmp(&(values[b] + 0.0)));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start + 1;
        while end < order.len() && values[order[end]] == values[order[start]] {
            end += 1;
        }
        for &i in &order[start..end] {
            ranks[i] = (start + 1 + end) as f64 / 2.0;
        }
        start = end;
    }
    ranks
}
