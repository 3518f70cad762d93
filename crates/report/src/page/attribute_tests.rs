//! Tests of whole attributes: one at a time, and all together with what the lesions look like.

use htl_mining::{AttributeTest, Coefficient, RegressionTest};
use serde::Serialize;

use crate::words;

#[derive(Serialize)]
pub(super) struct Tests {
    omnibus: Vec<Omnibus>,
    regressions: Vec<Regression>,
    coefficients: Vec<Odds>,
}

#[derive(Serialize)]
struct Omnibus {
    outcome: String,
    attribute: String,
    test: &'static str,
    n: usize,
    levels: usize,
    statistic: String,
    p: String,
    p_adjusted: String,
}

#[derive(Serialize)]
struct Regression {
    outcome: String,
    model: &'static str,
    attribute: String,
    n: usize,
    df: usize,
    alone: String,
    together: String,
    p_adjusted: String,
}

#[derive(Serialize)]
struct Odds {
    outcome: String,
    attribute: String,
    level: String,
    n: usize,
    htl: usize,
    odds: String,
    interval: String,
}

/// `None` where nothing was tested.
pub(super) fn view(
    tests: &[AttributeTest],
    regressions: &[RegressionTest],
    coefficients: &[Coefficient],
) -> Option<Tests> {
    if tests.is_empty() && regressions.is_empty() {
        return None;
    }
    let omnibus = tests.iter().map(|test| Omnibus {
        outcome: words::score(&test.outcome),
        attribute: words::attribute(&test.attribute),
        test: test_name(&test.test),
        n: test.n,
        levels: test.levels,
        statistic: words::minus(words::compact(test.statistic)),
        p: words::p(Some(test.p_permutation)),
        p_adjusted: words::p(Some(test.p_adjusted)),
    });
    let regression = regressions.iter().map(|test| Regression {
        outcome: words::score(&test.outcome),
        model: if test.model == "logistic" {
            "hard or not"
        } else {
            "ranks of the score"
        },
        attribute: covariate(&test.attribute),
        n: test.n,
        df: test.df,
        alone: words::p(test.p_alone),
        together: words::p(test.p_wald.or(test.p)),
        p_adjusted: words::p(test.p_adjusted),
    });
    let logistic = coefficients
        .iter()
        .filter(|row| row.model == "logistic" && row.odds_ratio.is_some());
    let odds = logistic.map(|row| Odds {
        outcome: words::score(&row.outcome),
        attribute: covariate(&row.attribute),
        level: match row.reference.as_str() {
            "" => words::level(&row.level),
            reference => format!("{} against {}", words::level(&row.level), words::level(reference)),
        },
        n: row.n,
        htl: row.htl,
        odds: words::ratio(row.odds_ratio),
        interval: match (row.odds_ratio_lo, row.odds_ratio_hi) {
            (Some(lo), Some(hi)) => format!("{} to {}", words::ratio(Some(lo)), words::ratio(Some(hi))),
            _ => words::UNDEFINED.to_owned(),
        },
    });
    Some(Tests {
        omnibus: omnibus.collect(),
        regressions: regression.collect(),
        coefficients: odds.collect(),
    })
}

fn test_name(key: &str) -> &'static str {
    match key {
        "chi-square" => "hard or not, any difference",
        "cochran-armitage" => "hard or not, trend",
        "kruskal-wallis" => "score, any difference",
        "jonckheere" => "score, trend",
        _ => "other",
    }
}

/// Attributes and the numbers that stand beside them.
fn covariate(key: &str) -> String {
    let known = htl_mining::COVARIATES.iter().find(|covariate| covariate.key == key);
    known.map_or_else(|| words::attribute(key), |covariate| covariate.label.to_owned())
}
