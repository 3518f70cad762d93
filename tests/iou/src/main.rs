//! `htl-iou`, which `cargo xtask check-iou` builds and starts: does localization still come out as it did?
//!
//! Training is deterministic, so the committed baseline and a fresh run of the same seed should agree image by image, but
//! for rounding, which another processor or another order of sums changes and which training amplifies. Seeds differ from
//! each other far more than most mistakes matter (a pooling gradient four times too small costs hardly any Jaccard on
//! average, but every network comes out different), so runs are compared with the same seed: the measured quantity is the
//! mean over test images of the absolute change of the Jaccard index, and its median over a few trainings, since now and
//! then a training is at a tipping point. How large that gets from rounding alone is measured over seeds by trainings whose
//! learning rate is changed by a hundred-thousandth, more than rounding does; that gives the noise band.

use anyhow::{Context, Result, bail};
use clap::Parser;
use htl_experiment::design::trainings;
use htl_experiment::engine::{Run as EngineRun, StopAt, local};
use htl_experiment::plan::{Base, Value};
use htl_experiment::{Profile, cores};
use htl_metrics::PerImage;
use htl_vocabulary::{duration_in_words, write_whole};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Data in the repository.
const EMBEDDED_DATA: &str = "data-manifest/embedded";

/// The committed baseline, relative to the repository.
const BASELINE: &str = "tests/baselines/smoke-iou.json";

/// Trainings that make one seed's measurement: the median of their changes.
const TRAININGS: u64 = 5;

/// Seeds of a check, and the fewest for a new baseline.
const SEEDS: u64 = 3;
const SEEDS_OF_BASELINE: u64 = 10;

/// Relative change of the learning rate that stands for rounding.
const ROUNDING: [f64; 2] = [1e-5, -1e-5];

/// The band's width: Student's t for one false alarm in a thousand, by degrees of freedom 9, 14 and 19.
const T_999: [(u64, f64); 3] = [(9, 4.297), (14, 3.787), (19, 3.579)];

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask check-iou",
    about = "Compares fresh localization with the committed baseline, image by image, within a noise band measured over seeds"
)]
struct Args {
    /// Measures the baseline and its noise band afresh and writes them
    #[arg(long)]
    update: bool,
    /// Seeds to compare; at least 10 with --update
    #[arg(long)]
    seeds: Option<u64>,
    /// The htl to be judged
    #[arg(long)]
    htl: PathBuf,
    /// The repository, with the baseline and the data
    #[arg(long, default_value = ".")]
    repository: PathBuf,
}

/// The committed file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Baseline {
    /// What made it.
    command: String,
    /// What was trained: the supervised baseline of this profile.
    profile: String,
    size: usize,
    width: usize,
    batch: usize,
    image_steps: usize,
    /// Trainings per seed.
    trainings: u64,
    /// Change per image that rounding alone stays below.
    band: f64,
    /// The measurement behind the band, by seed.
    noise: Vec<Noise>,
    /// Mean test Jaccard by seed, and its standard deviation over seeds: for orientation.
    jaccard: Vec<f64>,
    jaccard_sd: f64,
    /// Test images.
    image_ids: Vec<String>,
    /// Jaccard in ten-thousandths, by training, then image.
    per_image: Vec<Vec<u16>>,
}

/// Change per image by rounding, for each of [`ROUNDING`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Noise {
    seed: u64,
    change: Vec<f64>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Fails when most seeds are outside the band.
fn run(args: &Args) -> Result<()> {
    let begin = Instant::now();
    let htl = args
        .htl
        .canonicalize()
        .with_context(|| format!("there is no htl at {}", args.htl.display()))?;
    let data = args.repository.join(EMBEDDED_DATA);
    if args.update {
        return update(args, &htl, &data, begin);
    }
    let path = args.repository.join(BASELINE);
    let text = fs::read_to_string(&path).with_context(|| {
        format!(
            "cannot read {}: make it with `cargo xtask check-iou --update`",
            path.display()
        )
    })?;
    let baseline: Baseline = serde_json::from_str(&text)
        .with_context(|| format!("{BASELINE} is not a baseline: make it anew with --update"))?;
    let profile = Profile::named("smoke")?;
    baseline.fits(&profile)?;
    let seeds = args.seeds.unwrap_or(SEEDS);
    if seeds == 0 || seeds * TRAININGS > baseline.per_image.len() as u64 {
        bail!(
            "--seeds: the baseline has {} seeds",
            baseline.per_image.len() as u64 / TRAININGS
        );
    }
    let fresh = train(&profile, &htl, &data, seeds * TRAININGS, &[0.])?;
    let mut outside = 0;
    for seed in 0..seeds {
        let range = (seed * TRAININGS) as usize..((seed + 1) * TRAININGS) as usize;
        let mut changes = Vec::new();
        let (mut before, mut after) = (0., 0.);
        for training in range {
            let known: Vec<f64> = baseline.per_image[training]
                .iter()
                .map(|value| f64::from(*value) / 1e4)
                .collect();
            let found = fresh[0][training].in_order(&baseline.image_ids)?;
            changes.push(change(&known, &found));
            before += mean(&known) / TRAININGS as f64;
            after += mean(&found) / TRAININGS as f64;
        }
        let changed = median(&mut changes);
        let verdict = if changed > baseline.band { "OUTSIDE" } else { "inside" };
        outside += u64::from(changed > baseline.band);
        println!(
            "seed {seed}: Jaccard {after:.4}, baseline {before:.4}; change per image {changed:.4}, {verdict} the noise band {:.4}",
            baseline.band
        );
    }
    println!(
        "check-iou: {outside} of {seeds} seeds outside the noise band, in {}",
        duration_in_words(begin.elapsed())
    );
    if outside * 2 > seeds {
        bail!(
            "localization does not come out as in {BASELINE}. If the change is meant, look at the Jaccard above, then run \
             `cargo xtask check-iou --update` and commit the file; if not, something that trains or measures is broken"
        );
    }
    Ok(())
}

/// Measures and writes the baseline.
fn update(args: &Args, htl: &Path, data: &Path, begin: Instant) -> Result<()> {
    let seeds = args.seeds.unwrap_or(SEEDS_OF_BASELINE);
    if seeds < SEEDS_OF_BASELINE {
        bail!("--seeds {seeds}: a noise band needs at least {SEEDS_OF_BASELINE} seeds");
    }
    let profile = Profile::named("smoke")?;
    let nudges: Vec<f64> = [0.].into_iter().chain(ROUNDING).collect();
    let runs = train(&profile, htl, data, seeds * TRAININGS, &nudges)?;
    let image_ids: Vec<String> = runs[0][0].0.keys().cloned().collect();
    let mut noise = Vec::new();
    let mut jaccard = Vec::new();
    for seed in 0..seeds {
        let range = (seed * TRAININGS) as usize..((seed + 1) * TRAININGS) as usize;
        let mut change_by = Vec::new();
        for nudged in &runs[1..] {
            let mut changes = Vec::new();
            for training in range.clone() {
                changes.push(change(
                    &runs[0][training].in_order(&image_ids)?,
                    &nudged[training].in_order(&image_ids)?,
                ));
            }
            change_by.push(round(median(&mut changes)));
        }
        noise.push(Noise {
            seed,
            change: change_by,
        });
        let own: Vec<f64> = range
            .map(|training| Ok(mean(&runs[0][training].in_order(&image_ids)?)))
            .collect::<Result<_>>()?;
        jaccard.push(round(mean(&own)));
    }
    let per_image: Vec<Vec<u16>> = runs[0]
        .iter()
        .map(|run| {
            Ok(run
                .in_order(&image_ids)?
                .into_iter()
                .map(|value| (value * 1e4).round() as u16)
                .collect())
        })
        .collect::<Result<_>>()?;
    let baseline = Baseline {
        command: "cargo xtask check-iou --update".into(),
        profile: profile.name.clone(),
        size: profile.size,
        width: profile.width,
        batch: profile.batch,
        image_steps: profile.image_steps,
        trainings: TRAININGS,
        band: round(band(&noise)),
        jaccard_sd: round(deviation(&jaccard)),
        noise,
        jaccard,
        image_ids,
        per_image,
    };
    let path = args.repository.join(BASELINE);
    write_whole(&path, serde_json::to_string(&baseline)? + "\n")?;
    println!(
        "check-iou: {BASELINE} written in {}: Jaccard {:.4} (sd over seeds {:.4}), noise band {:.4}",
        duration_in_words(begin.elapsed()),
        mean(&baseline.jaccard),
        baseline.jaccard_sd,
        baseline.band
    );
    Ok(())
}

/// One-sided prediction bound for a further seed, from the larger change of each seed.
fn band(noise: &[Noise]) -> f64 {
    let changes: Vec<f64> = noise
        .iter()
        .map(|seed| seed.change.iter().copied().fold(0., f64::max))
        .collect();
    let freedom = changes.len() as u64 - 1;
    let t = T_999
        .iter()
        .rev()
        .find(|(known, _)| *known <= freedom)
        .map_or(T_999[0].1, |(_, t)| *t);
    mean(&changes) + t * deviation(&changes) * (1. + 1. / changes.len() as f64).sqrt()
}

impl Baseline {
    fn fits(&self, profile: &Profile) -> Result<()> {
        let own = (
            self.profile.as_str(),
            self.size,
            self.width,
            self.batch,
            self.image_steps,
            self.trainings,
        );
        let now = (
            profile.name.as_str(),
            profile.size,
            profile.width,
            profile.batch,
            profile.image_steps,
            TRAININGS,
        );
        if own != now {
            bail!("{BASELINE} was made with another smoke profile ({own:?}, now {now:?}): make it anew with --update");
        }
        Ok(())
    }
}

/// Test results of one training: Jaccard by image id.
struct Run(BTreeMap<String, f64>);

impl Run {
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let table = PerImage::from_csv(&bytes).with_context(|| path.display().to_string())?;
        let rows = table.rows.into_iter();
        Ok(Self(
            rows.map(|row| (row.scores.image_id, row.scores.jaccard)).collect(),
        ))
    }

    fn in_order(&self, ids: &[String]) -> Result<Vec<f64>> {
        if ids.len() != self.0.len() {
            bail!(
                "the baseline has {} test images, the data {}: make it anew with --update",
                ids.len(),
                self.0.len()
            );
        }
        let value = |id: &String| self.0.get(id).copied();
        ids.iter()
            .map(|id| {
                value(id)
                    .with_context(|| format!("`{id}` is no test image any more: make the baseline anew with --update"))
            })
            .collect()
    }
}

/// Trains seeds 0, 1, ... once per nudge of the learning rate and tests them: results by nudge, then seed.
fn train(profile: &Profile, htl: &Path, data: &Path, count: u64, nudges: &[f64]) -> Result<Vec<Vec<Run>>> {
    let out = tempfile::Builder::new().prefix("check-iou-").tempdir()?;
    let base = Base {
        data: data.into(),
        // A fresh folder: nothing of an earlier run is found there.
        data_sha256: String::new(),
        program: String::new(),
        device: "cpu".into(),
    };
    let changes: Vec<Vec<(&str, Value)>> = nudges
        .iter()
        .map(|nudge| vec![("learning_rate", Value::Float(profile.learning_rate * (1. + nudge)))])
        .collect();
    let (plan, results) = trainings(profile, base, count, &changes);
    let run = EngineRun {
        htl: htl.into(),
        out: out.path().into(),
        threads: 1,
        stop: StopAt::default(),
    };
    local::run(&plan, &run, cores())?;
    let read = |path: &String| Run::read(&out.path().join(path));
    results.iter().map(|runs| runs.iter().map(read).collect()).collect()
}

fn change(a: &[f64], b: &[f64]) -> f64 {
    mean(&a.iter().zip(b).map(|(a, b)| (a - b).abs()).collect::<Vec<_>>())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The middle value of an odd number of values.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.)
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len().max(2) - 1) as f64).sqrt()
}

fn round(value: f64) -> f64 {
    (value * 1e5).round() / 1e5
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The band is above every change it was made from, and widens with their spread.
    #[test]
    fn the_band_covers_its_measurement() {
        let noise = |spread: f64| -> Vec<Noise> {
            (0..10)
                .map(|seed| Noise {
                    seed,
                    change: vec![0.01 + spread * seed as f64, 0.005],
                })
                .collect()
        };
        let (narrow, wide) = (band(&noise(0.0001)), band(&noise(0.001)));
        assert!(narrow > 0.0109 && wide > 0.019 && wide > narrow);
    }

    #[test]
    fn one_tipping_point_does_not_count() {
        assert_eq!(median(&mut [0.3, 0.001, 0.002, 0.004, 0.003]), 0.003);
    }

    #[test]
    fn changes_do_not_cancel() {
        assert!((change(&[0.5, 0.5], &[0.6, 0.4]) - 0.1).abs() < 1e-12);
    }
}
