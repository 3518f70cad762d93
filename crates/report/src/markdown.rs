use std::fmt::Write;

use htl_vocabulary::results::{Arm, PRIMARY_METRIC, Results, comparison_arms};
use htl_vocabulary::setting;

use crate::summary::{Verdict, arms_in_order, verdict_of};
use crate::words;

/// Printed beside the primary metric.
const SECOND: &str = "threshold_jaccard";

/// The results as two Markdown tables for a README: a row per arm and per predictor that learns nothing, then a row per
/// paired gain in the primary metric.
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
    text
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
