use std::collections::BTreeMap;

use nalgebra::{Cholesky, DMatrix, DVector};

use crate::analysis::normal::chi_square_p;

/// Covariance of coefficients that takes images of one lesion or patient as dependent: the sandwich of the inverse information
/// (`bread`) and sums of the images' residuals over clusters, each cluster's residuals being those of a fit without it (CR3, to
/// first order for a logistic regression). The plain sums (CR1) understate errors with fewer than a few
/// hundred clusters. Where every image is a cluster of its own it allows for unequal variances only (HC3).
///
/// Matches `clubSandwich::vcovCR(type = "CR3")` of R.
///
/// # Shapes
/// - `design`: `[images, coefficients]`; `residuals`: `[images]`, what multiplies an image's row in the gradient; `roots`:
///   `[images]`, roots of the weights in the information; `cluster`: `[images]`
pub(crate) fn clustered(
    bread: &DMatrix<f64>,
    design: &DMatrix<f64>,
    residuals: &DVector<f64>,
    roots: &DVector<f64>,
    cluster: &[usize],
) -> DMatrix<f64> {
    let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (image, &cluster) in cluster.iter().enumerate() {
        members.entry(cluster).or_default().push(image);
    }
    let width = design.ncols();
    let mut meat = DMatrix::zeros(width, width);
    for images in members.values() {
        let mut rows = design.select_rows(images);
        for (mut row, &image) in rows.row_iter_mut().zip(images) {
            row *= roots[image];
        }
        let pearson = |place: usize| {
            let image = images[place];
            if roots[image] > 0.0 {
                residuals[image] / roots[image]
            } else {
                0.0
            }
        };
        let residual = DVector::from_fn(images.len(), |place, _| pearson(place));
        let without = DMatrix::identity(images.len(), images.len()) - &rows * bread * rows.transpose();
        // A cluster that alone decides a coefficient has no fit without it.
        let residual = without
            .lu()
            .solve(&residual)
            .filter(|r| r.iter().all(|r| r.is_finite()))
            .unwrap_or(residual);
        let sum = rows.tr_mul(&residual);
        meat.ger(1.0, &sum, &sum, 1.0);
    }
    bread * meat * bread
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
