//! `htl analyze` on tables as people have them: other headers, other spellings, several settings, lesions of several images.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use htl_metrics::IMAGE_SCORE_COLUMNS;
use htl_vocabulary::{ForgettingRow, PerformanceRow, read_rates, read_rows};

const HTL: &str = env!("CARGO_BIN_EXE_htl");

fn analyze(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(HTL);
    command.current_dir(folder).arg("analyze").args(arguments);
    command.output().expect("htl runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// 120 images of 60 lesions, in-sample and out-of-fold; women's lesions are hard. Three images in which nothing is found.
fn tables(folder: &Path) {
    let mut scores = String::from("image_id,setting,fold,disagreement,boundary_disagreement,both_empty,htl\n");
    let mut metadata = String::from("image_id,lesion_id,age,Note,gender,localization,bmi\n");
    for i in 0..120_u32 {
        let woman = i / 2 % 3 == 0;
        let noise = f64::from(i * 7919 % 101) / 101.0;
        let score = 0.5 * noise + if woman { 0.2 } else { 0.0 };
        let empty = i >= 117;
        let hard = u8::from(score > 0.45 || empty);
        let boundary = 1.0 - noise;
        let fold = i / 6 % 2;
        for fold in [String::new(), fold.to_string()] {
            let (score, boundary) = if empty { (1.0, 9.0) } else { (score, boundary) };
            scores += &format!(
                "i{i:03},supervised,{fold},{score},{boundary},{},{hard}\n",
                u8::from(empty)
            );
        }
        let sex = match (woman, i / 2 % 2) {
            (true, 0) => "F",
            (true, _) => "female",
            (false, 0) => "Male",
            (false, _) => "NA",
        };
        let site = ["Torso", "torso", "lower_extremity"][i as usize / 7 % 3];
        metadata += &format!("i{i:03},l{},{},x,{sex},{site},{}\n", i / 2, 20 + i % 70, 17 + i % 20);
    }
    fs::write(folder.join("scores.csv"), scores).unwrap();
    for fold in 0..2 {
        let mut curves = String::from("image_id,damage,measure,0,0.9\n");
        for i in (0..120_u32).filter(|i| i / 6 % 2 == fold) {
            let kept = if i / 2 % 3 == 0 { 0.25 } else { 0.75 };
            curves += &format!("i{i:03},pruned-raw,iou,1,{kept}\n");
        }
        fs::write(folder.join(format!("curve{fold}.csv")), curves).unwrap();
    }
    fs::write(folder.join("metadata.csv"), metadata).unwrap();
    for (arm, gain) in [("b", 0.0), ("h", 0.05)] {
        for seed in 0..2 {
            let mut table = IMAGE_SCORE_COLUMNS.join(",") + "\n";
            for i in 0..120_u32 {
                let jaccard =
                    0.6 + 0.2 * f64::from((i + seed) * 31 % 17) / 17.0 + if i / 2 % 3 == 0 { gain } else { 0.1 };
                let cell = |column: &str| match column {
                    "image_id" => format!("i{i:03}"),
                    "jaccard" => jaccard.to_string(),
                    "tp" | "fp" | "fn" | "tn" => "1".to_owned(),
                    _ => "0.5".to_owned(),
                };
                table += &(IMAGE_SCORE_COLUMNS.map(cell).join(",") + "\n");
            }
            fs::write(folder.join(format!("{arm}{seed}.csv")), table).unwrap();
        }
    }
}

#[test]
fn hard_groups_are_found_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    tables(root);
    let base = [
        "--scores",
        "scores.csv",
        "--metadata",
        "metadata.csv",
        "--out",
        "out",
        "--permutations",
        "199",
    ];
    let refused = analyze(root, &base);
    let words = said(&refused);
    assert!(
        !refused.status.success() && words.contains("scores.csv") && words.contains("--fold"),
        "{words}"
    );
    let more = [
        "--fold",
        "all",
        "--column",
        "bmi:20,30",
        "--cross",
        "sex,bmi",
        "--curve",
        "curve0.csv",
        "curve1.csv",
    ];
    let output = analyze(root, &[&base[..], &more].concat());
    let words = said(&output);
    assert!(output.status.success(), "{words}");
    for part in [
        "Hard by disagreement",
        "sex female",
        "2 folds",
        "3 in which nothing was found",
        "Hard by boundary_disagreement",
        "`Torso`",
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let rows = read_rates(&root.join("out/demographics.csv")).unwrap();
    let find = |attribute: &str, level: &str| {
        rows.iter()
            .find(|row| row.attribute == attribute && row.level == level)
            .unwrap()
    };
    let women = rows
        .iter()
        .find(|row| row.attribute == "sex" && row.level.to_lowercase().starts_with('f'))
        .unwrap();
    assert_eq!((women.n, women.both_empty), (40, 0));
    assert!(women.p_adjusted.unwrap() < 0.05 && women.odds_ratio.unwrap().value > 3.0);
    assert!(women.odds_ratio_clustered.is_some() && women.odds_ratio_stratified.is_some());
    assert_eq!(find("bmi", "20-30").against, "other levels");
    assert_eq!(find("sex", "unknown").against, "known");
    assert!(!rows.iter().any(|row| row.level == "NA" || row.attribute == "dx"));
    assert!(
        !read_rates(&root.join("out/demographics_boundary.csv"))
            .unwrap()
            .is_empty()
    );
    for table in [
        "omnibus.csv",
        "regression.csv",
        "regression_tests.csv",
        "suspect_labels.csv",
    ] {
        assert!(root.join("out").join(table).exists(), "{table}");
    }
    // Women are forgotten first.
    let forgotten: Vec<ForgettingRow> = read_rows(&root.join("out/forgetting.csv")).unwrap();
    let late = |level: &str| {
        let is = |row: &&ForgettingRow| row.attribute == "sex" && row.level == level && row.sparsity == 0.9;
        forgotten.iter().find(is).unwrap()
    };
    assert_eq!((late(&women.level).agreement, late(&women.level).n), (Some(0.25), 40));
    assert_eq!(late("Male").agreement, Some(0.75));
    let text = fs::read_to_string(root.join("out/analysis.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["hard"][0]["both_empty"], 3);
    assert_eq!(json["hard"][0]["lesions"], 59);
    // The same bytes from the same seed.
    let again = analyze(root, &[&base[..], &more].concat());
    assert_eq!(output.stdout, again.stdout);
    assert_eq!(fs::read_to_string(root.join("out/analysis.json")).unwrap(), text);
}

#[test]
fn quality_by_group_needs_no_scores() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    tables(root);
    let arms = [
        "--performance",
        "baseline",
        "b0.csv",
        "b1.csv",
        "htl",
        "h0.csv",
        "h1.csv",
    ];
    let output = analyze(
        root,
        &[
            &arms[..],
            &["--metadata", "metadata.csv", "--out", "out", "--format", "json"],
        ]
        .concat(),
    );
    assert!(output.status.success(), "{}", said(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["quality"]["images"], 120);
    let rows: Vec<PerformanceRow> = read_rows(&root.join("out/performance.csv")).unwrap();
    let women = |against: &str| {
        let of = |row: &&PerformanceRow| {
            (row.against.as_str(), row.metric.as_str(), row.attribute.as_str()) == (against, "jaccard", "sex")
                && row.level.to_lowercase().starts_with('f')
        };
        rows.iter().find(of).unwrap()
    };
    assert!((women("baseline").value.unwrap() - 0.05).abs() < 1e-9 && women("baseline").p.is_none());
    assert!(women("").gap.unwrap() < -0.05 && women("").reading == "descriptive");
    assert!(rows.iter().any(|row| row.attribute == "age x sex"));
    let uneven = [
        "--performance",
        "baseline",
        "b0.csv",
        "b1.csv",
        "htl",
        "h0.csv",
        "--out",
        "out2",
    ];
    assert!(said(&analyze(root, &uneven)).contains("seed by seed"));
}
