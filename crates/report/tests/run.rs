//! From the folder of a run to its numbers and its page.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use htl_metrics::IMAGE_SCORE_COLUMNS;
use htl_report::{Report, ReportError, render};
use htl_vocabulary::run_file::{Analysis, ArmSeed, RunFile, Setting};
use htl_vocabulary::{HistoryRow, RATE_COLUMNS, results::Dataset, setting, write_history};

/// A table of results with these values of Jaccard, Dice and thresholded Jaccard.
fn per_image(values: &[(&str, f64)]) -> String {
    let cell = |column: &str, id: &str, j: f64| match column {
        "image_id" => id.to_owned(),
        "jaccard" | "threshold_jaccard" | "dice" => j.to_string(),
        "tp" | "fp" | "fn" | "tn" => "1".to_owned(),
        _ => "0.5".to_owned(),
    };
    let row = |(id, j): &(&str, f64)| IMAGE_SCORE_COLUMNS.map(|column| cell(column, id, *j)).join(",") + "\n";
    IMAGE_SCORE_COLUMNS.join(",") + "\n" + &values.iter().map(row).collect::<String>()
}

/// A run of two seeds in three settings, one of which is unknown, with two arms each.
fn run(root: &Path) -> RunFile {
    let write = |name: &str, text: &str| {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), text).unwrap();
        name.to_owned()
    };
    let seed = |arm: &str, seed: u64, jaccard: f64| {
        let name = |file: &str| format!("{arm}-{seed}/{file}");
        let history = HistoryRow {
            epoch: 1,
            step: 30,
            learning_rate: 0.001,
            train_loss: 0.5,
            val_quality: Some(0.6),
        };
        write_history(&root.join(name("history.csv")), &[history]).unwrap();
        let summary =
            format!("{{\"dice\": 0.8, \"accuracy\": 0.9, \"threshold_jaccard\": 0.6, \"jaccard\": {jaccard}}}");
        ArmSeed {
            seed,
            folder: format!("{arm}-{seed}"),
            per_image: write(
                &name("per_image.csv"),
                &per_image(&[("b", jaccard), ("a", jaccard - 0.1)]),
            ),
            summary: write(&name("summary.json"), &summary),
            history: Some(name("history.csv")),
        }
    };
    let arms = BTreeMap::from([
        ("ellipse".to_owned(), vec![seed("ellipse", 0, 0.5)]),
        (
            "baseline".to_owned(),
            vec![seed("baseline", 0, 0.7), seed("baseline", 1, 0.72)],
        ),
        ("htl".to_owned(), vec![seed("htl", 0, 0.74), seed("htl", 1, 0.75)]),
    ]);
    let scores = "image_id,setting,fold,disagreement,htl\na,,,0.2,1\nb,,,0.1,0\n";
    let choice = "{\"sparsity\": 0.5, \"within\": false, \"dense\": 0.7, \"tolerance\": 0.02, \"candidates\": []}";
    let files = Setting {
        arms,
        compare: vec![["htl".to_owned(), "baseline".to_owned()]],
        mined_arm: None,
        scores: write("scores.csv", scores),
        sparsity: write("sparsity.json", choice),
        maps: String::new(),
        test_scores: write("test_scores.csv", scores),
        ..Setting::default()
    };
    let keys = [
        "few-shot",
        setting::WEAKLY_SUPERVISED_BOXES.key,
        setting::SUPERVISED.key,
    ];
    RunFile {
        profile: "own".into(),
        device: "cuda".into(),
        data: "../it's mine".into(),
        data_given: None,
        options_given: Vec::new(),
        dataset: Dataset {
            name: "it's mine".into(),
            train: 4,
            val: 2,
            test: 2,
        },
        settings: keys.map(|key| (key.to_owned(), files.clone())).into(),
        primary: BTreeMap::new(),
        trivial: BTreeMap::new(),
        analysis: Analysis {
            scores: files.scores.clone(),
            demographics: write("demographics.csv", &(RATE_COLUMNS.join(",") + "\n")),
            ..Analysis::default()
        },
    }
}

#[test]
fn the_device_is_the_one_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let report = Report::of_run(&run(folder.path()), folder.path()).unwrap();
    assert_eq!(report.results.device, "cuda");
    assert_eq!(report.provenance["device"], "cuda");
}

#[test]
fn numbers_come_from_the_files_in_the_order_of_the_registries() {
    let folder = tempfile::tempdir().unwrap();
    let report = Report::of_run(&run(folder.path()), folder.path()).unwrap();
    let results = &report.results;
    let keys: Vec<_> = results.settings.keys().collect();
    assert_eq!(keys, ["supervised", "weakly-supervised-boxes", "few-shot"]);
    let setting = &results.settings["supervised"];
    assert_eq!(setting.description.as_deref(), Some(setting::SUPERVISED.about));
    assert_eq!(setting.arms.keys().collect::<Vec<_>>(), ["baseline", "htl", "ellipse"]);
    let first = &setting.arms["baseline"].seeds[0].test;
    let names: Vec<_> = first.keys().collect();
    assert_eq!(
        names,
        ["jaccard", "threshold_jaccard", "dice", "accuracy", "htl_subset_jaccard"]
    );
    assert!((first["htl_subset_jaccard"] - 0.6).abs() < 1e-12);
    let gain = &setting.gain["htl-vs-baseline"]["jaccard"];
    assert!((gain.mean - 0.035).abs() < 1e-12 && gain.seeds == Some(2));
    for words in ["gains are conditional on them", "within 0.02 of the dense network"] {
        assert!(
            setting.notes.iter().any(|note| note.contains(words)),
            "{:?}",
            setting.notes
        );
    }
    assert!(setting.primary.is_none() && setting.weak.is_none());
    assert_eq!(report.curves[0].measure, "");
    assert!(
        report
            .curves
            .iter()
            .any(|point| point.setting == "supervised" && point.measure == "Jaccard")
    );
    assert!(render(&report).unwrap().contains("cuda"));
}

/// What the page says to type is what a shell takes for the data of the run.
#[test]
fn the_command_is_quoted_and_names_the_data_as_given() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = run(folder.path());
    let command = |run: &RunFile| Report::of_run(run, folder.path()).unwrap().reproduce.remove(0);
    assert_eq!(
        command(&run),
        r"cargo xtask reproduce --profile own --data '../it'\''s mine'"
    );
    run.data_given = Some("../my lesions".into());
    assert_eq!(
        command(&run),
        "cargo xtask reproduce --profile own --data '../my lesions'"
    );
    run.data_given = None;
    run.data = "inside".into();
    fs::create_dir(folder.path().join("inside")).unwrap();
    let absolute = folder.path().canonicalize().unwrap().join("inside");
    assert!(command(&run).ends_with(&format!("--data {}", absolute.display())));
    run.dataset.name = "embedded".into();
    assert_eq!(command(&run), "cargo xtask reproduce --profile own");
    run.options_given = ["--profile-file", "my own.toml", "--only", "supervised"]
        .map(str::to_owned)
        .to_vec();
    assert_eq!(
        command(&run),
        "cargo xtask reproduce --profile-file 'my own.toml' --only supervised"
    );
}

#[test]
fn what_does_not_fit_is_refused_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = run(folder.path());
    let refused = |name: &str, text: &str| -> ReportError {
        let path = folder.path().join(name);
        let good = fs::read(&path).unwrap();
        fs::write(&path, text).unwrap();
        let error = Report::of_run(&run, folder.path()).unwrap_err();
        fs::write(&path, good).unwrap();
        assert!(
            error.to_string().contains(name.rsplit('/').next().unwrap())
                || matches!(error, ReportError::DifferentImages { .. }),
            "{error}"
        );
        error
    };
    let message = |name: &str, text: &str| refused(name, text).to_string();
    let impossible = message(
        "htl-0/summary.json",
        "{\"jaccard\": 5.0, \"threshold_jaccard\": 0.5, \"dice\": 0.5}",
    );
    assert!(
        impossible.contains("`jaccard`") && impossible.contains("found 5"),
        "{impossible}"
    );
    let impossible = message(
        "htl-0/summary.json",
        "{\"jaccard\": 0.5, \"threshold_jaccard\": 0.5, \"dice\": 0.5, \"worst_group_jaccard\": -2}",
    );
    assert!(impossible.contains("`worst_group_jaccard`"), "{impossible}");
    assert!(message("htl-0/summary.json", "{\"jaccard\": 0.5}").contains("`threshold_jaccard` is missing"));
    assert!(message("htl-0/per_image.csv", &per_image(&[("a", 57.0)])).contains("jaccard"));
    let null = "{\"sparsity\": 0.5, \"within\": false, \"dense\": 0.7, \"tolerance\": null, \"candidates\": []}";
    assert!(message("sparsity.json", null).contains("`tolerance`"));
    let beyond = "{\"sparsity\": -3, \"within\": true, \"dense\": 0.7, \"tolerance\": 0.1, \"candidates\": []}";
    assert!(message("sparsity.json", beyond).contains("`sparsity`"));
    let other = refused("htl-1/per_image.csv", &per_image(&[("a", 0.5), ("c", 0.5)]));
    assert!(matches!(other, ReportError::DifferentImages { .. }), "{other}");
    Report::of_run(&run, folder.path()).unwrap();
}
