use htl_vocabulary::Estimate;

use super::contingency::TwoByTwo;
use super::normal::{chi_square_p, z95};

/// Odds ratio of Mantel and Haenszel over strata, with the 95 % interval of Robins, Breslow and Greenland. `None` if no
/// stratum has both a hit in the group and a miss outside, or the other way round.
///
/// Matches `statsmodels.stats.contingency_tables.StratifiedTable`.
pub fn mantel_haenszel(strata: &[TwoByTwo]) -> Option<Estimate> {
    let (mut sum_r, mut sum_s, mut pr, mut mixed, mut qs) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for table in strata {
        let [a, b, c, d] = counts(table);
        let n = a + b + c + d;
        if n == 0.0 {
            continue;
        }
        let (r, s) = (a * d / n, b * c / n);
        let (p, q) = ((a + d) / n, (b + c) / n);
        sum_r += r;
        sum_s += s;
        pr += p * r;
        mixed += p * s + q * r;
        qs += q * s;
    }
    if sum_r == 0.0 || sum_s == 0.0 {
        return None;
    }
    let value = sum_r / sum_s;
    let variance = pr / (2.0 * sum_r * sum_r) + mixed / (2.0 * sum_r * sum_s) + qs / (2.0 * sum_s * sum_s);
    let half = z95() * variance.sqrt();
    Some(Estimate {
        value,
        lo: (value.ln() - half).exp(),
        hi: (value.ln() + half).exp(),
    })
}

/// Signed root of the statistic of Cochran, Mantel and Haenszel, without continuity correction: hits in the group less those
/// expected within each stratum, in standard deviations. 0 where the margins leave nothing to vary.
fn cochran_mantel_haenszel(strata: &[TwoByTwo]) -> f64 {
    let (mut excess, mut variance) = (0.0, 0.0);
    for table in strata {
        let [a, b, c, d] = counts(table);
        let n = a + b + c + d;
        if n < 2.0 {
            continue;
        }
        excess += a - (a + b) * (a + c) / n;
        variance += (a + b) * (c + d) * (a + c) * (b + d) / (n * n * (n - 1.0));
    }
    if variance > 0.0 { excess / variance.sqrt() } else { 0.0 }
}

/// p of the test of Cochran, Mantel and Haenszel. `None` where the margins leave nothing to vary.
///
/// Matches `StratifiedTable.test_null_odds(correction=False)` of statsmodels.
pub fn stratified_p(strata: &[TwoByTwo]) -> Option<f64> {
    let varies = |table: &TwoByTwo| table.is_proper();
    strata
        .iter()
        .any(varies)
        .then(|| chi_square_p(cochran_mantel_haenszel(strata).powi(2), 1))
}

fn counts(table: &TwoByTwo) -> [f64; 4] {
    [table.hits, table.misses, table.other_hits, table.other_misses].map(|count| count as f64)
}
