use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use htl_vocabulary::{RunFile, arm, setting};

use super::*;
use crate::ExperimentError;
use crate::plan::{Action, Place};
use crate::profile::{PROFILES, Precision};

fn base(data: &str) -> Base {
    Base {
        data: data.into(),
        data_sha256: "data".into(),
        program: "program".into(),
        device: "cpu".into(),
    }
}

fn planned(profile: &str, data: &str) -> Experiment {
    planned_as(&Profile::named(profile).unwrap(), data)
}

fn planned_as(profile: &Profile, data: &str) -> Experiment {
    let data_of = DataOf {
        shown: "../data".into(),
        given: None,
        dataset: Dataset {
            name: "example".into(),
            train: 240,
            val: 40,
            test: 120,
        },
        extras: Extras {
            metadata: true,
            labels: true,
        },
    };
    design(profile, base(data), data_of)
}

/// Every setting of the vocabulary is planned, every arm of it somewhere, and nothing else.
#[test]
fn the_rows_are_the_vocabulary() {
    let planned: BTreeSet<&str> = SETTING_PLANS.iter().map(|row| row.setting.key).collect();
    let known: BTreeSet<&str> = setting::SETTINGS.iter().map(|setting| setting.key).collect();
    assert_eq!(planned, known);
    let arms = SETTING_PLANS.iter().flat_map(|row| row.arms);
    let planned: BTreeSet<&str> = arms.map(|plan| plan.arm.key).collect();
    let known: BTreeSet<&str> = arm::ARMS.iter().map(|arm| arm.key).collect();
    assert_eq!(planned, known);
    for row in SETTING_PLANS {
        let own: Vec<&str> = row.arms.iter().map(|plan| plan.arm.key).collect();
        for pair in row.compare {
            assert!(pair.iter().all(|arm| own.contains(&arm.key)), "{pair:?}");
        }
    }
}

/// A setting without seeds is left out; a second cycle comes after the mining whose maps it is trained on.
#[test]
fn cycles_follow_the_networks_that_they_are_trained_on() {
    let without = Profile {
        label_free_seeds: 0,
        ..Profile::named("embedded").unwrap()
    };
    assert!(
        !planned_as(&without, "/data")
            .outline
            .settings
            .contains_key("label-free")
    );
    let experiment = planned("tiny", "/data");
    let place = |name: &str| {
        experiment
            .plan
            .stages
            .iter()
            .position(|stage| stage.name == name)
            .unwrap()
    };
    let needs = experiment.plan.dependencies();
    for (setting, arm) in [
        ("label-free", "next-cycle"),
        ("label-free", "htl"),
        ("weakly-supervised-boxes", "htl"),
    ] {
        let training = place(&format!("{setting}/{arm}-0"));
        assert!(needs[training].contains(&place(&format!("{setting}/mine"))), "{arm}");
    }
    // The ceiling reads masks, and nothing else of its setting does.
    let oracle = place("label-free/oracle-0");
    assert!(needs[oracle].contains(&place("label-free/truth")));
    let readers = needs.iter().filter(|needs| needs.contains(&place("label-free/truth")));
    assert_eq!(readers.count(), 1);
    // Of one seed there is no spread.
    let arms = &experiment.outline.settings["supervised"].arms;
    assert!(!arms.contains_key("seed-variance") && arms.contains_key("random"));
}

/// Every setting has the method and its strongest control, each with as many seeds as its baseline, and declares that comparison;
/// where its labels leave something to know, there is a ceiling that knows it.
#[test]
fn every_setting_has_its_controls() {
    let run = planned("embedded", "/data").outline.run_file();
    assert_eq!(run.settings.len(), setting::SETTINGS.len());
    for (name, setting) in &run.settings {
        let control = setting::named(name).unwrap().strongest_control;
        let ceiling = if name == "weakly-supervised" {
            arm::ORACLE_TUNED
        } else {
            arm::ORACLE
        };
        let seeds = setting.arms[arm::BASELINE.key].len();
        for arm in [arm::BASELINE, arm::HTL, control, ceiling].map(|arm| arm.key) {
            assert!(seeds >= 2 && setting.arms[arm].len() == seeds, "{name} {arm}");
        }
        for control in [arm::BASELINE, control] {
            let pair = [arm::HTL.key.to_owned(), control.key.to_owned()];
            assert!(setting.compare.contains(&pair), "{name}");
        }
        assert_eq!(run.primary[name].control, control.key);
    }
    assert_eq!(run.trivial.len(), htl_vocabulary::trivial::TRIVIAL.len());
}

fn folders(experiment: &Experiment) -> BTreeSet<String> {
    let stages = experiment.plan.stages.iter();
    stages.map(|stage| stage.folder.clone()).collect()
}

/// No key depends on where things lie: the same experiment elsewhere has the same folders.
#[test]
fn keys_do_not_depend_on_the_place() {
    assert_eq!(
        folders(&planned("embedded", "/somewhere/data")),
        folders(&planned("embedded", "/elsewhere/else"))
    );
}

/// Everything `run.json` points to is made by a stage, and survives a round trip.
#[test]
fn the_run_file_points_to_stages() {
    for profile in PROFILES {
        let experiment = planned(profile, "/data");
        let folders = folders(&experiment);
        let run_file = experiment.outline.run_file();
        for setting in run_file.settings.values() {
            for arm in setting.arms.values().flatten() {
                assert!(folders.contains(&arm.folder));
                assert!(folders.contains(arm.per_image.rsplit_once('/').unwrap().0));
            }
        }
        let text = serde_json::to_string(&run_file).unwrap();
        assert_eq!(serde_json::from_str::<RunFile>(&text).unwrap(), run_file);
        assert!(!text.contains("\"/"), "an absolute path in {text}");
    }
}

/// Kind and cost come from the plan itself; what is stopped and goes on are trainings.
#[test]
fn stages_know_their_kind_and_cost() {
    let experiment = planned("embedded", "/data");
    let stage = |name: &str| experiment.plan.stage(name).unwrap();
    let cost = |name: &str| stage(name).cost;
    assert_eq!(cost("supervised/baseline-0"), 7220.);
    assert_eq!(cost("semi-supervised/labelled-only-0"), 7220.);
    assert_eq!(cost("semi-supervised/baseline-0"), 7200. * 2.5 + 20.);
    assert_eq!(cost("weakly-supervised/htl-1"), 7200. * 0.5 + 20.);
    assert_eq!(cost("weakly-supervised/sham-1"), 1500. * 0.5 + 20.);
    assert_eq!(stage("supervised/htl-3").series, "supervised/htl");
    assert_eq!(stage("supervised/htl-3/test").series, "supervised/htl/test");
    for stage in &experiment.plan.stages {
        let trains = matches!(&stage.action, Action::Htl(call) if call.command() == "train");
        assert_eq!(stage.kind == crate::plan::Kind::Train, trains, "{}", stage.name);
    }
}

fn cut(profile: &str, only: &[&str], seeds: Option<u64>) -> Result<Experiment, ExperimentError> {
    let only = only.iter().map(|part| part.to_string()).collect();
    Selection { only, seeds }.cut(planned(profile, "/data"))
}

/// Whatever is selected, its stages are those of the whole experiment, so that the whole finds them done; each stage
/// still comes after what it needs, and everything `run.json` names is made.
#[test]
fn a_part_is_a_part_of_the_whole() {
    let whole = planned("isic2018", "/data");
    let known: BTreeMap<&str, &crate::plan::Stage> = whole
        .plan
        .stages
        .iter()
        .map(|stage| (stage.name.as_str(), stage))
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
        for (index, (stage, needs)) in part.plan.stages.iter().zip(part.plan.dependencies()).enumerate() {
            assert_eq!(known[stage.name.as_str()], &stage.clone());
            assert_eq!(needs.len(), stage.needs.len(), "{} lacks a stage", stage.name);
            assert!(needs.iter().all(|need| *need < index), "{}", stage.name);
        }
        let text = serde_json::to_string(&part.outline.run_file()).unwrap();
        for path in text.split('"').filter(|word| word.starts_with("stages/")) {
            let known = here.iter().any(|folder| path.starts_with(folder.as_str()));
            assert!(known, "{path} of {only:?}");
        }
        union.extend(here);
    }
    assert_eq!(cut("isic2018", &[], None).unwrap(), whole);
    assert_eq!(union, everything);
}

/// Fewer seeds: fewer attended trainings, in every arm alike, while the population that is mined stays whole.
#[test]
fn seeds_are_cut_from_the_arms_only() {
    let part = cut("isic2018", &["supervised"], Some(1)).unwrap();
    assert_eq!(part.outline.settings.keys().collect::<Vec<_>>(), ["supervised"]);
    for (arm, seeds) in &part.outline.settings["supervised"].arms {
        assert_eq!(seeds.iter().map(|seed| seed.seed).collect::<Vec<_>>(), [0], "{arm}");
    }
    let count = |name: &str| {
        let stages = part.plan.stages.iter();
        stages.filter(|stage| stage.name.starts_with(name)).count()
    };
    // Five dense trainings, of which one is tested; one attended training and its test.
    let found = ["supervised/baseline", "supervised/htl-0", "cross-fit"].map(count);
    assert_eq!(found, [6, 2, 0]);
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
    let own = names.iter().filter(|name| !name.starts_with("trivial/"));
    assert_eq!(own.count(), 4, "{names:?}");
    assert!(part.outline.is_empty());
    let message = cut("isic2018", &["sideways"], None).unwrap_err().to_string();
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
        let (plan, _) = trainings(&profile, base("/data"), 1, &[vec![]]);
        let Action::Htl(call) = &plan.stages[0].action else {
            panic!("a training calls htl")
        };
        let place = Place {
            out: Path::new("/out"),
            data: Path::new("/data"),
            own: Path::new("/own"),
        };
        call.resolve(place).unwrap().1.unwrap()
    };
    assert!(!config(Precision::F32).contains("precision"));
    assert!(config(Precision::Bf16).contains("precision = \"bf16\""));
}
