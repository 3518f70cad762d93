use std::collections::BTreeMap;

use nalgebra::{Cholesky, DMatrix, DVector};

use crate::analysis::normal::chi_square_p;

/// Covariance of coefficients that takes images of one lesion or patient as dependent: the sandwich of the inverse information
/// (`bread`) and the sums of the images' contributions to the gradient over clusters, times G / (G - 1) · (n - 1) / (n - k).
/// Where every image is a cluster of its own it allows for unequal variances only (HC1 but for the factor).
///
/// Matches `cov_type="cluster"` of statsmodels.
///
/// # Shapes
/// - `scores`: `[images, coefficients]`; `cluster`: `[images]`
pub(crate) fn clustered(bread: &DMatrix<f64>, scores: &DMatrix<f64>, cluster: &[usize]) -> DMatrix<f64> {
    let width = scores.ncols();
    let mut sums: BTreeMap<usize, DVector<f64>> = BTreeMap::new();
    for (row, &cluster) in scores.row_iter().zip(cluster) {
        *sums.entry(cluster).or_insert_with(|| DVector::zeros(width)) += row.transpose();
    }
    let mut meat = DMatrix::zeros(width, width);
    for sum in sums.values() {
        meat.ger(1.0, sum, sum, 1.0);
    }
    let (groups, n) = (sums.len() as f64, scores.nrows() as f64);
    let factor = if groups > 1.0 && n > width as f64 {
        groups / (groups - 1.0) * (n - 1.0) / (n - width as f64)
    } else {
        f64::NAN
    };
    bread * meat * bread * factor
}

/// Wald's test that these coefficients are all zero: chi-square and p. `None` if their covariance is singular, as with
/// fewer clusters than coefficients.
pub(crate) fn wald(coefficients: &DVector<f64>, covariance: &DMatrix<f64>, places: &[usize]) -> Option<(f64, f64)> {
    let chosen = DVector::from_iterator(places.len(), places.iter().map(|&place| coefficients[place]));
    let block = covariance.select_rows(places).select_columns(places);
    if places.is_empty() || block.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let statistic = chosen.dot(&Cholesky::new(block)?.solve(&chosen));
    Some((statistic, chi_square_p(statistic, places.len())))
}
