use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use htl_metrics::{
    BASELINE_VERSION, BandParams, Baseline, GOOD_BASELINE_RUNS, LEAST_BASELINE_RUNS, Metric, MetricError, PerImage,
    Runs,
};
use htl_vocabulary::write_whole;

use super::print;
use super::telling::Telling;

/// `htl check`.
#[derive(Args)]
#[command(
    after_help = "Exit code: 0 for no worse, 1 for worse in the mean or in a group of at least 20 images, 2 for \
    \"cannot tell\" (a baseline of fewer than 3 runs) and for bad input."
)]
pub struct Check {
    /// per_image.csv of `htl evaluate`; several for several seeds, whose median is compared
    #[arg(long, required = true, num_args = 1..)]
    results: Vec<PathBuf>,
    /// Seeds of the results, in the same order; five or more that the baseline has too are compared seed by seed
    #[arg(long, num_args = 1..)]
    seeds: Option<Vec<u64>>,
    /// The baseline, JSON
    #[arg(long)]
    baseline: PathBuf,
    /// The column that is compared, with --update; else the baseline's own
    #[arg(long, requires = "update", default_value = "jaccard", value_parser = metrics_of_images())]
    metric: &'static Metric,
    /// Makes the results the new baseline; give five seeds or more, their spread becomes the noise band
    #[arg(long)]
    update: bool,
    /// How often the mean of an unchanged program may be called worse, and once more any of its groups, in (0, 0.5)
    /// (with --update)
    #[arg(long)]
    false_alarm: Option<f64>,
    /// The band is never narrower than this (with --update)
    #[arg(long)]
    floor: Option<f64>,
    #[command(flatten)]
    telling: Telling,
}

/// Exit code for "cannot tell", as for a command line that cannot be read.
const CANNOT_TELL: u8 = 2;

impl Check {
    pub fn run(self) -> ExitCode {
        match self.judge() {
            Ok(code) => code,
            Err(error) => {
                eprintln!("error: {}", crate::causes(&error));
                ExitCode::from(CANNOT_TELL)
            }
        }
    }

    fn judge(&self) -> anyhow::Result<ExitCode> {
        let tables = self
            .results
            .iter()
            .map(|path| read_table(path))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if self.update {
            return self.update(&tables);
        }
        let baseline = read_baseline(&self.baseline)?;
        let runs = self.runs(&tables, &baseline.metric)?;
        let groups = tables.first().map(PerImage::attributes).unwrap_or_default();
        let outcome = baseline
            .check(&runs, &groups)
            .with_context(|| format!("comparing with {}", self.baseline.display()))?;
        self.telling.tell(&outcome, || outcome.to_string())?;
        if let Some(warning) = outcome.warning() {
            eprintln!("warning: {warning}");
        }
        Ok(if outcome.passed() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn update(&self, tables: &[PerImage]) -> anyhow::Result<ExitCode> {
        let key = self.metric.key;
        let runs = self.runs(tables, key)?;
        let defaults = BandParams::default();
        let params = BandParams {
            false_alarm: self.false_alarm.unwrap_or(defaults.false_alarm),
            floor: self.floor.unwrap_or(defaults.floor),
        };
        let better = self
            .metric
            .better
            .with_context(|| format!("--metric {key}: it has no better or worse"))?;
        let baseline = Baseline::from_runs(key, better, &runs, params)?;
        write_whole(&self.baseline, serde_json::to_vec_pretty(&baseline)?)?;
        let (mean, count) = (baseline.mean, tables.len());
        let values = baseline.table();
        if values
            .iter()
            .enumerate()
            .any(|(place, run)| values[..place].contains(run))
        {
            eprintln!(
                "warning: two runs have the same value for every image: copies of one result say nothing of noise, and the band is \
                 too narrow"
            );
        }
        match baseline.band {
            Some(band) => print(&format!("baseline: {key} {mean:.4}, band {band:.4} from {count} runs"))?,
            None => print(&format!("baseline: {key} {mean:.4} from {count} run(s)"))?,
        }
        if count < LEAST_BASELINE_RUNS {
            eprintln!(
                "warning: nothing can be checked against fewer than {LEAST_BASELINE_RUNS} runs; train more seeds and give the \
                 results of all of them, {GOOD_BASELINE_RUNS} or more"
            );
        } else if count < GOOD_BASELINE_RUNS {
            eprintln!(
                "warning: with fewer than {GOOD_BASELINE_RUNS} runs the band is wide and small losses are not found"
            );
        }
        Ok(ExitCode::SUCCESS)
    }

    /// The metric's values in every table, with the seeds that were named.
    fn runs(&self, tables: &[PerImage], metric: &str) -> anyhow::Result<Runs> {
        let mut runs = Vec::with_capacity(tables.len());
        for (table, path) in tables.iter().zip(&self.results) {
            let mut run = Vec::with_capacity(table.rows.len());
            for row in &table.rows {
                let Some(value) = row.scores.metric(metric) else {
                    bail!("{}: no column `{metric}`", path.display());
                };
                run.push((row.scores.image_id.clone(), value));
            }
            runs.push(run);
        }
        let runs = Runs::new(&runs)?;
        match &self.seeds {
            None => Ok(runs),
            Some(seeds) => runs.with_seeds(seeds.clone()).context("--seeds"),
        }
    }
}

/// Accepts the metrics that every image has; the help names each with its direction.
fn metrics_of_images() -> impl TypedValueParser<Value = &'static Metric> {
    let values = Metric::per_image().map(|metric| {
        let better = metric.better.map(|better| format!("; {better}")).unwrap_or_default();
        PossibleValue::new(metric.key).help(format!("{}{better}", metric.label))
    });
    PossibleValuesParser::new(values.collect::<Vec<_>>()).try_map(|key| Metric::named(&key).ok_or("unknown metric"))
}

fn read_table(path: &Path) -> anyhow::Result<PerImage> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    PerImage::from_csv(&bytes).with_context(|| path.display().to_string())
}

fn read_baseline(path: &Path) -> anyhow::Result<Baseline> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}; make one with --update", path.display()))?;
    let not_one = || format!("{} is not a baseline", path.display());
    // A file of another version has other fields: its version says so better than the first of them would.
    let document: serde_json::Value = serde_json::from_str(&text).with_context(not_one)?;
    if let Some(found) = document.get("version").and_then(serde_json::Value::as_u64)
        && found != u64::from(BASELINE_VERSION)
    {
        let found = u32::try_from(found).unwrap_or(u32::MAX);
        let expected = BASELINE_VERSION;
        return Err(MetricError::BaselineVersion { found, expected }).with_context(|| path.display().to_string());
    }
    let baseline: Baseline = serde_json::from_value(document).with_context(not_one)?;
    baseline.validate().with_context(|| path.display().to_string())?;
    Ok(baseline)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        check: Check,
    }

    /// `--metric` takes every metric of an image and nothing else, and its help says which way each improves.
    #[test]
    fn metrics_come_from_the_registry() {
        let arguments = ["htl", "--results", "a", "--baseline", "b", "--update", "--metric"];
        for metric in htl_metrics::METRICS {
            let parsed = Command::try_parse_from(arguments.into_iter().chain([metric.key]));
            match Metric::per_image().any(|of_image| of_image.key == metric.key) {
                true => assert_eq!(parsed.map(|c| c.check.metric.key).ok(), Some(metric.key)),
                false => assert!(parsed.is_err(), "{}", metric.key),
            }
        }
        let help = <Command as clap::CommandFactory>::command()
            .render_long_help()
            .to_string();
        for metric in Metric::per_image() {
            let words = format!("{}; {}", metric.label, metric.better.unwrap());
            assert!(help.contains(&words), "{words} is not in\n{help}");
        }
    }
}
