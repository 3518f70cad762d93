use nalgebra::{Cholesky, DMatrix, DVector};
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

/// A fitted linear regression.
#[derive(Debug, Clone)]
pub(super) struct LinearFit {
    pub(super) coefficients: DVector<f64>,
    /// Inverse of X'X.
    pub(super) bread: DMatrix<f64>,
    pub(super) residuals: DVector<f64>,
    squares: f64,
}

/// Least squares. `None` if columns depend on each other.
///
/// # Shapes
/// - `design`: `[images, coefficients]`; `outcome`: `[images]`
pub(super) fn fit(design: &DMatrix<f64>, outcome: &DVector<f64>) -> Option<LinearFit> {
    let bread = Cholesky::new(design.tr_mul(design))?.inverse();
    let coefficients = &bread * design.tr_mul(outcome);
    let residuals = outcome - design * &coefficients;
    Some(LinearFit {
        coefficients,
        bread,
        squares: residuals.norm_squared(),
        residuals,
    })
}

/// F test of a model against a smaller one inside it: F and p. `None` without degrees of freedom.
///
/// Matches `statsmodels`' `compare_f_test`.
pub(super) fn f_test(full: &LinearFit, small: &LinearFit) -> Option<(f64, f64)> {
    let dropped = full
        .coefficients
        .len()
        .checked_sub(small.coefficients.len())
        .filter(|dropped| *dropped > 0)? as f64;
    let freedom = full
        .residuals
        .len()
        .checked_sub(full.coefficients.len())
        .filter(|freedom| *freedom > 0)? as f64;
    if full.squares <= 0.0 {
        return None;
    }
    let statistic = ((small.squares - full.squares) / dropped / (full.squares / freedom)).max(0.0);
    Some((statistic, FisherSnedecor::new(dropped, freedom).ok()?.sf(statistic)))
}
