use std::collections::BTreeMap;

use super::normal::z95;

/// 95 % interval of the odds ratio of a group against the outside that takes images of one lesion or patient as dependent:
/// Woolf's, with the variance of sums over clusters (sandwich, times G / (G - 1)). `None` if a count of the 2 x 2 table is
/// zero, or with fewer than two clusters.
///
/// Matches a logistic regression on the group alone with `cov_type="cluster"` in statsmodels, but for its factor
/// (n - 1) / (n - 2).
///
/// # Shapes
/// - `images`: per image whether it is in the group, whether it is hard, and its cluster
pub(crate) fn clustered_odds_ratio(images: &[(bool, bool, usize)]) -> Option<[f64; 2]> {
    let count = |group: bool, hard: bool| images.iter().filter(|i| (i.0, i.1) == (group, hard)).count() as f64;
    let [a, b, c, d] = [
        count(true, true),
        count(true, false),
        count(false, true),
        count(false, false),
    ];
    if [a, b, c, d].contains(&0.0) {
        return None;
    }
    // What an image adds to the logarithm of the odds ratio: its residual over the variance of its group's count.
    let influence = |group: bool, hard: bool| {
        let (hits, misses, sign) = if group { (a, b, 1.0) } else { (c, d, -1.0) };
        let rate = hits / (hits + misses);
        sign * (f64::from(u8::from(hard)) - rate) / ((hits + misses) * rate * (1.0 - rate))
    };
    let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
    for &(group, hard, cluster) in images {
        *sums.entry(cluster).or_default() += influence(group, hard);
    }
    let clusters = sums.len() as f64;
    if clusters < 2.0 {
        return None;
    }
    let variance = sums.values().map(|sum| sum * sum).sum::<f64>() * clusters / (clusters - 1.0);
    let (log, half) = ((a * d / (b * c)).ln(), z95() * variance.sqrt());
    Some([(log - half).exp(), (log + half).exp()])
}
