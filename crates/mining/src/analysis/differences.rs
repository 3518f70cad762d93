use super::grouping::Count;
use crate::correlate::mean_ranks;

/// Pearson's chi-square over the levels, without correction, and its degrees of freedom. 0 where nothing varies.
///
/// Matches `scipy.stats.chi2_contingency(correction=False)`.
pub(crate) fn pearson(counts: &[Count]) -> (f64, usize) {
    let number = |count: u64| count as f64;
    let n: f64 = counts.iter().map(|count| number(count.n)).sum();
    let rate = counts.iter().map(|count| number(count.hits)).sum::<f64>() / n;
    let occupied = counts.iter().filter(|count| count.n > 0);
    let freedom = occupied.clone().count().saturating_sub(1);
    if !(rate > 0.0 && rate < 1.0) {
        return (0.0, freedom);
    }
    let deviation = |count: &Count| {
        let expected = number(count.n) * rate;
        (number(count.hits) - expected).powi(2) / (expected * (1.0 - rate))
    };
    (occupied.map(deviation).sum(), freedom)
}

/// Kruskal and Wallis's H with ties, and its degrees of freedom. 0 where nothing varies.
///
/// Matches `scipy.stats.kruskal`.
///
/// # Shapes
/// - `score`, `level`: a value per image; levels numbered from 0
pub(crate) fn kruskal(score: &[f64], level: &[usize], levels: usize) -> (f64, usize) {
    between(&mean_ranks(score), level, levels)
}

/// The spread of level means of given ranks, in units in which it is H: sum of n_l (mean_l - mean)², over the variance.
/// Images of level `levels` (unknown) are left out.
pub(crate) fn between(ranks: &[f64], level: &[usize], levels: usize) -> (f64, usize) {
    let mut sums = vec![(0.0, 0.0); levels];
    let (mut n, mut total, mut squares) = (0.0, 0.0, 0.0);
    for (&rank, &level) in ranks.iter().zip(level).filter(|(_, level)| **level < levels) {
        sums[level].0 += 1.0;
        sums[level].1 += rank;
        n += 1.0;
        total += rank;
        squares += rank * rank;
    }
    let occupied = sums.iter().filter(|(n, _)| *n > 0.0);
    let freedom = occupied.clone().count().saturating_sub(1);
    if n < 2.0 {
        return (0.0, freedom);
    }
    let mean = total / n;
    let variance = (squares - n * mean * mean) / (n - 1.0);
    if variance <= 0.0 {
        return (0.0, freedom);
    }
    let spread: f64 = occupied.map(|(n, sum)| n * (sum / n - mean).powi(2)).sum();
    (spread / variance, freedom)
}
