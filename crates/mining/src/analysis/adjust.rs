use serde::{Deserialize, Serialize};

/// Correction of p values for their number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Adjustment {
    /// Holm's step-down: controls the chance of any false finding, under any dependence. The two levels of a binary
    /// attribute are one test counted twice, so it errs on the safe side.
    #[default]
    Holm,
    /// Benjamini and Hochberg's step-up: controls the share of false findings.
    BenjaminiHochberg,
}

impl Adjustment {
    /// Adjusted p values, in the order given.
    ///
    /// Matches `statsmodels.stats.multitest.multipletests` with `holm` and `fdr_bh`.
    pub fn adjust(self, p: &[f64]) -> Vec<f64> {
        match self {
            Self::Holm => htl_metrics::holm(p),
            Self::BenjaminiHochberg => benjamini_hochberg(p),
        }
    }
}

fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let n = p.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; n];
    let mut smallest = 1.0f64;
    for (rank, &i) in order.iter().enumerate().rev() {
        smallest = smallest.min(n as f64 / (rank + 1) as f64 * p[i]);
        adjusted[i] = smallest;
    }
    adjusted
}
