use nalgebra::{Cholesky, DMatrix, DVector, Dyn};

/// What is maximised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Likelihood {
    /// The likelihood.
    Plain,
    /// The likelihood times the root of the determinant of the information (Jeffreys' prior): Firth, "Bias reduction of
    /// maximum likelihood estimates", Biometrika 1993. Finite where the plain one runs away, as with empty cells (Heinze and
    /// Schemper, Statistics in Medicine 2002).
    Firth,
}

/// A fitted logistic regression.
#[derive(Debug, Clone)]
pub(crate) struct LogisticFit {
    pub(crate) coefficients: DVector<f64>,
    /// Logarithm of what was maximised.
    pub(crate) log_likelihood: f64,
    /// Inverse information.
    pub(crate) covariance: DMatrix<f64>,
    /// What multiplies each image's row of the design in the gradient.
    pub(crate) residuals: DVector<f64>,
    /// Roots of the images' weights in the information.
    pub(crate) roots: DVector<f64>,
}

/// Everything that depends on the coefficients.
struct State {
    log_likelihood: f64,
    information: DMatrix<f64>,
    residuals: DVector<f64>,
    roots: DVector<f64>,
}

/// Steps after which a fit that has not converged is given up.
const MOST_STEPS: usize = 200;
/// No coefficient changes by more in one step.
const LARGEST_STEP: f64 = 5.0;
/// A linear predictor beyond this is a probability of 0 or 1: the plain likelihood is running away.
const SEPARATED: f64 = 25.0;

/// Fits coefficients, those in `fixed` held at the values given (zero is a restriction, as in a likelihood-ratio test). With
/// [`Likelihood::Firth`] the penalty is that of the whole design even where coefficients are fixed, as in R's `logistf`.
///
/// `None` if it does not converge: perfectly separated with the plain likelihood, or columns that depend on each other.
///
/// # Shapes
/// - `design`: `[images, coefficients]`; `outcome`: `[images]`, 0 or 1
pub(crate) fn fit(
    design: &DMatrix<f64>,
    outcome: &DVector<f64>,
    likelihood: Likelihood,
    fixed: &[(usize, f64)],
    start: Option<&DVector<f64>>,
) -> Option<LogisticFit> {
    let width = design.ncols();
    let mut coefficients = start.cloned().unwrap_or_else(|| DVector::zeros(width));
    for &(place, value) in fixed {
        coefficients[place] = value;
    }
    let free: Vec<usize> = (0..width)
        .filter(|place| fixed.iter().all(|(other, _)| other != place))
        .collect();
    let mut state = evaluate(design, outcome, likelihood, &coefficients)?;
    for _ in 0..MOST_STEPS {
        let gradient = design.tr_mul(&state.residuals);
        let gradient = DVector::from_iterator(free.len(), free.iter().map(|&place| gradient[place]));
        let information = state.information.select_rows(&free).select_columns(&free);
        let step = if free.is_empty() {
            DVector::zeros(0)
        } else {
            Cholesky::new(information)?.solve(&gradient)
        };
        let largest = step.amax();
        if !largest.is_finite() {
            return None;
        }
        // The gain that the quadratic approximation promises: small in every direction at the top.
        if free.is_empty() || (gradient.dot(&step).abs() < 1e-14 * (1.0 + state.log_likelihood.abs()) && largest < 1e-6)
        {
            return finished(design, likelihood, coefficients, state);
        }
        let mut scale = (LARGEST_STEP / largest).min(1.0);
        let mut halvings = 0;
        let next = loop {
            let mut moved = coefficients.clone();
            for (&place, step) in free.iter().zip(step.iter()) {
                moved[place] += scale * step;
            }
            let there = evaluate(design, outcome, likelihood, &moved);
            match there {
                Some(there) if there.log_likelihood >= state.log_likelihood - 1e-12 * state.log_likelihood.abs() => {
                    break Some((moved, there));
                }
                _ if halvings == 40 => break None,
                _ => {
                    scale *= 0.5;
                    halvings += 1;
                }
            }
        };
        // No way up that numbers can tell: the top, if the step was small.
        let Some((moved, there)) = next else {
            return (largest < 1e-4)
                .then(|| finished(design, likelihood, coefficients, state))
                .flatten();
        };
        (coefficients, state) = (moved, there);
    }
    None
}

fn finished(
    design: &DMatrix<f64>,
    likelihood: Likelihood,
    coefficients: DVector<f64>,
    state: State,
) -> Option<LogisticFit> {
    if likelihood == Likelihood::Plain && (design * &coefficients).amax() > SEPARATED {
        return None;
    }
    Some(LogisticFit {
        coefficients,
        log_likelihood: state.log_likelihood,
        covariance: Cholesky::new(state.information)?.inverse(),
        residuals: state.residuals,
        roots: state.roots,
    })
}

fn evaluate(
    design: &DMatrix<f64>,
    outcome: &DVector<f64>,
    likelihood: Likelihood,
    coefficients: &DVector<f64>,
) -> Option<State> {
    let predictor = design * coefficients;
    let mut log_likelihood = 0.0;
    let mut residuals = DVector::zeros(outcome.len());
    let mut roots = DVector::zeros(outcome.len());
    for (image, (&eta, &hit)) in predictor.iter().zip(outcome.iter()).enumerate() {
        let probability = 1.0 / (1.0 + (-eta).exp());
        // ln(1 + e^eta) without overflow.
        log_likelihood += hit * eta - (eta.max(0.0) + (-eta.abs()).exp().ln_1p());
        residuals[image] = hit - probability;
        roots[image] = (probability * (1.0 - probability)).sqrt();
    }
    let mut weighted = design.clone();
    for (mut row, root) in weighted.row_iter_mut().zip(roots.iter()) {
        row *= *root;
    }
    let information = weighted.tr_mul(&weighted);
    if likelihood == Likelihood::Firth {
        let factor: Cholesky<f64, Dyn> = Cholesky::new(information.clone())?;
        log_likelihood += factor.l().diagonal().iter().map(|root| root.ln()).sum::<f64>();
        // Leverages: squared lengths of the rows of W^1/2 X L^-T.
        let mut rows = weighted.transpose();
        if !factor.l().solve_lower_triangular_mut(&mut rows) {
            return None;
        }
        for (image, column) in rows.column_iter().enumerate() {
            let root: f64 = roots[image];
            let probability = outcome[image] - residuals[image];
            let leverage = if root > 0.0 { column.norm_squared() } else { 0.0 };
            residuals[image] += leverage * (0.5 - probability);
        }
    }
    log_likelihood.is_finite().then_some(State {
        log_likelihood,
        information,
        residuals,
        roots,
    })
}
