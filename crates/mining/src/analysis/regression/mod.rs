//! Is a group hard, or are its lesions? Regressions of the outcome on people and lesions together.
mod design;
mod logistic;
mod ranks;
mod sandwich;

use nalgebra::{DMatrix, DVector};
use serde::{Deserialize, Serialize};

pub use design::{COVARIATES, Covariate};

use self::design::{Design, FOLD};
use self::logistic::{Likelihood, LogisticFit};
use super::adjust::Adjustment;
use super::cohort::Cohort;
use super::normal::{bisect, chi_square_p, normal_p, z95};
use crate::attribute::Attribute;
use crate::attributes::Subject;
use crate::correlate::mean_ranks;

/// The method with Firth's likelihood.
const FIRTH: &str = "firth";

/// One coefficient, a row of `regression.csv`. What is not defined is blank.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Coefficient {
    /// What makes an image hard: the score's column.
    pub outcome: String,
    /// `logistic` of hard or not, `ranks` of the score's ranks scaled to 0 to 1.
    pub model: String,
    /// `maximum-likelihood`, `firth` or `least-squares`.
    pub method: String,
    /// The attribute.
    pub attribute: String,
    /// The level, or the unit of a number.
    pub level: String,
    /// The level that it is compared with; blank for a number.
    pub reference: String,
    /// Images of the level.
    pub n: usize,
    /// Hard ones among them.
    pub htl: usize,
    /// Logarithm of the odds ratio; in `ranks` the difference of the mean rank, of which the whole range is 1.
    pub coefficient: Option<f64>,
    /// Its standard error, robust and clustered by lesion or patient (CR3); with `firth` that of the information, for which
    /// images are independent.
    pub standard_error: Option<f64>,
    /// Lower end of the 95 % interval with that error.
    pub lo: Option<f64>,
    /// Upper end.
    pub hi: Option<f64>,
    /// p of Wald's test with that error.
    pub p: Option<f64>,
    /// Odds ratio; logistic only.
    pub odds_ratio: Option<f64>,
    /// Lower end of its interval.
    pub odds_ratio_lo: Option<f64>,
    /// Upper end.
    pub odds_ratio_hi: Option<f64>,
    /// Lower end of the coefficient's interval by profile of Firth's likelihood; images count as independent.
    pub profile_lo: Option<f64>,
    /// Upper end.
    pub profile_hi: Option<f64>,
    /// p of the likelihood-ratio test of this coefficient, by Firth's likelihood.
    pub p_profile: Option<f64>,
}

/// One attribute's part in a regression, a row of `regression_tests.csv`. What is not defined is blank.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RegressionTest {
    /// What makes an image hard: the score's column.
    pub outcome: String,
    /// `logistic` or `ranks`.
    pub model: String,
    /// `maximum-likelihood`, `firth` or `least-squares`.
    pub method: String,
    /// The attribute.
    pub attribute: String,
    /// Images in the regression.
    pub n: usize,
    /// Hard ones among them.
    pub htl: usize,
    /// Coefficients of the attribute.
    pub df: usize,
    /// Likelihood ratio (chi-square); F for `ranks`.
    pub statistic: Option<f64>,
    /// p of the likelihood-ratio or F test: images count as independent.
    pub p: Option<f64>,
    /// Wald's chi-square with errors clustered by lesion or patient; none with `firth`.
    pub wald: Option<f64>,
    /// Its p.
    pub p_wald: Option<f64>,
    /// The p that counts (Wald's where images share lesions and it is there, else the first), adjusted by Holm over the attributes of the
    /// model, without the folds.
    pub p_adjusted: Option<f64>,
    /// p of the first kind in a model that has this attribute and the folds alone: what is there before lesions are allowed
    /// for, on the same images.
    pub p_alone: Option<f64>,
}

/// Both models of one cohort.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Regressions {
    /// Every coefficient.
    pub coefficients: Vec<Coefficient>,
    /// Every attribute.
    pub tests: Vec<RegressionTest>,
    /// Images that were left out, since a number that the others have is not known of them.
    pub incomplete: usize,
    /// Columns of the design beside the constant.
    pub parameters: usize,
}

/// Regressions of a cohort on attributes (levels, unknown among them), the numbers of [`COVARIATES`] and the fold: a logistic
/// one of hard or not, and a linear one of the ranks of the score.
///
/// Firth's likelihood replaces the plain one where all or no images of a level are hard, or where the plain one has no
/// maximum. Standard errors are clustered by lesion or patient. An attribute whose columns say nothing new has blank cells.
///
/// # Shapes
/// - `subjects`: one per image of the cohort, in its order
pub fn regressions(cohort: &Cohort, attributes: &[&Attribute], subjects: &[&Subject]) -> Regressions {
    let covariates: Vec<(Covariate, Vec<Option<f64>>)> = COVARIATES
        .into_iter()
        .map(|covariate| {
            (
                covariate,
                subjects.iter().map(|subject| (covariate.of)(subject)).collect(),
            )
        })
        .collect();
    let design = Design::new(cohort, attributes, &covariates);
    let mut found = Regressions {
        incomplete: cohort.len() - design.images.len(),
        parameters: design.matrix.ncols() - 1,
        ..Regressions::default()
    };
    let hard = |image: &&usize| cohort.hard[**image];
    let hits = design.images.iter().filter(hard).count();
    if design.matrix.ncols() < 2 || design.images.len() <= design.matrix.ncols() {
        return found;
    }
    let cluster: Vec<usize> = design.images.iter().map(|&image| cohort.cluster[image]).collect();
    let dependent = cohort.cluster_count() < cohort.len();
    let context = Context {
        cohort,
        design: &design,
        cluster: &cluster,
        dependent,
        hits,
    };
    if hits > 0 && hits < design.images.len() {
        context.logistic(&mut found);
    }
    if let Some(score) = &cohort.score {
        let scores: Vec<f64> = design.images.iter().map(|&image| score[image]).collect();
        context.ranks(&scores, &mut found);
    }
    found
}

struct Context<'a> {
    cohort: &'a Cohort,
    design: &'a Design,
    cluster: &'a [usize],
    dependent: bool,
    hits: usize,
}

impl Context<'_> {
    fn logistic(&self, found: &mut Regressions) {
        let design = &self.design.matrix;
        let hit = |image: usize| f64::from(u8::from(self.cohort.hard[self.design.images[image]]));
        let outcome = DVector::from_fn(self.design.images.len(), |image, _| hit(image));
        let plain = (!self.design.one_sided)
            .then(|| logistic::fit(design, &outcome, Likelihood::Plain, &[], None))
            .flatten();
        let (likelihood, method, fit) = match plain {
            Some(fit) => (Likelihood::Plain, "maximum-likelihood", fit),
            None => match logistic::fit(design, &outcome, Likelihood::Firth, &[], None) {
                Some(fit) => (Likelihood::Firth, FIRTH, fit),
                None => return,
            },
        };
        // Where cells are empty the sandwich is far too small; Firth's fit is judged by its likelihood.
        let covariance = match likelihood {
            Likelihood::Plain => sandwich::clustered(&fit.covariance, design, &fit.residuals, &fit.roots, self.cluster),
            Likelihood::Firth => fit.covariance.clone(),
        };
        let ratio = |fixed: &[usize]| {
            let zero: Vec<(usize, f64)> = fixed.iter().map(|&place| (place, 0.0)).collect();
            let restricted = logistic::fit(design, &outcome, likelihood, &zero, Some(&fit.coefficients))?;
            Some((2.0 * (fit.log_likelihood - restricted.log_likelihood)).max(0.0))
        };
        for term in &self.design.terms {
            let coefficient = self.coefficient(term, ["logistic", method], &fit.coefficients, &covariance);
            let exp = |value: Option<f64>| value.map(f64::exp);
            let profile = match (likelihood, term.place) {
                (Likelihood::Firth, Some(place)) => profile(design, &outcome, &fit, place),
                _ => [None; 2],
            };
            let by_ratio = term
                .place
                .filter(|_| likelihood == Likelihood::Firth)
                .and_then(|place| ratio(&[place]));
            found.coefficients.push(Coefficient {
                odds_ratio: exp(coefficient.coefficient),
                odds_ratio_lo: exp(coefficient.lo),
                odds_ratio_hi: exp(coefficient.hi),
                profile_lo: profile[0],
                profile_hi: profile[1],
                p_profile: by_ratio.map(|ratio| chi_square_p(ratio, 1)),
                ..coefficient
            });
        }
        let folds = self.fold_columns();
        let alone = |places: &[usize]| {
            let fit = |places: &[usize]| logistic::fit(&design.select_columns(places), &outcome, likelihood, &[], None);
            let kept: Vec<usize> = [0].iter().chain(&folds).chain(places).copied().collect();
            let full = fit(&kept)?;
            let zero: Vec<(usize, f64)> = (folds.len() + 1..kept.len()).map(|place| (place, 0.0)).collect();
            let small = logistic::fit(&design.select_columns(&kept), &outcome, likelihood, &zero, None)?;
            Some((2.0 * (full.log_likelihood - small.log_likelihood)).max(0.0))
        };
        let mut tests = Vec::new();
        for (attribute, places) in self.design.attributes() {
            let statistic = (!places.is_empty()).then(|| ratio(&places)).flatten();
            let before = (!places.is_empty() && attribute != FOLD)
                .then(|| alone(&places))
                .flatten();
            tests.push(RegressionTest {
                statistic,
                p: statistic.map(|statistic| chi_square_p(statistic, places.len())),
                p_alone: before.map(|statistic| chi_square_p(statistic, places.len())),
                ..self.test(
                    &attribute,
                    &places,
                    ["logistic", method],
                    &fit.coefficients,
                    &covariance,
                )
            });
        }
        found.tests.extend(self.adjusted(tests));
    }

    fn ranks(&self, scores: &[f64], found: &mut Regressions) {
        let design = &self.design.matrix;
        let n = scores.len() as f64;
        let ranks = mean_ranks(scores).into_iter().map(|rank| (rank - 0.5) / n);
        let outcome = DVector::from_iterator(scores.len(), ranks);
        let spread = outcome.max() - outcome.min();
        let Some(fit) = ranks::fit(design, &outcome).filter(|_| spread > 0.0) else {
            return;
        };
        let names = ["ranks", "least-squares"];
        let ones = DVector::from_element(scores.len(), 1.0);
        let covariance = sandwich::clustered(&fit.bread, design, &fit.residuals, &ones, self.cluster);
        let terms = self.design.terms.iter();
        let coefficients = terms.map(|term| self.coefficient(term, names, &fit.coefficients, &covariance));
        found.coefficients.extend(coefficients);
        let folds = self.fold_columns();
        let among = |kept: &[usize]| ranks::fit(&design.select_columns(kept), &outcome);
        let mut tests = Vec::new();
        for (attribute, places) in self.design.attributes() {
            let kept: Vec<usize> = (0..design.ncols()).filter(|place| !places.contains(place)).collect();
            let ratio = among(&kept).and_then(|small| ranks::f_test(&fit, &small));
            let base: Vec<usize> = [0].iter().chain(&folds).copied().collect();
            let more: Vec<usize> = base.iter().chain(&places).copied().collect();
            let alone = (attribute != FOLD)
                .then(|| ranks::f_test(&among(&more)?, &among(&base)?))
                .flatten();
            tests.push(RegressionTest {
                statistic: ratio.map(|(statistic, _)| statistic),
                p: ratio.map(|(_, p)| p),
                p_alone: alone.map(|(_, p)| p),
                ..self.test(&attribute, &places, names, &fit.coefficients, &covariance)
            });
        }
        found.tests.extend(self.adjusted(tests));
    }

    /// Columns of the folds.
    fn fold_columns(&self) -> Vec<usize> {
        let folds = self.design.terms.iter().filter(|term| term.attribute == FOLD);
        folds.filter_map(|term| term.place).collect()
    }

    fn coefficient(
        &self,
        term: &design::Term,
        [model, method]: [&str; 2],
        coefficients: &DVector<f64>,
        covariance: &DMatrix<f64>,
    ) -> Coefficient {
        let value = term.place.map(|place| coefficients[place]);
        let error = term
            .place
            .map(|place| covariance[(place, place)].sqrt())
            .filter(|error| error.is_finite());
        let end = |sign: f64| Some(value? + sign * z95() * error?);
        Coefficient {
            outcome: self.cohort.outcome.clone(),
            model: model.to_owned(),
            method: method.to_owned(),
            attribute: term.attribute.clone(),
            level: term.level.clone(),
            reference: term.reference.clone(),
            n: term.n,
            htl: term.hard,
            coefficient: value,
            standard_error: error,
            lo: end(-1.0),
            hi: end(1.0),
            p: value
                .zip(error)
                .filter(|(_, error)| *error > 0.0)
                .map(|(value, error)| normal_p(value / error)),
            ..Coefficient::default()
        }
    }

    fn test(
        &self,
        attribute: &str,
        places: &[usize],
        [model, method]: [&str; 2],
        coefficients: &DVector<f64>,
        covariance: &DMatrix<f64>,
    ) -> RegressionTest {
        let wald = (method != FIRTH)
            .then(|| sandwich::wald(coefficients, covariance, places))
            .flatten();
        RegressionTest {
            outcome: self.cohort.outcome.clone(),
            model: model.to_owned(),
            method: method.to_owned(),
            attribute: attribute.to_owned(),
            n: self.design.images.len(),
            htl: self.hits,
            df: places.len(),
            wald: wald.map(|(statistic, _)| statistic),
            p_wald: wald.map(|(_, p)| p),
            ..RegressionTest::default()
        }
    }

    fn adjusted(&self, mut tests: Vec<RegressionTest>) -> Vec<RegressionTest> {
        let counts = |test: &RegressionTest| {
            let p = if self.dependent && test.method != FIRTH {
                test.p_wald
            } else {
                test.p
            };
            p.filter(|_| test.attribute != FOLD)
        };
        let raw: Vec<f64> = tests.iter().filter_map(counts).collect();
        let mut adjusted = Adjustment::Holm.adjust(&raw).into_iter();
        for test in &mut tests {
            test.p_adjusted = counts(test).and_then(|_| adjusted.next());
        }
        tests
    }
}

/// Ends of the 95 % interval of a coefficient by profile of Firth's likelihood: where the largest likelihood with the
/// coefficient held there is 1.92 below the largest of all. An end further than 50 away is none.
///
/// Matches `logistf` of R and `firthmodels` of Python.
fn profile(design: &DMatrix<f64>, outcome: &DVector<f64>, fit: &LogisticFit, place: usize) -> [Option<f64>; 2] {
    let top = fit.coefficients[place];
    let allowed = z95().powi(2) / 2.0;
    let lacking = |value: f64| {
        let held = logistic::fit(
            design,
            outcome,
            Likelihood::Firth,
            &[(place, value)],
            Some(&fit.coefficients),
        );
        held.map_or(f64::INFINITY, |held| fit.log_likelihood - held.log_likelihood) - allowed
    };
    let error = fit.covariance[(place, place)].sqrt().max(1e-3);
    [-1.0, 1.0].map(|side| {
        let mut distance = 2.0 * error;
        while lacking(top + side * distance) < 0.0 {
            distance *= 1.6;
            if distance > 50.0 {
                return None;
            }
        }
        let at = crossing(0.0, distance, |distance| lacking(top + side * distance));
        Some(top + side * at)
    })
}

/// Where a rising function crosses zero between two ends, to 1e-8: the secant's place where it lies well inside, else the
/// middle.
fn crossing(mut low: f64, mut high: f64, function: impl Fn(f64) -> f64) -> f64 {
    let (mut at_low, mut at_high) = (function(low), function(high));
    for _ in 0..60 {
        let secant = low - at_low * (high - low) / (at_high - at_low);
        let inside = low + 0.05 * (high - low)..=high - 0.05 * (high - low);
        let next = if inside.contains(&secant) {
            secant
        } else {
            0.5 * (low + high)
        };
        let value = function(next);
        if value.abs() < 1e-10 || high - low < 1e-8 {
            return next;
        }
        if value < 0.0 {
            (low, at_low) = (next, value);
        } else {
            (high, at_high) = (next, value);
        }
    }
    bisect(low, high, function)
}
