//! A page's contents from the folder of a run: all but the pictures, which need networks.

use std::path::Path;

use htl_vocabulary::results::Gain;
use htl_vocabulary::run_file::RunFile;
use htl_vocabulary::{read_history, read_rates, setting, shell_word};
use indexmap::IndexMap;

use crate::{CurvePoint, RateTable, Report, ReportError, numbers};

/// Data sets that need no `--data`: they come with the repository.
const EMBEDDED: &str = "embedded";

impl Report {
    /// Everything that the page of a run shows but its pictures and the attribution of its data, from the files that
    /// `run.json` names in the folder `root`.
    ///
    /// # Errors
    /// [`ReportError`] naming the file that is missing or does not fit.
    pub fn of_run(run: &RunFile, root: &Path) -> Result<Self, ReportError> {
        Ok(Self {
            title: format!("Who is hard to localize: {}", run.dataset.name),
            results: numbers::results(run, root)?,
            curves: curves(run, root)?,
            rates: vec![RateTable {
                title: "Training images, out-of-fold".into(),
                note: "Each image is judged by the dense and pruned networks of the other fold, which never saw it."
                    .into(),
                rows: read_rates(&root.join(&run.analysis.demographics))?,
            }],
            notes: notes(run),
            reproduce: vec![reproduce(run, root)],
            provenance: IndexMap::from([
                ("htl".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
                ("profile".to_owned(), run.profile.clone()),
                ("device".to_owned(), run.device.clone()),
            ]),
            ..Self::default()
        })
    }
}

fn curves(run: &RunFile, root: &Path) -> Result<Vec<CurvePoint>, ReportError> {
    let mut points = Vec::new();
    for (key, files) in &run.settings {
        let measure = setting::named(key).map_or("", |setting| setting.validated_by);
        for (arm, seeds) in &files.arms {
            for seed in seeds {
                let Some(history) = &seed.history else { continue };
                for row in read_history(&root.join(history))? {
                    points.push(CurvePoint {
                        setting: key.clone(),
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
        "Splits are kept apart by lesion or patient only as far as the metadata names them.".to_owned(),
        "Learning rate and box refinement were chosen on development images outside this data set; sparsity on its \
         validation split; nothing on its test split."
            .to_owned(),
        "Training images are called hard by networks that did not see them. The rates describe this data set only, and \
         small groups have wide intervals."
            .to_owned(),
    ];
    let mut arms = run.settings.values().flat_map(|files| files.arms.values());
    if arms.any(|seeds| seeds.len() < Gain::SEEDS_FOR_A_TEST) {
        notes.push("Fewer than five seeds: intervals describe these runs and support no claim beyond them.".to_owned());
    }
    notes
}

/// The command that makes this run again, to be pasted into a shell.
fn reproduce(run: &RunFile, root: &Path) -> String {
    let mut command = format!("cargo xtask reproduce --profile {}", shell_word(&run.profile));
    let data = match &run.data_given {
        Some(given) => given.clone(),
        None if run.dataset.name == EMBEDDED => return command,
        // Run files of before `data_given`: a path that holds wherever the command is typed.
        None => root
            .join(&run.data)
            .canonicalize()
            .map_or_else(|_| run.data.clone(), |path| path.to_string_lossy().into_owned()),
    };
    command.push_str(&format!(" --data {}", shell_word(&data)));
    command
}
