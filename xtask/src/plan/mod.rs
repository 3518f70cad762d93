//! The experiment as a plan: one file per setting, building blocks in `build`.

mod boxes;
mod build;
mod cross_fit;
mod lists;
mod semi;
mod supervised;
mod trivial;
mod weak;

use crate::profile::Profile;
use crate::run_file::{Analysis, Dataset, RunFile};
use crate::stage::{Plan, StageRef, Value};
use build::Builder;
use std::path::Path;

pub use lists::look;

/// A planned experiment.
pub struct Experiment {
    /// What to run.
    pub plan: Plan,
    /// What it will have made.
    pub run_file: RunFile,
    /// Files to copy: (from, to), relative to the output folder.
    pub copies: Vec<(String, String)>,
    /// Tables whose rows, one after another, are `htl/scores.csv`.
    pub long: Vec<String>,
}

/// What a data folder has beside images and masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extras {
    /// A `metadata.csv`.
    pub metadata: bool,
    /// At least two image labels among the training images.
    pub labels: bool,
}

/// Plans the whole experiment on a data folder, which `run.json` calls `data_name`.
pub fn experiment(
    profile: &Profile,
    device: &str,
    data: &Path,
    data_name: &str,
    extras: Extras,
    dataset: Dataset,
    base: String,
) -> Experiment {
    let mut plan = Plan::new(base);
    let (data_value, subset) = lists::data(&mut plan, profile, data);
    let mut builder = Builder {
        plan: &mut plan,
        profile,
        data: data_value,
        metadata: extras.metadata,
    };
    let lists = lists::Lists::plan(&mut builder);

    let supervised = supervised::plan(&mut builder);
    let sparsity = supervised.sparsity.clone();
    let mut planned = vec![
        ("supervised", supervised),
        ("semi-supervised", semi::plan(&mut builder, &lists)),
    ];
    if extras.labels {
        planned.push(("weakly-supervised", weak::plan(&mut builder)));
    }
    planned.push(("weakly-supervised-boxes", boxes::plan(&mut builder)));
    let cross_fit = cross_fit::plan(&mut builder, &lists, &sparsity);
    let trivial = trivial::plan(&mut builder);

    let mut long = vec![cross_fit.scores];
    let mut copies = vec![(cross_fit.demographics, "demographics.csv".to_string())];
    let mut settings = std::collections::BTreeMap::new();
    for (name, setting) in planned {
        long.push(setting.mined.relative(build::SCORES));
        copies.push((setting.mined.relative(build::SCORES), format!("htl/{name}.csv")));
        settings.insert(name.to_string(), setting.into_run_file());
    }
    let run_file = RunFile {
        profile: profile.name.into(),
        device: device.into(),
        data: subset.map_or_else(|| data_name.into(), |stage| stage.folder),
        dataset,
        settings,
        trivial,
        analysis: Analysis {
            scores: "htl/scores.csv".into(),
            demographics: "demographics.csv".into(),
            maps: cross_fit.maps,
        },
    };
    Experiment {
        plan,
        run_file,
        copies,
        long,
    }
}

/// Trains and tests the supervised baseline with seeds 0, 1, ..., once for each relative change of the learning rate.
/// Gives the per-image results by change, then seed. `plant` is a mistake for `htl` to make.
pub fn trainings(
    profile: &Profile,
    data: &Path,
    count: u64,
    nudges: &[f64],
    plant: Option<&str>,
) -> (Plan, Vec<Vec<String>>) {
    let mut plan = Plan::new(String::new());
    let data = Value::Data {
        folder: data.into(),
        file: String::new(),
    };
    let mut builder = Builder {
        plan: &mut plan,
        profile,
        data,
        metadata: true,
    };
    let mut results = Vec::new();
    for (index, nudge) in nudges.iter().enumerate() {
        let mut config = builder
            .config("supervised")
            .with("learning_rate", profile.learning_rate * (1. + nudge));
        if let Some(plant) = plant {
            config = config.with("plant", plant);
        }
        let name = format!("training-{index}");
        let arm = builder.arm(&name, &config, count);
        results.push(arm.into_iter().map(|seed| seed.per_image).collect());
    }
    (plan, results)
}

/// Seeds 0, 1, ... of a setting.
fn seeds(count: u64) -> std::ops::Range<u64> {
    0..count
}

/// The checkpoints of trainings.
fn checkpoints(stages: &[StageRef]) -> Vec<Value> {
    stages.iter().map(|stage| stage.file(build::CHECKPOINT)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn planned(profile: &str, data: &str) -> Experiment {
        let dataset = Dataset {
            name: "example".into(),
            train: 240,
            val: 40,
            test: 120,
        };
        let extras = Extras {
            metadata: true,
            labels: true,
        };
        experiment(
            &Profile::named(profile).unwrap(),
            "cpu",
            Path::new(data),
            "../data",
            extras,
            dataset,
            "base".into(),
        )
    }

    /// Every setting has the three arms, each with as many seeds as its baseline, and compares with both controls.
    #[test]
    fn every_setting_has_its_controls() {
        let run = planned("embedded", "/data").run_file;
        let names: Vec<&str> = run.settings.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "semi-supervised",
                "supervised",
                "weakly-supervised",
                "weakly-supervised-boxes"
            ]
        );
        for (name, setting) in &run.settings {
            for arm in ["baseline", "htl", "random"] {
                assert!(setting.arms[arm].len() >= 2, "{name} {arm}");
                assert_eq!(setting.arms[arm].len(), setting.arms["baseline"].len(), "{name} {arm}");
            }
            for control in ["baseline", "random"] {
                assert!(setting.compare.contains(&["htl".into(), control.into()]), "{name}");
            }
        }
        for (setting, arm) in [
            ("semi-supervised", "labelled-only"),
            ("semi-supervised", "htl-query"),
            ("weakly-supervised", "oracle-tuned"),
            ("weakly-supervised-boxes", "ellipse"),
            ("weakly-supervised-boxes", "filled-box"),
        ] {
            assert!(run.settings[setting].arms.contains_key(arm), "{setting} {arm}");
        }
        assert_eq!(run.trivial.len(), 3);
    }

    /// The plan names no place of this machine: the same experiment elsewhere has the same folders.
    #[test]
    fn keys_do_not_depend_on_the_place() {
        let folders = |data: &str| -> Vec<String> {
            planned("embedded", data)
                .plan
                .stages
                .into_iter()
                .map(|stage| stage.folder)
                .collect()
        };
        assert_eq!(folders("/somewhere/data"), folders("/elsewhere/else"));
    }

    /// Everything `run.json` points to is made by a stage, and survives a round trip.
    #[test]
    fn the_run_file_points_to_stages() {
        for profile in ["tiny", "smoke", "embedded", "isic2018"] {
            let experiment = planned(profile, "/data");
            let folders: BTreeSet<&str> = experiment
                .plan
                .stages
                .iter()
                .map(|stage| stage.folder.as_str())
                .collect();
            for setting in experiment.run_file.settings.values() {
                for arm in setting.arms.values().flatten() {
                    assert!(folders.contains(arm.folder.as_str()));
                    assert!(folders.contains(arm.per_image.rsplit_once('/').unwrap().0));
                }
            }
            let text = serde_json::to_string(&experiment.run_file).unwrap();
            assert_eq!(serde_json::from_str::<RunFile>(&text).unwrap(), experiment.run_file);
            assert!(!text.contains("\"/"), "an absolute path in {text}");
        }
    }
}
