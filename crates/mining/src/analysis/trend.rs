use super::grouping::Count;

/// Signed root of the statistic of Cochran and Armitage: whether the rate of hard images rises (positive) or falls over the
/// levels, numbered 0, 1, 2, ... 0 where nothing varies.
///
/// Its square matches R's `prop.trend.test`.
pub(crate) fn armitage(counts: &[Count]) -> f64 {
    let number = |count: u64| count as f64;
    let n: f64 = counts.iter().map(|count| number(count.n)).sum();
    let hits: f64 = counts.iter().map(|count| number(count.hits)).sum();
    let rate = hits / n;
    let (mut excess, mut first, mut second) = (0.0, 0.0, 0.0);
    for (level, count) in counts.iter().enumerate() {
        let level = level as f64;
        excess += level * (number(count.hits) - number(count.n) * rate);
        first += level * number(count.n);
        second += level * level * number(count.n);
    }
    let variance = rate * (1.0 - rate) * (second - first * first / n);
    if variance > 0.0 { excess / variance.sqrt() } else { 0.0 }
}

/// Jonckheere's statistic: pairs of images of different levels in which the one of the higher level has the higher score;
/// equal scores count half. Images of level `levels` (unknown) are left out.
///
/// # Shapes
/// - `ordered`: levels of the images in rising order of the score; `groups`: how many images in turn have equal scores
pub(crate) fn jonckheere(ordered: &[usize], groups: &[usize], levels: usize) -> f64 {
    let (mut below, mut tied) = (vec![0.0; levels], vec![0.0; levels]);
    let mut statistic = 0.0;
    let mut rest = ordered;
    for &size in groups {
        let (group, others) = rest.split_at(size.min(rest.len()));
        rest = others;
        tied.fill(0.0);
        for &level in group.iter().filter(|level| **level < levels) {
            statistic += below[..level].iter().sum::<f64>();
            tied[level] += 1.0;
        }
        if size > 1 {
            let mut lower = 0.0;
            for &here in &tied {
                statistic += 0.5 * here * lower;
                lower += here;
            }
        }
        below.iter_mut().zip(&tied).for_each(|(below, tied)| *below += tied);
    }
    statistic
}

/// Mean and variance of [`jonckheere`] under no trend, with ties.
///
/// # Shapes
/// - `levels`: images per level; `ties`: images per score
pub(crate) fn jonckheere_moments(levels: &[f64], ties: &[f64]) -> (f64, f64) {
    let n: f64 = levels.iter().sum();
    let sum = |of: &dyn Fn(f64) -> f64, sizes: &[f64]| sizes.iter().map(|&size| of(size)).sum::<f64>();
    let mean = (n * n - sum(&|l| l * l, levels)) / 4.0;
    let cubic = |size: f64| size * (size - 1.0) * (2.0 * size + 5.0);
    let falling3 = |size: f64| size * (size - 1.0) * (size - 2.0);
    let falling2 = |size: f64| size * (size - 1.0);
    if n < 3.0 {
        return (mean, 0.0);
    }
    let variance = (cubic(n) - sum(&cubic, levels) - sum(&cubic, ties)) / 72.0
        + sum(&falling3, levels) * sum(&falling3, ties) / (36.0 * falling3(n))
        + sum(&falling2, levels) * sum(&falling2, ties) / (8.0 * falling2(n));
    (mean, variance)
}

/// Signed root of Jonckheere's test: whether the score rises (positive) or falls over the levels. 0 where nothing varies.
///
/// Its two-sided p matches that of `scipy.stats.kendalltau(method="asymptotic")` of level and score, which is the same test.
///
/// # Shapes
/// - `score`, `level`: a value per image; levels numbered from 0
pub(crate) fn jonckheere_z(score: &[f64], level: &[usize], levels: usize) -> f64 {
    let mut order: Vec<usize> = (0..score.len()).collect();
    order.sort_by(|&a, &b| score[a].total_cmp(&score[b]));
    let groups: Vec<usize> = order
        .chunk_by(|&a, &b| score[a] == score[b])
        .map(<[usize]>::len)
        .collect();
    let ties: Vec<f64> = groups.iter().map(|&size| size as f64).collect();
    let ordered: Vec<usize> = order.iter().map(|&image| level[image]).collect();
    let mut sizes = vec![0.0; levels];
    level.iter().for_each(|&level| sizes[level] += 1.0);
    let (mean, variance) = jonckheere_moments(&sizes, &ties);
    let statistic = jonckheere(&ordered, &groups, levels);
    if variance > 0.0 {
        (statistic - mean) / variance.sqrt()
    } else {
        0.0
    }
}
