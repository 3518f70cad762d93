//! Names of things as a reader should see them, and numbers as they are printed everywhere.

/// How a metric's numbers are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// In [0, 1]: printed with three decimals, differences in points (hundredths).
    Fraction,
    /// Anything else: printed with three significant digits, differences in its own unit.
    Raw,
}

/// Which end of a metric's scale is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

/// What stands where a number is undefined.
pub(crate) const UNDEFINED: &str = "–";

const METRICS: [(&str, &str); 22] = [
    ("jaccard", "Jaccard"),
    ("threshold_jaccard", "Thresholded Jaccard"),
    ("dice", "Dice"),
    ("accuracy", "Pixel accuracy"),
    ("sensitivity", "Sensitivity"),
    ("specificity", "Specificity"),
    ("box_iou", "Box IoU"),
    ("pooled_jaccard", "Pooled Jaccard"),
    ("pooled_dice", "Pooled Dice"),
    ("worst_group_jaccard", "Jaccard, worst group"),
    ("htl_jaccard", "Jaccard, HTL images"),
    ("jaccard_htl", "Jaccard, HTL images"),
    ("htl_subset_jaccard", "Jaccard, HTL images"),
    ("calibration_error", "Calibration error"),
    ("map_quantile", "Quantile of the maps"),
    ("boundary_distance", "Boundary distance (px)"),
    ("class_accuracy", "Class accuracy"),
    ("max_box_acc_v2", "MaxBoxAccV2"),
    ("px_ap", "PxAP"),
    ("ece", "Calibration error"),
    ("brier", "Brier score"),
    ("loss", "Loss"),
];

/// Name of a metric, from its key.
pub(crate) fn metric(key: &str) -> String {
    METRICS
        .iter()
        .find(|(k, _)| *k == key)
        .map_or_else(|| spell(key), |(_, name)| (*name).to_owned())
}

/// Name of a metric inside a sentence.
pub(crate) fn metric_in_sentence(key: &str) -> String {
    let name = metric(key);
    match name.split_once(' ') {
        // Names of people and abbreviations keep their capitals.
        Some((first, rest)) if ["Thresholded", "Pooled", "Pixel", "Class"].contains(&first) => {
            format!("{} {rest}", first.to_lowercase())
        }
        _ => name,
    }
}

/// Unit of a metric, from its key.
pub(crate) fn unit(key: &str) -> Unit {
    let raw = ["distance", "hausdorff", "pixels", "loss", "_px", "count", "area"];
    if raw.iter().any(|word| key.contains(word)) {
        Unit::Raw
    } else {
        Unit::Fraction
    }
}

/// Whether a metric is better when higher, from its key.
pub(crate) fn better(key: &str) -> Better {
    let lower = ["distance", "hausdorff", "loss", "ece", "brier", "error"];
    if lower.iter().any(|word| key.split(['_', '-']).any(|part| part == *word)) {
        Better::Lower
    } else {
        Better::Higher
    }
}

/// Name of a setting.
pub(crate) fn setting(key: &str) -> String {
    match key {
        "supervised" => "Supervised".to_owned(),
        "semi-supervised" => "Semi-supervised".to_owned(),
        "weakly-supervised" => "Weakly supervised, image labels".to_owned(),
        "weakly-supervised-boxes" => "Weakly supervised, boxes".to_owned(),
        other => spell(other),
    }
}

const ARMS: [(&str, &str, &str, &str); 15] = [
    (
        "baseline",
        "Baseline",
        "the baseline",
        "Same training, every sample alike.",
    ),
    (
        "htl",
        "HTL attention",
        "HTL attention",
        "Attends to the samples on which dense and pruned networks part ways.",
    ),
    (
        "random",
        "Random attention",
        "random attention",
        "The same attention on an equally large random set, redrawn per seed.",
    ),
    (
        "pruned",
        "Pruned",
        "the pruned network",
        "The baseline pruned, then fine-tuned.",
    ),
    (
        "sham",
        "Sham",
        "sham fine-tuning",
        "The baseline fine-tuned as after pruning, with nothing pruned.",
    ),
    (
        "labelled-only",
        "Labelled only",
        "training on the labelled images only",
        "The labelled images alone; the unlabelled ones unused.",
    ),
    (
        "htl-query",
        "HTL query",
        "HTL query",
        "The same label budget, half of it spent on unlabelled images chosen by disagreement.",
    ),
    (
        "filled-box",
        "Filled box",
        "the filled box",
        "Trained on boxes filled as if they were masks.",
    ),
    (
        "inscribed-ellipse",
        "Inscribed ellipse",
        "the inscribed ellipse",
        "Trained on the ellipse inside each box as if it were the mask.",
    ),
    (
        "ellipse",
        "Inscribed ellipse",
        "the inscribed ellipse",
        "Trained on the ellipse inside each box as if it were the mask.",
    ),
    (
        "oracle-tuned",
        "Tuned threshold",
        "the tuned threshold",
        "The baseline's maps, with a threshold chosen by masks the setting does not have.",
    ),
    (
        "loss",
        "Loss attention",
        "loss attention",
        "The same attention driven by the training loss.",
    ),
    (
        "seed-variance",
        "Seed-variance attention",
        "seed-variance attention",
        "The same attention driven by variance between seeds.",
    ),
    (
        "el2n",
        "EL2N attention",
        "EL2N attention",
        "The same attention driven by early error norms.",
    ),
    (
        "total-compute",
        "Baseline, total compute",
        "the baseline of equal total compute",
        "The baseline trained with all the compute of the method, populations included.",
    ),
];

/// Name of an arm.
pub(crate) fn arm(key: &str) -> String {
    ARMS.iter()
        .find(|a| a.0 == key)
        .map_or_else(|| spell(key), |a| a.1.to_owned())
}

/// Name of an arm inside a sentence.
pub(crate) fn arm_in_sentence(key: &str) -> String {
    ARMS.iter()
        .find(|a| a.0 == key)
        .map_or_else(|| format!("“{key}”"), |a| a.2.to_owned())
}

/// What a known arm does, in a sentence.
pub(crate) fn arm_note(key: &str) -> &'static str {
    ARMS.iter().find(|a| a.0 == key).map_or("", |a| a.3)
}

/// Name of a predictor that learns nothing.
pub(crate) fn trivial(key: &str) -> String {
    match key {
        "whole-image" => "Whole image".to_owned(),
        "centred-disc" => "Best centred disc".to_owned(),
        "otsu" => "Otsu on darkness".to_owned(),
        other => spell(other),
    }
}

/// Name of a predictor that learns nothing, inside a sentence.
pub(crate) fn trivial_in_sentence(key: &str) -> String {
    match key {
        "whole-image" => "taking the whole image".to_owned(),
        "centred-disc" => "the best centred disc".to_owned(),
        "otsu" => "Otsu's threshold on darkness".to_owned(),
        other => format!("“{other}”"),
    }
}

/// Name of an attribute of people or lesions.
pub(crate) fn attribute(key: &str) -> String {
    match key {
        "dx" | "diagnosis" => "Diagnosis".to_owned(),
        "age" | "age_band" | "age_approx" => "Age".to_owned(),
        "anatom_site" => "Body site".to_owned(),
        "size" | "size_tercile" | "area" | "area_tercile" | "lesion_size" => "Lesion size".to_owned(),
        "contrast" | "contrast_tercile" | "delta_e" => "Contrast to skin (ΔE)".to_owned(),
        "ita" | "ita_tercile" | "ita_degrees" | "skin_tone" | "skin_tone_ita" => "Skin tone (ITA)".to_owned(),
        "border" | "touches_border" => "Border of the picture".to_owned(),
        other => spell(other),
    }
}

/// Name of an attribute inside a sentence.
pub(crate) fn attribute_in_sentence(key: &str) -> String {
    match key {
        "contrast" | "contrast_tercile" | "delta_e" => "contrast".to_owned(),
        "ita" | "ita_tercile" | "ita_degrees" | "skin_tone" | "skin_tone_ita" => "skin tone".to_owned(),
        other => attribute(other).to_lowercase(),
    }
}

/// `worst_group-jaccard` to `Worst group jaccard`.
pub(crate) fn spell(key: &str) -> String {
    let spaced = key.replace(['_', '-'], " ");
    let mut letters = spaced.trim().chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A metric's value: `0.793`, `12.4`, or a dash.
pub(crate) fn value(key: &str, value: Option<f64>) -> String {
    match value.filter(|v| v.is_finite()) {
        None => UNDEFINED.to_owned(),
        Some(v) => match unit(key) {
            Unit::Fraction => minus(format!("{v:.3}")),
            Unit::Raw => minus(compact(v)),
        },
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
    match unit(key) {
        Unit::Fraction => " points",
        Unit::Raw => "",
    }
}

fn number(key: &str, value: f64) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    let text = match unit(key) {
        Unit::Fraction => format!("{:.1}", value * 100.0),
        Unit::Raw => compact(value),
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

/// `1 seed`, `3 seeds`.
pub(crate) fn count(n: usize, thing: &str) -> String {
    if n == 1 {
        format!("1 {thing}")
    } else {
        format!("{n} {thing}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_carry_a_sign_and_zero_none() {
        assert_eq!(difference("jaccard", 0.004), "+0.4");
        assert_eq!(difference("jaccard", -0.0123), "−1.2");
        assert_eq!(difference("jaccard", -0.0001), "0.0");
        assert_eq!(difference("jaccard", 0.104), "+10.4");
        assert_eq!(difference("boundary_distance", 0.25), "+0.250");
        assert_eq!(difference("jaccard", f64::NAN), UNDEFINED);
        assert_eq!(interval("jaccard", [-0.008, 0.015]), "−0.8 to 1.5");
    }

    #[test]
    fn numbers_are_short_and_never_nan() {
        assert_eq!(value("jaccard", Some(0.79349)), "0.793");
        assert_eq!(value("boundary_distance", Some(3.21579)), "3.22");
        assert_eq!(value("jaccard", Some(f64::NAN)), UNDEFINED);
        assert_eq!(percent(Some(0.254)), "25\u{a0}%");
        assert_eq!(percent(Some(0.031)), "3.1\u{a0}%");
        assert_eq!(ratio(Some(f64::INFINITY)), UNDEFINED);
        assert_eq!(p(Some(0.0001)), "<0.001");
        assert_eq!(minus("-0.00".to_owned()), "0.00");
    }

    #[test]
    fn unknown_names_are_spelt_out() {
        assert_eq!(metric("worst_age_band"), "Worst age band");
        assert_eq!(setting("few-shot"), "Few shot");
        assert_eq!(better("boundary_distance"), Better::Lower);
        assert_eq!(better("precision"), Better::Higher);
    }
}
