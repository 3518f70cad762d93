//! `htl report`: the numbers of a run, and the page that shows them.

mod gallery;
mod numbers;

use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::Device;
use clap::Args;
use htl_datasets::{DataFolder, Manifest};
use htl_report::{CurvePoint, RateTable, Report, read_rates};
use indexmap::IndexMap;

use crate::run_file::RunFile;

/// `htl report`.
#[derive(Args)]
pub struct ReportCommand {
    /// The folder of a run: `--out` of `cargo xtask reproduce`
    #[arg(long)]
    run: PathBuf,
}

impl ReportCommand {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        let run = RunFile::read(&self.run)?;
        let root = &self.run;
        let device_name = htl_device::name(device);
        let results = numbers::results(&run, device_name, root)?;
        results.write(&root.join("results.json"))?;

        let data_path = if run.data.is_relative() && root.join(&run.data).exists() {
            root.join(&run.data)
        } else {
            run.data.clone()
        };
        let data = DataFolder::open(&data_path)?;
        let rates = read_rates(&root.join(&run.analysis.demographics))?;
        let report = Report {
            title: format!("Who is hard to localize: {}", run.dataset.name),
            curves: curves(&run, root)?,
            rates: vec![RateTable {
                title: "Training images, out-of-fold".into(),
                note: "Every image is judged by dense and pruned networks of the other fold, which never saw it."
                    .into(),
                rows: rates,
            }],
            gallery: gallery::hardest(&run, root, &data)?,
            examples: gallery::examples(&run, root, &data, device)?,
            notes: notes(&run),
            reproduce: vec![reproduce(&run)],
            attribution: attribution(&data_path),
            provenance: IndexMap::from([
                ("htl".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
                ("profile".to_owned(), run.profile.clone()),
                ("device".to_owned(), device_name.to_owned()),
            ]),
            results,
        };
        let page = root.join("report.html");
        report.write(&page)?;
        eprintln!("{}", page.display());
        Ok(())
    }
}

/// The command that makes this run again.
fn reproduce(run: &RunFile) -> String {
    let data = match run.dataset.name.as_str() {
        "embedded" => String::new(),
        name => format!(" --data {name}"),
    };
    format!("cargo xtask reproduce --profile {}{data}", run.profile)
}

fn curves(run: &RunFile, root: &Path) -> anyhow::Result<Vec<CurvePoint>> {
    let mut points = Vec::new();
    for (setting, entry) in &run.settings {
        let measure = match setting.as_str() {
            "weakly-supervised" => "balanced class accuracy",
            "weakly-supervised-boxes" => "box IoU",
            _ => "Jaccard",
        };
        for (arm, seeds) in &entry.arms {
            for seed in seeds {
                let Some(history) = &seed.history else { continue };
                for row in htl_trainers::read_history(&root.join(history))? {
                    points.push(CurvePoint {
                        setting: setting.clone(),
                        arm: arm.clone(),
                        seed: seed.seed,
                        step: row.step as u64,
                        train_loss: Some(row.train_loss),
                        validation: row.val_quality,
                        measure: measure.into(),
                    });
                }
            }
        }
    }
    Ok(points)
}

fn notes(run: &RunFile) -> Vec<String> {
    let mut notes = vec![
        "For research use, not a medical device.".to_owned(),
        "Splits are kept apart by lesion or patient only as far as the metadata names them.".to_owned(),
        "Learning rate and box refinement were chosen on development images outside this data set; sparsity on its \
         validation split; nothing on its test split."
            .to_owned(),
        "Who is hard is asked of training images by networks that did not see them; rates are descriptive of this data \
         set, and small groups have wide intervals."
            .to_owned(),
    ];
    if run
        .settings
        .values()
        .flat_map(|s| s.arms.values())
        .any(|seeds| seeds.len() < 5)
    {
        notes.push("Fewer than five seeds: intervals describe these runs and support no claim beyond them.".to_owned());
    }
    notes
}

/// Licence and attribution from the data folder's manifest, where it has one.
fn attribution(data: &Path) -> Vec<String> {
    let mut lines = match Manifest::read(&data.join("manifest.json")) {
        Ok(manifest) => vec![format!(
            "Images and masks: {}. {}",
            manifest.licence, manifest.attribution
        )],
        Err(_) => vec!["Images and masks: see the licence of your data.".to_owned()],
    };
    lines.push("Code: MIT OR Apache-2.0.".to_owned());
    lines
}

/// Reads a file of the run, naming it in the error.
fn read_text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
