use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use htl_metrics::{BandParams, Baseline, Better, Runs};

use super::{print, write_atomically};
use crate::per_image::{self, Row};

/// `htl check`.
#[derive(Args)]
pub struct Check {
    /// per_image.csv of `htl evaluate`; several for several seeds
    #[arg(long, required = true, num_args = 1..)]
    results: Vec<PathBuf>,
    /// The baseline, JSON
    #[arg(long)]
    baseline: PathBuf,
    /// The column that is compared, with --update; else the baseline's own
    #[arg(long, requires = "update", default_value = "jaccard")]
    metric: String,
    /// Makes the results the new baseline; give several seeds, their spread becomes the noise band
    #[arg(long)]
    update: bool,
    /// How often an unchanged program may be called worse (with --update)
    #[arg(long)]
    false_alarm: Option<f64>,
    /// The band is never narrower than this (with --update)
    #[arg(long)]
    floor: Option<f64>,
}

impl Check {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let tables = self
            .results
            .iter()
            .map(|path| per_image::read(path))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if self.update {
            return self.update(&tables);
        }
        let baseline = read_baseline(&self.baseline)?;
        let runs = runs(&tables, &baseline.metric)?;
        let groups = tables
            .first()
            .map(|rows| per_image::attributes(rows))
            .unwrap_or_default();
        let outcome = baseline
            .check(&runs, &groups)
            .with_context(|| format!("comparing with {}", self.baseline.display()))?;
        print(&outcome.to_string())?;
        Ok(if outcome.passed() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn update(&self, tables: &[Vec<Row>]) -> anyhow::Result<ExitCode> {
        let runs = runs(tables, &self.metric)?;
        let defaults = BandParams::default();
        let params = BandParams {
            false_alarm: self.false_alarm.unwrap_or(defaults.false_alarm),
            floor: self.floor.unwrap_or(defaults.floor),
        };
        let better = match self.metric.as_str() {
            "surface_distance" | "hd95" => Better::Lower,
            _ => Better::Higher,
        };
        let baseline = Baseline::from_runs(&self.metric, better, &runs, params)?;
        write_atomically(&self.baseline, &serde_json::to_vec_pretty(&baseline)?)?;
        match baseline.band {
            Some(band) => eprintln!(
                "baseline: {} {:.4}, band {band:.4} from {} seeds",
                self.metric,
                baseline.mean,
                tables.len()
            ),
            None => eprintln!(
                "baseline: {} {:.4} from one run; give several seeds to --results for a band that knows their noise",
                self.metric, baseline.mean
            ),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn read_baseline(path: &Path) -> anyhow::Result<Baseline> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read {}; make one with --update", path.display()))?;
    let baseline: Baseline =
        serde_json::from_str(&text).with_context(|| format!("{} is no baseline", path.display()))?;
    baseline.validate().with_context(|| path.display().to_string())?;
    Ok(baseline)
}

fn runs(tables: &[Vec<Row>], metric: &str) -> anyhow::Result<Runs> {
    let mut runs = Vec::with_capacity(tables.len());
    for rows in tables {
        let mut run = Vec::with_capacity(rows.len());
        for row in rows {
            let Some(value) = row.scores.metric(metric) else {
                bail!("--metric {metric}: the results have no such column");
            };
            run.push((row.scores.image_id.clone(), value));
        }
        runs.push(run);
    }
    Ok(Runs::new(&runs)?)
}
