//! `cargo xtask readme`: keeps the results in README.md equal to the committed results of the embedded run.

use crate::workspace::root;
use anyhow::{Context, Result, bail};
use htl_vocabulary::write_whole;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// Committed results, relative to the root.
pub const RESULTS: &str = "tests/baselines/embedded-results.json";
const BEGIN: &str = "<!-- results:begin (cargo xtask readme --write) -->";
const END: &str = "<!-- results:end -->";

/// Settings in the order of the table, with what they may use.
const SETTINGS: [(&str, &str); 4] = [
    ("supervised", "all masks"),
    ("semi-supervised", "a fifth of the masks"),
    ("weakly-supervised-boxes", "boxes, no masks"),
    ("weakly-supervised", "image labels, no masks"),
];

/// The arm whose thresholds were chosen with masks.
const ORACLE: &str = "oracle-tuned";

/// Arms in the order of the table; others follow.
const ARMS: [&str; 10] = [
    "baseline",
    "htl",
    "random",
    "labelled-only",
    "htl-query",
    "filled-box",
    "ellipse",
    ORACLE,
    "pruned",
    "sham",
];

/// What `readme` takes.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Args {
    /// Fails if the table is not that of the committed results
    #[arg(long)]
    check: bool,
    /// Writes the table from the committed results
    #[arg(long)]
    write: bool,
    /// Commits these results (a results.json of the embedded profile) first, then writes
    #[arg(long)]
    from: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    if let Some(from) = &args.from {
        let text = fs::read_to_string(from).with_context(|| format!("cannot read {}", from.display()))?;
        let results: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", from.display()))?;
        if results["profile"] != "embedded" {
            bail!(
                "{} is of the profile {}, not embedded",
                from.display(),
                results["profile"]
            );
        }
        write_whole(&root().join(RESULTS), text)?;
    }
    if args.check { check() } else { write() }
}

/// Fails if README.md differs from what `write` would make of it.
pub fn check() -> Result<()> {
    let (path, found, expected) = sides()?;
    if found != expected {
        bail!(
            "the results in {} are not those of {RESULTS}: run `cargo xtask readme --write`",
            path.display()
        );
    }
    println!("readme: the results are the committed ones");
    Ok(())
}

fn write() -> Result<()> {
    let (path, found, expected) = sides()?;
    if found != expected {
        write_whole(&path, expected)?;
        println!("{} written", path.display());
    }
    Ok(())
}

/// The README's path, its text, and the text it should have.
fn sides() -> Result<(PathBuf, String, String)> {
    let path = root().join("README.md");
    let found = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let results = root().join(RESULTS);
    let text = fs::read_to_string(&results).with_context(|| {
        format!(
            "cannot read {}: make it with `cargo xtask readme --from`",
            results.display()
        )
    })?;
    let results: Value = serde_json::from_str(&text).with_context(|| format!("{RESULTS} is not JSON"))?;
    let expected = replaced(&found, &table(&results)?)?;
    Ok((path, found, expected))
}

/// The text with everything between the markers replaced.
fn replaced(text: &str, table: &str) -> Result<String> {
    let (Some(begin), Some(end)) = (text.find(BEGIN), text.find(END)) else {
        bail!("README.md has no lines `{BEGIN}` and `{END}`");
    };
    if end < begin {
        bail!("README.md has `{END}` before `{BEGIN}`");
    }
    Ok(format!("{}\n\n{table}\n{}", &text[..begin + BEGIN.len()], &text[end..]))
}

/// The results as tables in Markdown.
fn table(results: &Value) -> Result<String> {
    let mut text = String::from("| setting | arm | Jaccard | thresholded | seeds |\n| --- | --- | --- | --- | --- |\n");
    let settings = results["settings"]
        .as_object()
        .context("the results have no settings")?;
    for (setting, may_use) in SETTINGS {
        let Some(mut arms) = settings
            .get(setting)
            .and_then(|setting| setting["arms"].as_object().cloned())
        else {
            continue;
        };
        // Kept apart in the results, since its thresholds were chosen with masks.
        if let Some(oracle) = settings[setting][ORACLE].as_object() {
            arms.extend(oracle.clone());
        }
        let mut first = true;
        let others = arms.keys().map(String::as_str).filter(|arm| !ARMS.contains(arm));
        for arm in ARMS.into_iter().filter(|arm| arms.contains_key(*arm)).chain(others) {
            let seeds = arms[arm]["seeds"].as_array().context("an arm has no seeds")?;
            let of =
                |metric: &str| -> Vec<f64> { seeds.iter().filter_map(|seed| seed["test"][metric].as_f64()).collect() };
            let name = if first {
                format!("{setting} ({may_use})")
            } else {
                String::new()
            };
            first = false;
            let (jaccard, thresholded) = (mean_sd(&of("jaccard")), mean_sd(&of("threshold_jaccard")));
            writeln!(text, "| {name} | {arm} | {jaccard} | {thresholded} | {} |", seeds.len())?;
        }
    }
    if let Some(trivial) = results["trivial"].as_object() {
        let mut name = "nothing learnt";
        for (predictor, scores) in trivial {
            let score = |metric: &str| scores[metric].as_f64().map_or_else(|| "–".into(), three);
            let (jaccard, thresholded) = (score("jaccard"), score("threshold_jaccard"));
            writeln!(text, "| {name} | {predictor} | {jaccard} | {thresholded} | – |")?;
            name = "";
        }
    }
    text.push_str("\n| gain in Jaccard | mean | 95 % interval |\n| --- | --- | --- |\n");
    for (setting, _) in SETTINGS {
        let Some(gains) = settings.get(setting).and_then(|setting| setting["gain"].as_object()) else {
            continue;
        };
        for (pair, gain) in gains {
            let gain = &gain["jaccard"];
            let (Some(mean), Some(low), Some(high)) = (
                gain["mean"].as_f64(),
                gain["ci95"][0].as_f64(),
                gain["ci95"][1].as_f64(),
            ) else {
                continue;
            };
            writeln!(
                text,
                "| {setting}: {} | {} | {} to {} |",
                pair.replace("-vs-", " against "),
                signed(mean),
                signed(low),
                signed(high)
            )?;
        }
    }
    Ok(text)
}

fn three(value: f64) -> String {
    format!("{value:.3}")
}

fn signed(value: f64) -> String {
    format!("{value:+.3}")
}

/// Mean over seeds, with the standard deviation where there is one.
fn mean_sd(values: &[f64]) -> String {
    if values.is_empty() {
        return "–".into();
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    if values.len() < 2 {
        return three(mean);
    }
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
    format!("{} ± {}", three(mean), three(variance.sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn example() -> Value {
        let seed = |jaccard: f64| json!({"seed": 0, "test": {"jaccard": jaccard, "threshold_jaccard": 0.5}});
        json!({
            "settings": {"supervised": {
                "arms": {"random": {"seeds": [seed(0.8)]}, "baseline": {"seeds": [seed(0.7), seed(0.8)]}},
                "oracle-tuned": {"oracle-tuned": {"seeds": [seed(0.9)]}},
                "gain": {"htl-vs-baseline": {"jaccard": {"mean": 0.0123, "ci95": [-0.01, 0.02], "p": null}}}
            }},
            "trivial": {"otsu": {"jaccard": 0.554, "threshold_jaccard": 0.4}}
        })
    }

    #[test]
    fn the_table_says_what_the_results_say() {
        let table = table(&example()).unwrap();
        assert!(
            table.contains("| supervised (all masks) | baseline | 0.750 ± 0.071 | 0.500 ± 0.000 | 2 |"),
            "{table}"
        );
        assert!(table.contains("|  | oracle-tuned | 0.900 | 0.500 | 1 |"), "{table}");
        assert!(table.find("baseline").unwrap() < table.find("random").unwrap());
        assert!(
            table.contains("| nothing learnt | otsu | 0.554 | 0.400 | – |"),
            "{table}"
        );
        assert!(
            table.contains("| supervised: htl against baseline | +0.012 | -0.010 to +0.020 |"),
            "{table}"
        );
    }

    #[test]
    fn replacing_is_stable() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let once = replaced(&text, "new\n").unwrap();
        assert!(
            once.contains("new") && !once.contains("old") && once.starts_with("before") && once.ends_with("after\n")
        );
        assert_eq!(replaced(&once, "new\n").unwrap(), once);
        assert!(replaced("nothing", "new").is_err());
    }
}
