use htl_metrics::median;

use crate::error::{MiningError, Result};

/// The fewest dense seeds that can be split for adaptive selection.
pub const LEAST_SEEDS: usize = 4;

/// The knockoff+ threshold min{t > 0 : (1 + #{W <= -t}) / #{W >= t} <= q} among the sizes of the statistics, `None` if
/// none does (Barber & Candès 2015).
///
/// # Errors
/// [`MiningError::Parameter`] if q is outside (0, 1) or a statistic is not a number.
pub fn knockoff_threshold(statistics: &[f64], q: f64) -> Result<Option<f64>> {
    check_q(q)?;
    if let Some(&found) = statistics.iter().find(|w| w.is_nan()) {
        return Err(MiningError::Parameter {
            name: "W",
            expected: "a number",
            found,
        });
    }
    let mut order: Vec<f64> = statistics.iter().copied().filter(|&w| w != 0.0).collect();
    order.sort_by(|a, b| b.abs().total_cmp(&a.abs()));
    let (mut positive, mut negative, mut best) = (0usize, 0usize, None);
    for (i, &w) in order.iter().enumerate() {
        if w > 0.0 {
            positive += 1
        } else {
            negative += 1
        }
        let last_of_its_size = order.get(i + 1).is_none_or(|next| next.abs() < w.abs());
        if last_of_its_size && positive > 0 && (1 + negative) as f64 <= q * positive as f64 {
            best = Some(w.abs());
        }
    }
    Ok(best)
}

/// W of every image from its distances D(A, pruned C), D(A, sham C), D(C, pruned A), D(C, sham A), in this order, A and C being
/// halves of the dense seeds: each distance is divided by its median over the images, sham is taken from pruned, and the two
/// directions are averaged.
///
/// Without the medians a pruning that changes *every* image more than the sham does would select in proportion to how
/// unstable each image is anyway.
///
/// # Errors
/// [`MiningError::NoScale`] if a median is 0.
pub fn relative_statistics(distances: &[[f64; 4]]) -> Result<Vec<f64>> {
    let scale = |which: usize| {
        let median = median(&distances.iter().map(|image| image[which]).collect::<Vec<_>>());
        let population = if which.is_multiple_of(2) { "sparse" } else { "sham" };
        if median > 0.0 {
            Ok(median)
        } else {
            Err(MiningError::NoScale { population })
        }
    };
    let scales = [scale(0)?, scale(1)?, scale(2)?, scale(3)?];
    let statistic = |image: &[f64; 4]| {
        let [one, one_sham, other, other_sham] = std::array::from_fn(|which| image[which] / scales[which]);
        (one - one_sham + other - other_sham) / 2.0
    };
    Ok(distances.iter().map(statistic).collect())
}

pub(crate) fn check_q(q: f64) -> Result<()> {
    if q > 0.0 && q < 1.0 {
        Ok(())
    } else {
        Err(MiningError::Parameter {
            name: "q",
            expected: "in (0, 1)",
            found: q,
        })
    }
}
