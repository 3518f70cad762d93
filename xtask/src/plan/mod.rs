//! The experiment as a plan: one file per setting, building blocks in `build`.

mod boxes;
mod build;
mod cross_fit;
mod lists;
mod select;
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
pub use select::Selection;

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
    /// Files of the out-of-fold analysis.
    pub analysis_files: Vec<String>,
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

    let mut analysis_files = vec![cross_fit.scores.clone(), cross_fit.demographics.clone()];
    analysis_files.extend(cross_fit.maps.iter().cloned());
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
        analysis_files,
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
    use crate::profile::Precision;
    use crate::stage::Action;
    use anyhow::Result;
    use std::collections::{BTreeMap, BTreeSet};

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

    fn cut(profile: &str, only: &[&str], seeds: Option<u64>) -> Result<Experiment> {
        let only = only.iter().map(|part| part.to_string()).collect();
        Selection { only, seeds }.cut(planned(profile, "/data"))
    }

    fn folders(experiment: &Experiment) -> BTreeSet<String> {
        let stages = experiment.plan.stages.iter();
        stages.map(|stage| stage.folder.clone()).collect()
    }

    /// Whatever is selected, its stages are those of the whole experiment, so that the whole finds them done; each stage
    /// still comes after what it needs, and everything `run.json` names is made.
    #[test]
    fn a_part_is_a_part_of_the_whole() {
        let whole = planned("isic2018", "/data");
        let named: BTreeMap<String, String> = whole
            .plan
            .stages
            .iter()
            .map(|stage| (stage.name.clone(), stage.folder.clone()))
            .collect();
        let everything = folders(&whole);
        let parts: [(&[&str], Option<u64>); 6] = [
            (&[], None),
            (&[], Some(1)),
            (&["supervised"], Some(2)),
            (&["semi-supervised", "weakly-supervised-boxes"], None),
            (&["cross-fit"], Some(1)),
            (&["weakly-supervised/baseline"], Some(3)),
        ];
        let mut union = BTreeSet::new();
        for (only, seeds) in parts {
            let part = cut("isic2018", only, seeds).unwrap();
            let here = folders(&part);
            assert!(here.is_subset(&everything), "{only:?}");
            for (index, stage) in part.plan.stages.iter().enumerate() {
                assert_eq!(named[&stage.name], stage.folder);
                assert!(stage.needs.iter().all(|need| *need < index), "{}", stage.name);
                let needs = &whole
                    .plan
                    .stages
                    .iter()
                    .find(|other| other.name == stage.name)
                    .unwrap()
                    .needs;
                let names = |plan: &Plan, needs: &[usize]| -> Vec<String> {
                    needs.iter().map(|need| plan.stages[*need].name.clone()).collect()
                };
                assert_eq!(names(&part.plan, &stage.needs), names(&whole.plan, needs));
            }
            let text = serde_json::to_string(&part.run_file).unwrap();
            for path in text.split('"').filter(|word| word.starts_with("stages/")) {
                let known = here.iter().any(|folder| path.starts_with(folder.as_str()));
                assert!(known, "{path} of {only:?}");
            }
            union.extend(here);
        }
        assert_eq!(cut("isic2018", &[], None).unwrap().plan.stages.len(), everything.len());
        assert_eq!(union, everything);
    }

    /// Fewer seeds: fewer attended trainings, in every arm alike, while the population that is mined stays whole.
    #[test]
    fn seeds_are_cut_from_the_arms_only() {
        let part = cut("isic2018", &["supervised"], Some(1)).unwrap();
        assert_eq!(part.run_file.settings.keys().collect::<Vec<_>>(), ["supervised"]);
        for (arm, seeds) in &part.run_file.settings["supervised"].arms {
            assert_eq!(seeds.iter().map(|seed| seed.seed).collect::<Vec<_>>(), [0], "{arm}");
        }
        let count = |name: &str| {
            part.plan
                .stages
                .iter()
                .filter(|stage| stage.name.starts_with(name))
                .count()
        };
        // Five dense trainings, of which one is tested; one attended training and its test.
        assert_eq!(
            [
                count("supervised/baseline"),
                count("supervised/htl"),
                count("cross-fit")
            ],
            [6, 2, 0]
        );
    }

    /// A stage's beginning selects these stages and what they need; what cannot be reported is absent.
    #[test]
    fn stages_are_selected_by_their_beginning() {
        let part = cut("isic2018", &["supervised/baseline"], Some(2)).unwrap();
        let names: Vec<&str> = part.plan.stages.iter().map(|stage| stage.name.as_str()).collect();
        let expected = [
            "supervised/baseline-0",
            "supervised/baseline-1",
            "supervised/baseline-0/test",
        ];
        assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");
        assert_eq!(
            names.iter().filter(|name| !name.starts_with("trivial/")).count(),
            4,
            "{names:?}"
        );
        assert!(part.run_file.settings.is_empty() && part.run_file.analysis.maps.is_empty());
        let message = cut("isic2018", &["sideways"], None).err().unwrap().to_string();
        assert!(
            message.contains("sideways") && message.contains("weakly-supervised-boxes"),
            "{message}"
        );
    }

    /// The usual precision leaves the keys as they are without the choice; another one changes every training.
    #[test]
    fn precision_is_part_of_the_key_where_it_is_chosen() {
        let config = |precision| {
            let profile = Profile {
                precision,
                ..Profile::named("tiny").unwrap()
            };
            let (plan, _) = trainings(&profile, Path::new("/data"), 1, &[0.], None);
            let Action::Htl(call) = &plan.stages[0].action else {
                panic!("a training calls htl")
            };
            call.resolve(Path::new("/out"), Path::new("/own")).unwrap().1.unwrap()
        };
        assert!(!config(Precision::F32).contains("precision"));
        assert!(config(Precision::Bf16).contains("precision = \"bf16\""));
    }
}
