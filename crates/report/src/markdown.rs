use std::fmt::Write;

use crate::summary::Verdict;
use crate::{Arm, Metrics, PRIMARY_METRIC, Results, words};

const HEADER: &str = "\
| Setting | Arm | Jaccard (each seed) | Thresholded Jaccard | Dice | Gain over baseline, Jaccard points (95 % interval) |
| --- | --- | --- | --- | --- | --- |
";

/// The results as a Markdown table, one row per setting and arm and one per predictor that learns nothing, for a README.
///
/// The same results give the same text, so that a test can hold a README against the committed `results.json`. An interval
/// of fewer than five seeds is marked `descriptive`.
pub fn markdown_table(results: &Results) -> String {
    let mut table = HEADER.to_owned();
    for (key, setting) in &results.settings {
        let arms = setting.arms.iter().map(|(name, arm)| (words::arm(name), name, arm));
        let oracle = setting
            .oracle_tuned
            .iter()
            .map(|(name, arm)| (format!("{} (oracle-tuned)", words::arm(name)), name, arm));
        for (shown, name, arm) in arms.chain(oracle) {
            let gain = setting
                .gain
                .get(&format!("{name}-vs-baseline"))
                .and_then(|g| g.get(PRIMARY_METRIC));
            let gain = gain.map_or_else(String::new, |g| match Verdict::of(PRIMARY_METRIC, g) {
                Verdict::Undefined => words::UNDEFINED.to_owned(),
                verdict => {
                    let remark = if verdict == Verdict::Descriptive {
                        ", descriptive"
                    } else {
                        ""
                    };
                    let change = words::difference(PRIMARY_METRIC, g.mean);
                    format!("{change} ({}{remark})", words::interval(PRIMARY_METRIC, g.ci95))
                }
            });
            let cells = [
                words::setting(key),
                shown,
                seeds(arm),
                mean(arm, "threshold_jaccard"),
                mean(arm, "dice"),
                gain,
            ];
            push(&mut table, &cells);
        }
    }
    for (name, metrics) in &results.trivial {
        let of = |metric: &str| value(metrics, metric);
        let cells = [
            "learns nothing".to_owned(),
            words::trivial(name),
            of(PRIMARY_METRIC),
            of("threshold_jaccard"),
            of("dice"),
            String::new(),
        ];
        push(&mut table, &cells);
    }
    table
}

fn push(table: &mut String, cells: &[String]) {
    let safe: Vec<String> = cells
        .iter()
        .map(|c| c.replace('|', "\\|").replace(['\n', '\r'], " "))
        .collect();
    // Writing into a string cannot fail.
    let _ = writeln!(table, "| {} |", safe.join(" | "));
}

fn mean(arm: &Arm, metric: &str) -> String {
    words::value(metric, arm.mean(metric))
}

fn value(metrics: &Metrics, metric: &str) -> String {
    words::value(metric, metrics.get(metric).copied())
}

fn seeds(arm: &Arm) -> String {
    let each: Vec<String> = arm
        .values(PRIMARY_METRIC)
        .map(|(_, v)| words::value(PRIMARY_METRIC, Some(v)))
        .collect();
    let mean = words::value(PRIMARY_METRIC, arm.mean(PRIMARY_METRIC));
    if each.len() > 1 {
        format!("**{mean}** ({})", each.join(", "))
    } else {
        format!("**{mean}**")
    }
}
