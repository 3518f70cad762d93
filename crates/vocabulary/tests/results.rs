//! `results.json`: written, read back, and refused with a message that says where and what.

use std::fs;

use htl_vocabulary::FormatError;
use htl_vocabulary::results::{
    Arm, Contrast, Gain, Metrics, PrimaryGain, Results, Setting, Subset, SubsetGain, Weak, WorstGroup, comparison_arms,
    comparison_key, round_significant,
};
use indexmap::IndexMap;

fn weak(seeds: usize) -> Weak {
    let gain = Gain {
        bootstrap_ci95: Some([f64::NAN, 0.0123]),
        units: Some(11),
        ..Gain::new(0.01, [-0.02, 0.04], Some(0.4), seeds)
    };
    let group = Subset::Group {
        attribute: "sex".into(),
        level: "female".into(),
    };
    Weak {
        contrast: Contrast::new("htl", "random"),
        subsets: [Subset::WorstDecile, Subset::Htl, group]
            .map(|subset| SubsetGain {
                subset,
                n: 12,
                gain: gain.clone(),
                p_holm: None,
            })
            .into(),
        tested: 0,
        worst_decile_by: Some("baseline".into()),
        htl_by: Some("baseline".into()),
        interaction: Some(gain),
    }
}

/// Two settings: one tested with six seeds, one described with three.
fn example() -> Results {
    let metrics = |jaccard: f64| {
        Metrics::from_iter(
            [
                ("jaccard", jaccard),
                ("threshold_jaccard", jaccard - 0.07),
                ("dice", jaccard + 0.08),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        )
    };
    let setting = |arms: &[&str], seeds: usize| Setting {
        arms: arms
            .iter()
            .map(|name| {
                (
                    (*name).to_owned(),
                    Arm::new((0..seeds as u64).map(|s| (s, metrics(0.7 + 0.01 * s as f64)))),
                )
            })
            .collect(),
        gain: ["baseline", "random"]
            .map(|control| {
                let gain = Gain::new(0.008, [0.002, 0.0146], Some(0.012), seeds);
                (
                    comparison_key("htl", control),
                    IndexMap::from([("jaccard".to_owned(), gain)]),
                )
            })
            .into(),
        primary: Some(PrimaryGain {
            contrast: Contrast::new("htl", "random"),
            gain: Gain::new(0.008, [0.002, 0.0146], Some(0.012), seeds),
            p_holm: (seeds >= 5).then_some(0.012),
            settings: 1,
        }),
        weak: Some(weak(seeds)),
        ..Setting::default()
    };
    Results {
        profile: "embedded".into(),
        device: "cpu".into(),
        settings: [
            ("supervised".to_owned(), setting(&["baseline", "htl", "random"], 6)),
            (
                "semi-supervised".to_owned(),
                setting(&["baseline", "htl", "random", "labelled-only"], 3),
            ),
        ]
        .into(),
        trivial: [("otsu".to_owned(), metrics(0.6))].into(),
        ..Results::default()
    }
}

fn written(results: &Results) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.json");
    results.write(&path).unwrap();
    (folder, path)
}

#[test]
fn a_comparison_has_two_arms() {
    assert_eq!(
        comparison_arms(&comparison_key("htl-query", "labelled-only")),
        Some(("htl-query", "labelled-only"))
    );
    assert_eq!(comparison_arms("htl"), None);
}

#[test]
fn results_survive_the_file_and_keep_their_bytes() {
    let (_folder, path) = written(&example());
    let once = Results::read(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    once.write(&path).unwrap();
    assert_eq!(
        bytes,
        fs::read(&path).unwrap(),
        "reading and writing again changes nothing"
    );
    let order: Vec<_> = once.settings["semi-supervised"].arms.keys().collect();
    assert_eq!(order, ["baseline", "htl", "random", "labelled-only"]);
}

/// The schema of DESIGN section 4, name for name.
#[test]
fn results_have_the_documented_names() {
    let json: serde_json::Value = serde_json::from_str(&example().to_json()).unwrap();
    for pointer in [
        "/profile",
        "/device",
        "/dataset/name",
        "/dataset/train",
        "/dataset/val",
        "/dataset/test",
        "/settings/supervised/arms/baseline/seeds/0/seed",
        "/settings/supervised/arms/baseline/seeds/0/test/jaccard",
        "/settings/supervised/arms/htl/seeds/0/test/threshold_jaccard",
        "/settings/supervised/arms/random/seeds/0/test/dice",
        "/settings/supervised/gain/htl-vs-baseline/jaccard/mean",
        "/settings/supervised/gain/htl-vs-random/jaccard/ci95/1",
        "/settings/supervised/gain/htl-vs-baseline/jaccard/p",
        "/settings/supervised/primary/contrast/control",
        "/settings/supervised/primary/gain/mean",
        "/settings/supervised/primary/p_holm",
        "/settings/supervised/weak/subsets/2/subset/group/level",
        "/settings/supervised/weak/subsets/0/gain/bootstrap_ci95/1",
        "/settings/supervised/weak/interaction/ci95/0",
        "/trivial/otsu/jaccard",
    ] {
        assert!(json.pointer(pointer).is_some(), "{pointer}");
    }
    assert!(
        json.pointer("/settings/semi-supervised/gain/htl-vs-baseline/jaccard/p")
            .unwrap()
            .is_null()
    );
}

/// Files of before there were declared comparisons and worst groups are read.
#[test]
fn older_files_are_read() {
    let mut older = example();
    older.settings["supervised"].arms["htl"].worst_group = Some(WorstGroup {
        attribute: "dx".into(),
        level: "sk".into(),
        n: 14,
        mean: 0.51,
        ci95: [0.31, 0.71],
        of: 13,
    });
    let mut json: serde_json::Value = serde_json::from_str(&older.to_json()).unwrap();
    let setting = json
        .pointer_mut("/settings/supervised")
        .unwrap()
        .as_object_mut()
        .unwrap();
    assert!(setting.remove("primary").is_some() && setting.remove("weak").is_some());
    let arm = json
        .pointer_mut("/settings/supervised/arms/htl")
        .unwrap()
        .as_object_mut()
        .unwrap();
    assert!(arm.remove("worst_group").is_some());
    let setting: Setting = serde_json::from_value(json["settings"]["supervised"].clone()).unwrap();
    assert!(setting.primary.is_none() && setting.weak.is_none() && setting.arms["htl"].worst_group.is_none());
}

#[test]
fn last_bits_do_not_reach_the_file() {
    let mut a = example();
    let mut b = example();
    a.trivial["otsu"]["jaccard"] = 0.1 + 0.2;
    b.trivial["otsu"]["jaccard"] = 0.3;
    assert_eq!(a.to_json(), b.to_json());
    assert!(a.to_json().ends_with("}\n"));
    a.trivial["otsu"]["jaccard"] = f64::NAN;
    let (_folder, path) = written(&a);
    assert!(
        Results::read(&path).unwrap().trivial["otsu"]["jaccard"].is_nan(),
        "undefined is null and comes back undefined"
    );
    assert_eq!(round_significant(0.123_456_789, 6), 0.123_457);
    assert_eq!(round_significant(-1234.567, 2), -1200.0);
    assert!(round_significant(-0.0, 6).is_sign_positive());
}

#[test]
fn a_wrong_results_file_is_located() {
    let (_folder, path) = written(&example());
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, good.replacen("\"seed\": 0", "\"seed\": \"zero\"", 1)).unwrap();
    let message = Results::read(&path).unwrap_err().to_string();
    assert!(
        message.contains("settings.supervised.arms.baseline.seeds[0].seed") && message.contains("results.json"),
        "{message}"
    );
    fs::write(&path, &good[..good.len() / 2]).unwrap();
    assert!(matches!(Results::read(&path), Err(FormatError::Json { .. })));
    fs::write(&path, "{}").unwrap();
    assert!(
        Results::read(&path)
            .unwrap_err()
            .to_string()
            .contains("missing field `profile`")
    );
    let message = Results::read(&path.with_file_name("absent.json"))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("absent.json") && message.contains("cannot read"),
        "{message}"
    );
}

#[test]
fn a_failed_write_keeps_the_old_file_and_names_the_path() {
    let (folder, path) = written(&example());
    let below_a_file = path.join("results.json");
    let message = example().write(&below_a_file).unwrap_err().to_string();
    assert!(
        message.contains(&format!("cannot write {}", below_a_file.display())),
        "{message}"
    );
    fs::create_dir(folder.path().join("taken")).unwrap();
    assert!(example().write(&folder.path().join("taken")).is_err());
    assert!(path.exists());
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        2,
        "no temporary file is left"
    );
}

#[test]
fn few_seeds_have_no_p() {
    let gain = Gain::new(0.01, [0.0, 0.02], Some(0.01), 4);
    assert_eq!((gain.p, gain.note.as_deref()), (None, Some("descriptive")));
    assert_eq!(Gain::new(0.01, [0.0, 0.02], Some(0.01), 5).p, Some(0.01));
}
