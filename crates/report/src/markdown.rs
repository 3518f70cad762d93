use std::fmt::Write;

use htl_vocabulary::results::{Arm, PRIMARY_METRIC, Rated, Referral, Results, comparison_arms};
use htl_vocabulary::setting;

use crate::summary::{Verdict, arms_in_order, verdict_of};
use crate::words;

/// The signal that knows the error.
const ORACLE: &str = "oracle";
/// Printed beside the primary metric.
const SECOND: &str = "threshold_jaccard";

/// Signals of referral that are shown, beside the oracle.
const BEST_SIGNALS: usize = 4;

/// The results as Markdown tables for a README: a row per arm and per predictor that learns nothing, a row per paired gain in
/// the primary metric, then the best signals of referral and the ensembles.
///
/// Means are over seeds, ± their standard deviation over seeds where there are several: not an interval. Intervals of gains
/// are for further seeds and images. The same results give the same text, so
/// that a test can hold a README against the committed `results.json`. An interval of fewer than five seeds is marked
/// `descriptive`.
pub fn markdown_table(results: &Results) -> String {
    let metrics = [PRIMARY_METRIC, SECOND];
    let [first, second] = metrics.map(words::metric);
    let mut text = String::new();
    row(&mut text, &["Setting", "Labels", "Arm", &first, &second, "Seeds"]);
    row(&mut text, &["---"; 6]);
    for (key, setting) in &results.settings {
        let mut shown = words::setting(key);
        let mut labels = setting::named(key).map_or("", |known| known.labels);
        for (name, arm) in arms_in_order(&setting.arms).chain(arms_in_order(&setting.oracle_tuned)) {
            let [first, second] = metrics.map(|metric| mean_and_sd(metric, arm));
            let seeds = arm.seeds.len().to_string();
            let (shown, labels) = (std::mem::take(&mut shown), std::mem::take(&mut labels));
            row(&mut text, &[&shown, labels, &words::arm(name), &first, &second, &seeds]);
        }
    }
    let mut shown = "Learns nothing";
    for (name, values) in &results.trivial {
        let [first, second] = metrics.map(|metric| words::value(metric, values.get(metric).copied()));
        let shown = std::mem::take(&mut shown);
        row(
            &mut text,
            &[shown, "", &words::trivial(name), &first, &second, words::UNDEFINED],
        );
    }
    text.push('\n');
    let unit = words::points(PRIMARY_METRIC);
    row(
        &mut text,
        &[
            "Setting",
            "Comparison",
            &format!("Gain in {first},{unit}"),
            "95 % interval",
        ],
    );
    row(&mut text, &["---"; 4]);
    for (key, setting) in &results.settings {
        let mut shown = words::setting(key);
        for (pair, gains) in &setting.gain {
            let (Some((a, b)), Some(gain)) = (comparison_arms(pair), gains.get(PRIMARY_METRIC)) else {
                continue;
            };
            let comparison = format!("{} against {}", words::arm(a), words::arm_in_sentence(b));
            let mut interval = words::interval(PRIMARY_METRIC, gain.ci95);
            if verdict_of(setting, pair, PRIMARY_METRIC, gain) == Verdict::Descriptive {
                interval.push_str(" (descriptive)");
            }
            let change = words::difference(PRIMARY_METRIC, gain.mean);
            row(
                &mut text,
                &[&std::mem::take(&mut shown), &comparison, &change, &interval],
            );
        }
    }
    for (key, setting) in &results.settings {
        if let Some(referral) = &setting.referral {
            referred(&mut text, &words::setting(key), referral);
        }
    }
    text
}

/// Whom the networks of a setting refer to a person, and what several of them are worth.
fn referred(text: &mut String, setting: &str, referral: &Referral) {
    let metric = words::metric(PRIMARY_METRIC);
    text.push('\n');
    row(
        text,
        &[
            &format!("{setting}: referred by"),
            "Cost",
            &format!("{metric}, nobody referred"),
            "without a tenth",
            "without a fifth",
        ],
    );
    row(text, &["---"; 5]);
    let best = (referral.signals.iter().filter(|(key, _)| *key != ORACLE)).take(BEST_SIGNALS);
    for (_, signal) in best.chain(referral.signals.get_key_value(ORACLE)) {
        let value = |name: &str| words::value(PRIMARY_METRIC, signal.numbers.get(name).copied());
        let [all, without_10, without_20] = ["jaccard", "jaccard_without_10", "jaccard_without_20"].map(value);
        row(text, &[&signal.label, &cost(signal), &all, &without_10, &without_20]);
    }
    text.push('\n');
    let gain = format!("Gain,{}", words::points(PRIMARY_METRIC));
    row(
        text,
        &[
            &format!("{setting}: predicted by"),
            "Cost",
            &metric,
            &gain,
            "95 % interval",
        ],
    );
    row(text, &["---"; 5]);
    for predictor in referral.ensembles.values() {
        let number = |name: &str| predictor.numbers.get(name).copied();
        let change = number("gain").map_or_else(String::new, |gain| words::difference(PRIMARY_METRIC, gain));
        let interval = number("lo").zip(number("hi"));
        let interval = interval.map_or_else(String::new, |(lo, hi)| words::interval(PRIMARY_METRIC, [lo, hi]));
        let jaccard = words::value(PRIMARY_METRIC, number("jaccard"));
        row(
            text,
            &[&predictor.label, &cost(predictor), &jaccard, &change, &interval],
        );
    }
}

fn cost(of: &Rated) -> String {
    let [trainings, fine_tunings, passes] =
        ["trainings", "fine_tunings", "passes"].map(|name| of.numbers.get(name).copied().unwrap_or(0.0) as usize);
    words::cost(trainings, fine_tunings, passes)
}

fn row(text: &mut String, cells: &[&str]) {
    let safe: Vec<String> = cells
        .iter()
        .map(|cell| cell.replace('|', "\\|").replace(['\n', '\r'], " "))
        .collect();
    // Writing into a string cannot fail.
    let _ = writeln!(text, "| {} |", safe.join(" | "));
}

/// Mean over seeds, with the standard deviation where there are several.
fn mean_and_sd(metric: &str, arm: &Arm) -> String {
    let values: Vec<f64> = arm.values(metric).map(|(_, value)| value).collect();
    let shown = words::value(metric, arm.mean(metric));
    let Some(mean) = arm.mean(metric).filter(|_| values.len() > 1) else {
        return shown;
    };
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
    format!("{shown} ± {}", words::value(metric, Some(variance.sqrt())))
}
