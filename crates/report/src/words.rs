//! Numbers as they are printed everywhere, and names as the registries have them; a name that no registry knows is spelt
//! out from its key.

use htl_metrics::{Metric, Unit};
use htl_mining::{attribute_named, score_named};
use htl_vocabulary::{arm, setting, trivial};

/// What stands where a number is undefined.
pub(crate) const UNDEFINED: &str = "–";

/// Name of a metric, from its key.
pub(crate) fn metric(key: &str) -> String {
    Metric::named(key).map_or_else(|| spell(key), |metric| metric.label.to_owned())
}

/// Name of a metric inside a sentence.
pub(crate) fn metric_in_sentence(key: &str) -> String {
    Metric::named(key).map_or_else(|| format!("“{key}”"), |metric| metric.in_sentence.to_owned())
}

/// Fractions, and distances as shares of the diagonal, are printed with three decimals and their differences in points
/// (hundredths); any other number with three significant digits, and its differences in its own unit.
fn in_points(key: &str) -> bool {
    Metric::named(key).is_some_and(|metric| metric.unit != Unit::Raw)
}

/// Name of a setting.
pub(crate) fn setting(key: &str) -> String {
    setting::named(key).map_or_else(|| spell(key), |setting| setting.label.to_owned())
}

/// Name of an arm.
pub(crate) fn arm(key: &str) -> String {
    arm::named(key).map_or_else(|| spell(key), |arm| arm.label.to_owned())
}

/// Name of an arm inside a sentence.
pub(crate) fn arm_in_sentence(key: &str) -> String {
    arm::named(key).map_or_else(|| format!("“{key}”"), |arm| arm.in_sentence.to_owned())
}

/// Name of a predictor that learns nothing.
pub(crate) fn trivial(key: &str) -> String {
    trivial::named(key).map_or_else(|| spell(key), |predictor| predictor.label.to_owned())
}

/// Name of a predictor that learns nothing, inside a sentence.
pub(crate) fn trivial_in_sentence(key: &str) -> String {
    trivial::named(key).map_or_else(|| format!("“{key}”"), |predictor| predictor.in_sentence.to_owned())
}

/// Name of an attribute of people or lesions.
pub(crate) fn attribute(key: &str) -> String {
    attribute_named(key).map_or_else(|| spell(key), |attribute| attribute.label.to_owned())
}

/// Name of an attribute inside a sentence.
pub(crate) fn attribute_in_sentence(key: &str) -> String {
    attribute_named(key).map_or_else(
        || spell(key).to_lowercase(),
        |attribute| attribute.in_sentence.to_owned(),
    )
}

/// Name of a score.
pub(crate) fn score(key: &str) -> String {
    score_named(key).map_or_else(|| spell(key), |score| score.label.to_owned())
}

/// `worst_group-jaccard` to `Worst group jaccard`.
pub(crate) fn spell(key: &str) -> String {
    capital(key.replace(['_', '-'], " ").trim())
}

/// The text with a capital first letter.
pub(crate) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A metric's value: `0.793`, `12.4`, or a dash.
pub(crate) fn value(key: &str, value: Option<f64>) -> String {
    match value.filter(|v| v.is_finite()) {
        None => UNDEFINED.to_owned(),
        Some(v) if in_points(key) => minus(format!("{v:.3}")),
        Some(v) => minus(compact(v)),
    }
}

/// A metric's difference with its sign, fractions in points: `+0.4`, `−1.2`; zero has none.
pub(crate) fn difference(key: &str, value: f64) -> String {
    match number(key, value) {
        None => UNDEFINED.to_owned(),
        Some(text) if text.starts_with('−') || is_zero(&text) => text,
        Some(text) => format!("+{text}"),
    }
}

/// An interval of a difference: `−0.8 to 1.5`.
pub(crate) fn interval(key: &str, [lo, hi]: [f64; 2]) -> String {
    match (number(key, lo), number(key, hi)) {
        (Some(lo), Some(hi)) => format!("{lo} to {hi}"),
        _ => UNDEFINED.to_owned(),
    }
}

/// What differences of a metric are counted in, with a leading space; empty for raw metrics.
pub(crate) fn points(key: &str) -> &'static str {
    if in_points(key) { " points" } else { "" }
}

fn number(key: &str, value: f64) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    let text = if in_points(key) {
        format!("{:.1}", value * 100.0)
    } else {
        compact(value)
    };
    Some(minus(text))
}

fn is_zero(text: &str) -> bool {
    text.chars().all(|c| c == '0' || c == '.')
}

/// A share in percent: `25 %`, one decimal under ten.
pub(crate) fn percent(share: Option<f64>) -> String {
    match share.filter(|v| v.is_finite()) {
        None => UNDEFINED.to_owned(),
        Some(v) if v != 0.0 && v.abs() < 0.0995 => minus(format!("{:.1}\u{a0}%", v * 100.0)),
        Some(v) => minus(format!("{:.0}\u{a0}%", v * 100.0)),
    }
}

/// A ratio with two decimals; far ones with fewer.
pub(crate) fn ratio(value: Option<f64>) -> String {
    match value.filter(|v| v.is_finite()) {
        None => UNDEFINED.to_owned(),
        Some(v) if v >= 100.0 => ">100".to_owned(),
        Some(v) if v >= 10.0 => format!("{v:.0}"),
        Some(v) => minus(format!("{v:.2}")),
    }
}

/// A p: `0.03`, `<0.001`, or a dash.
pub(crate) fn p(value: Option<f64>) -> String {
    match value.filter(|v| v.is_finite()) {
        None => UNDEFINED.to_owned(),
        Some(v) if v < 0.001 => "<0.001".to_owned(),
        Some(v) if v < 0.1 => format!("{v:.3}"),
        Some(v) => format!("{v:.2}"),
    }
}

/// Three significant digits without an exponent where one can do without.
pub(crate) fn compact(v: f64) -> String {
    let size = v.abs();
    if v == 0.0 {
        "0".to_owned()
    } else if (100.0..1e7).contains(&size) {
        format!("{v:.0}")
    } else if (10.0..100.0).contains(&size) {
        format!("{v:.1}")
    } else if (0.001..10.0).contains(&size) {
        format!("{v:.*}", if size >= 1.0 { 2 } else { 3 })
    } else {
        format!("{v:.2e}")
    }
}

/// A true minus sign, and none before a zero.
pub(crate) fn minus(text: String) -> String {
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|c| !c.is_ascii_digit() || c == '0') => rest.to_owned(),
        Some(rest) => format!("−{rest}"),
        None => text,
    }
}

/// A number with two decimals: `0.57`, `−0.04`, or a dash.
pub(crate) fn two_decimals(value: Option<f64>) -> String {
    match value.filter(|v| v.is_finite()) {
        None => UNDEFINED.to_owned(),
        Some(v) => minus(format!("{v:.2}")),
    }
}

/// Name of a level of an attribute.
pub(crate) fn level(key: &str) -> String {
    key.replace('_', " ")
}

/// `1 seed`, `3 seeds`.
pub(crate) fn count(n: usize, thing: &str) -> String {
    if n == 1 {
        format!("1 {thing}")
    } else {
        format!("{n} {thing}s")
    }
}

/// What something costs: trainings from scratch, fine-tunings, forward passes per image.
pub(crate) fn cost(trainings: usize, fine_tunings: usize, passes: usize) -> String {
    let tunings = match fine_tunings {
        0 => String::new(),
        some => format!(", {}", count(some, "fine-tuning")),
    };
    let passes = match passes {
        1 => "1 pass".to_owned(),
        more => format!("{more} passes"),
    };
    format!("{}{tunings}, {passes}", count(trainings, "training"))
}

#[cfg(test)]
mod tests {
    use htl_metrics::METRICS;
    use htl_mining::{ATTRIBUTES, SCORES};

    use super::*;

    #[test]
    fn differences_carry_a_sign_and_zero_none() {
        assert_eq!(difference("jaccard", 0.004), "+0.4");
        assert_eq!(difference("jaccard", -0.0123), "−1.2");
        assert_eq!(difference("jaccard", -0.0001), "0.0");
        assert_eq!(difference("jaccard", 0.104), "+10.4");
        assert_eq!(difference("images", 0.25), "+0.250");
        assert_eq!(difference("jaccard", f64::NAN), UNDEFINED);
        assert_eq!(interval("jaccard", [-0.008, 0.015]), "−0.8 to 1.5");
    }

    #[test]
    fn numbers_are_short_and_never_nan() {
        assert_eq!(value("jaccard", Some(0.79349)), "0.793");
        assert_eq!(value("hd95", Some(0.0321579)), "0.032");
        assert_eq!(value("images", Some(120.0)), "120");
        assert_eq!(value("jaccard", Some(f64::NAN)), UNDEFINED);
        assert_eq!(percent(Some(0.254)), "25\u{a0}%");
        assert_eq!(percent(Some(0.031)), "3.1\u{a0}%");
        assert_eq!(ratio(Some(f64::INFINITY)), UNDEFINED);
        assert_eq!(p(Some(0.0001)), "<0.001");
        assert_eq!(minus("-0.00".to_owned()), "0.00");
    }

    /// A row of a registry is all that a name needs.
    #[test]
    fn names_are_those_of_the_registries() {
        for known in setting::SETTINGS {
            assert_eq!(setting(known.key), known.label);
        }
        for known in arm::ARMS {
            assert_eq!(arm(known.key), known.label);
            assert_eq!(arm_in_sentence(known.key), known.in_sentence);
        }
        for known in trivial::TRIVIAL {
            assert_eq!(trivial(known.key), known.label);
            assert_eq!(trivial_in_sentence(known.key), known.in_sentence);
        }
        for known in ATTRIBUTES {
            assert_eq!(attribute(known.key), known.label);
            assert_eq!(attribute_in_sentence(known.key), known.in_sentence);
        }
        for known in SCORES {
            assert_eq!(score(known.key), known.label);
        }
        for known in METRICS {
            assert_eq!(metric(known.key), known.label);
            assert_eq!(metric_in_sentence(known.key), known.in_sentence);
        }
    }

    #[test]
    fn unknown_names_are_spelt_out() {
        assert_eq!(metric("worst_age_band"), "Worst age band");
        assert_eq!(setting("few-shot"), "Few shot");
    }
}
