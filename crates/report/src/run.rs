//! A page's contents from the folder of a run: all but the pictures, which need networks.

use std::path::Path;

use htl_mining::{FoldChoice, Reliability, ScoreTable, default_score, read_reliability};
use htl_vocabulary::results::Gain;
use htl_vocabulary::run_file::{self, RunFile};
use htl_vocabulary::{read_history, read_rates, read_rows, setting, shell_word};
use indexmap::IndexMap;
use serde::de::DeserializeOwned;

use crate::{CurvePoint, QualityTable, RateTable, ReferralTable, Report, ReportError, ScoreErrors, numbers, words};

/// What the rates of hard-to-learn sets count.
const HARD_IMAGES: &str = "hard images";

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
            quality: quality(run, root)?,
            referral: referral(run, root)?,
            rates: rates(run, root)?,
            forgetting: table(root, run.analysis.forgetting.as_ref())?,
            tests: table(root, run.analysis.omnibus.as_ref())?,
            regression_tests: table(root, run.analysis.regression_tests.as_ref())?,
            coefficients: table(root, run.analysis.regression.as_ref())?,
            errors: errors(run, root)?,
            reliability: reliability(run, root)?,
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

/// A table of the analysis; no rows where it was not made.
fn table<T: DeserializeOwned>(root: &Path, name: Option<&String>) -> Result<Vec<T>, ReportError> {
    let read = name.map(|name| read_rows(&root.join(name)));
    Ok(read.transpose()?.unwrap_or_default())
}

/// What the score that selects says of the true errors of training images that its networks did not see.
fn errors(run: &RunFile, root: &Path) -> Result<Option<ScoreErrors>, ReportError> {
    let path = root.join(&run.analysis.scores);
    if !path.exists() {
        return Ok(None);
    }
    let table = ScoreTable::read(path)?;
    match table.choose(Some(setting::SUPERVISED.key), Some(FoldChoice::OutOfFold)) {
        Ok(rows) => ScoreErrors::of(&rows, default_score(&rows)),
        // Nobody was cross-fitted.
        Err(_) => Ok(None),
    }
}

/// The reliability of every score, mean over the folds.
fn reliability(run: &RunFile, root: &Path) -> Result<Vec<Reliability>, ReportError> {
    let folds = run.analysis.reliability.iter();
    let tables = folds
        .map(|table| Ok(read_reliability(&root.join(table))?))
        .collect::<Result<Vec<_>, ReportError>>()?;
    let Some((first, others)) = tables.split_first() else {
        return Ok(Vec::new());
    };
    let mean = |row: &Reliability| {
        let alike = |other: &&Reliability| other.score == row.score && other.beyond == row.beyond;
        let rows: Vec<&Reliability> = others.iter().filter_map(|table| table.iter().find(alike)).collect();
        let of = |value: fn(&Reliability) -> Option<f64>| {
            let values: Option<Vec<f64>> = rows.iter().copied().chain([row]).map(value).collect();
            values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
        };
        Reliability {
            images: row.images + rows.iter().map(|other| other.images).sum::<usize>(),
            spearman: of(|row| row.spearman),
            overlap: of(|row| row.overlap),
            ..row.clone()
        }
    };
    Ok(first.iter().map(mean).collect())
}

/// What settings have, in the order of the registry.
fn of_settings<'a, T: 'a>(
    run: &'a RunFile,
    of: impl Fn(&'a run_file::Setting) -> Option<&'a T>,
) -> impl Iterator<Item = (&'a str, &'a T)> {
    let having = run
        .settings
        .iter()
        .filter_map(|(key, files)| Some((key.as_str(), of(files)?)));
    let mut settings: Vec<_> = having.collect();
    settings.sort_by_key(|(key, _)| setting::position(key));
    settings.into_iter()
}

fn quality(run: &RunFile, root: &Path) -> Result<Vec<QualityTable>, ReportError> {
    let tables = of_settings(run, |files| files.performance.as_ref()).map(|(key, table)| {
        Ok(QualityTable {
            title: words::setting(key),
            rows: read_rows(&root.join(table))?,
        })
    });
    tables.collect()
}

fn referral(run: &RunFile, root: &Path) -> Result<Vec<ReferralTable>, ReportError> {
    let tables = of_settings(run, |files| files.referral.as_ref()).map(|(key, files)| {
        Ok(ReferralTable {
            title: words::setting(key),
            signals: read_rows(&root.join(&files.signals))?,
            ensembles: read_rows(&root.join(&files.ensembles))?,
        })
    });
    tables.collect()
}

/// Rates by the score that selects, and by its boundary-normalised form where there is one: what is hard by overlap because it
/// is small need not be by outline.
fn rates(run: &RunFile, root: &Path) -> Result<Vec<RateTable>, ReportError> {
    let mut tables = vec![RateTable {
        title: "Training images, out-of-fold".into(),
        note: "Each image is judged by the dense and pruned networks of the other fold, which never saw it.".into(),
        counted: HARD_IMAGES.into(),
        rows: read_rates(&root.join(&run.analysis.demographics))?,
    }];
    if let Some(table) = &run.analysis.demographics_boundary {
        let rows = read_rates(&root.join(table))?;
        if !rows.is_empty() {
            tables.push(RateTable {
                title: "The same by distance of the outlines".into(),
                note:
                    "As many images of each fold, but those whose outlines move furthest: overlap is lower for small \
                       lesions by arithmetic alone."
                        .into(),
                counted: HARD_IMAGES.into(),
                rows,
            });
        }
    }
    if let Some(table) = &run.analysis.suspect_labels {
        let rows = read_rates(&root.join(table))?;
        if !rows.is_empty() {
            tables.push(RateTable {
                title: "Suspected label errors".into(),
                note: "Images whose networks agree with each other and not with the mask. Hard images are not wrong ones: a group \
                       with many of these may be annotated worse, or look different from the rest."
                    .into(),
                counted: "suspected label errors".into(),
                rows,
            });
        }
    }
    Ok(tables)
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
    let own_profile = run.options_given.iter().any(|option| option == "--profile-file");
    let mut command = "cargo xtask reproduce".to_owned();
    if !own_profile {
        command.push_str(&format!(" --profile {}", shell_word(&run.profile)));
    }
    for option in &run.options_given {
        command.push_str(&format!(" {}", shell_word(option)));
    }
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
