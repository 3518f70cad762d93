//! Declared comparisons: what `results.json` and the page say of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use htl_metrics::{ImageScores, Mask, PerImage, PerImageRow, Units, crossed_t, gain_difference, holm, select_images};
use htl_report::{Contrast, Report, Results, Subset, render};
use htl_vocabulary::run_file::{Analysis, ArmSeed, RunFile, Setting};
use htl_vocabulary::{RATE_COLUMNS, results::Dataset};

const IMAGES: usize = 60;
const SEEDS: u64 = 5;

/// A number in [-0.5, 0.5) from keys.
fn noise(seed: u64, image: usize, salt: u64) -> f64 {
    let mut z = (seed * 1_000_003 + image as u64 * 7_919 + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    ((z ^ (z >> 29)) >> 11) as f64 / (1u64 << 53) as f64 - 0.5
}

/// Images 0 to 23 are hard, and what `htl` gains it gains there.
fn hard(image: usize) -> bool {
    image < 24
}

fn jaccard(arm: &str, seed: u64, image: usize) -> f64 {
    let salt = arm.len() as u64;
    let difficulty = 0.6 + 0.3 * noise(0, image, 99) - if hard(image) { 0.1 } else { 0.0 };
    let gain = if arm == "htl" && hard(image) { 0.06 } else { 0.0 };
    difficulty + gain + 0.02 * noise(seed, 0, salt) + 0.05 * noise(seed, image, salt)
}

/// Images come in pairs of one lesion; the sex is known of all, the diagnosis of a dozen.
fn per_image(arm: &str, seed: u64) -> Vec<u8> {
    let mask = Mask::filled(2, 2, 1).unwrap();
    let row = |image: usize| {
        let mut scores = ImageScores::of(format!("i{image:02}"), &mask, &mask).unwrap();
        scores.jaccard = jaccard(arm, seed, image);
        scores.threshold_jaccard = if scores.jaccard < 0.65 { 0.0 } else { scores.jaccard };
        PerImageRow {
            scores,
            calibration: None,
            lesion_id: Some(format!("L{}", image / 2)),
            patient_id: None,
            groups: vec![
                if image % 4 < 2 { "female" } else { "male" }.to_owned(),
                if image < 12 { "rare" } else { "" }.to_owned(),
            ],
        }
    };
    let table = PerImage {
        group_columns: vec!["sex".into(), "dx".into()],
        // In another order for every seed: rows are matched by id.
        rows: (0..IMAGES)
            .map(|image| row((image * 7 + seed as usize) % IMAGES))
            .collect(),
    };
    table.to_csv().unwrap()
}

fn run(root: &Path) -> RunFile {
    let write = |name: &str, text: &[u8]| {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), text).unwrap();
        name.to_owned()
    };
    let seed = |arm: &str, seed: u64| ArmSeed {
        seed,
        folder: format!("{arm}-{seed}"),
        per_image: write(&format!("{arm}-{seed}/per_image.csv"), &per_image(arm, seed)),
        summary: write(
            &format!("{arm}-{seed}/summary.json"),
            b"{\"jaccard\": 0.5, \"threshold_jaccard\": 0.3, \"dice\": 0.6, \"worst_group\": {\"attribute\": \"sex\"}}",
        ),
        history: None,
    };
    let arms: BTreeMap<String, Vec<ArmSeed>> = ["baseline", "htl", "random"]
        .map(|arm| (arm.to_owned(), (0..SEEDS).map(|s| seed(arm, s)).collect()))
        .into();
    let rows: String = (0..IMAGES)
        .map(|image| format!("i{image:02},,,0.5,{}\n", u8::from(hard(image))))
        .collect();
    let scores = format!("image_id,setting,fold,disagreement,htl\n{rows}");
    let choice = b"{\"sparsity\": 0.5, \"within\": true, \"dense\": 0.7, \"tolerance\": 0.02, \"candidates\": []}";
    let files = Setting {
        arms,
        compare: vec![["htl".to_owned(), "baseline".to_owned()]],
        mined_arm: Some("baseline".into()),
        scores: write("scores.csv", scores.as_bytes()),
        sparsity: write("sparsity.json", choice),
        maps: String::new(),
        test_scores: write("test_scores.csv", scores.as_bytes()),
        ..Setting::default()
    };
    RunFile {
        profile: "own".into(),
        device: "cpu".into(),
        data: "data".into(),
        data_given: None,
        options_given: Vec::new(),
        dataset: Dataset::default(),
        settings: ["supervised", "semi-supervised", "weakly-supervised"]
            .map(|key| (key.to_owned(), files.clone()))
            .into(),
        primary: [
            ("supervised", Contrast::new("htl", "random")),
            ("semi-supervised", Contrast::new("random", "baseline")),
            ("weakly-supervised", Contrast::new("htl", "sham")),
        ]
        .map(|(key, contrast)| (key.to_owned(), contrast))
        .into(),
        trivial: BTreeMap::new(),
        analysis: Analysis {
            scores: files.scores.clone(),
            demographics: write("demographics.csv", (RATE_COLUMNS.join(",") + "\n").as_bytes()),
            ..Analysis::default()
        },
    }
}

/// htl - random, by seed and image.
fn differences() -> Vec<Vec<f64>> {
    (0..SEEDS)
        .map(|seed| {
            let of = |image| jaccard("htl", seed, image) - jaccard("random", seed, image);
            (0..IMAGES).map(of).collect()
        })
        .collect()
}

fn lesions(images: &[usize]) -> Vec<usize> {
    images.iter().map(|image| image / 2).collect()
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found} {expected}");
}

#[test]
fn the_declared_comparison_is_adjusted_over_the_settings() {
    let folder = tempfile::tempdir().unwrap();
    let report = Report::of_run(&run(folder.path()), folder.path()).unwrap();
    let settings = &report.results.settings;
    let [first, second] = ["supervised", "semi-supervised"].map(|key| settings[key].primary.as_ref().unwrap());
    let all: Vec<usize> = (0..IMAGES).collect();
    let expected = crossed_t(&differences(), Units::Clusters(&lesions(&all))).unwrap();
    close(first.gain.mean, expected.mean);
    close(first.gain.ci95[0], expected.ci95[0]);
    close(first.gain.p.unwrap(), expected.p);
    assert_eq!((first.gain.units, first.gain.seeds), (Some(IMAGES / 2), Some(5)));
    assert_eq!(settings["supervised"].gain["htl-vs-random"]["jaccard"], first.gain);
    let adjusted = holm(&[first.gain.p.unwrap(), second.gain.p.unwrap()]);
    close(first.p_holm.unwrap(), adjusted[0]);
    close(second.p_holm.unwrap(), adjusted[1]);
    assert_eq!((first.settings, second.settings), (2, 2));
    // The sham arm was not run.
    let third = &settings["weakly-supervised"];
    assert!(third.primary.is_none() && third.weak.is_none() && third.gain.contains_key("htl-vs-baseline"));
}

#[test]
fn the_weak_are_a_family_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let report = Report::of_run(&run(folder.path()), folder.path()).unwrap();
    let weak = report.results.settings["supervised"].weak.clone().unwrap();
    let kinds: Vec<&Subset> = weak.subsets.iter().map(|subset| &subset.subset).collect();
    let group = |attribute: &str, level: &str| Subset::Group {
        attribute: attribute.into(),
        level: level.into(),
    };
    // Six images are the worst tenth: too few to be shown.
    let expected = [
        Subset::Htl,
        group("sex", "female"),
        group("sex", "male"),
        group("dx", "rare"),
    ];
    assert_eq!(kinds, expected.iter().collect::<Vec<_>>());
    let hard_images: Vec<usize> = (0..IMAGES).filter(|image| hard(*image)).collect();
    let table = select_images(&differences(), &hard_images).unwrap();
    let on_hard = crossed_t(&table, Units::Clusters(&lesions(&hard_images))).unwrap();
    close(weak.subsets[0].gain.mean, on_hard.mean);
    close(weak.subsets[0].gain.p.unwrap(), on_hard.p);
    let p: Vec<f64> = weak.subsets[..3].iter().map(|subset| subset.gain.p.unwrap()).collect();
    for (subset, adjusted) in weak.subsets.iter().zip(holm(&p)) {
        close(subset.p_holm.unwrap(), adjusted);
    }
    let rare = &weak.subsets[3];
    assert!(rare.n == 12 && rare.gain.p.is_none() && rare.p_holm.is_none() && weak.tested == 3);
    let member: Vec<bool> = (0..IMAGES).map(hard).collect();
    let all: Vec<usize> = (0..IMAGES).collect();
    let interaction = gain_difference(&differences(), &member, Units::Clusters(&lesions(&all))).unwrap();
    close(weak.interaction.as_ref().unwrap().ci95[1], interaction.ci95[1]);
    assert!(interaction.ci95[0] > 0.0, "what was planted is found: {interaction:?}");
    assert_eq!(weak.htl_by.as_deref(), Some("baseline"));
    let worst = report.results.settings["supervised"].arms["random"]
        .worst_group
        .clone()
        .unwrap();
    assert_eq!(
        (worst.attribute.as_str(), worst.level.as_str(), worst.n, worst.of),
        ("dx", "rare", 12, 3)
    );
}

/// Chosen by the arm that is on neither side: the baseline, or whichever is left where the baseline is compared.
#[test]
fn the_worst_tenth_is_chosen_from_outside() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = run(folder.path());
    // Twelve seeds' worth of images: every image ten times, so that a tenth is sixty.
    for seed in run.settings["supervised"].arms.values().flatten() {
        let path = folder.path().join(&seed.per_image);
        let mut table = PerImage::from_csv(&fs::read(&path).unwrap()).unwrap();
        let copies = (1..3).flat_map(|copy| {
            table.rows.clone().into_iter().map(move |mut row| {
                row.scores.image_id = format!("{}-{copy}", row.scores.image_id);
                row
            })
        });
        let copies: Vec<PerImageRow> = copies.collect();
        table.rows.extend(copies);
        fs::write(path, table.to_csv().unwrap()).unwrap();
    }
    for (contrast, by) in [(["htl", "random"], "baseline"), (["htl", "baseline"], "random")] {
        let [method, control] = contrast;
        run.primary.insert("supervised".into(), Contrast::new(method, control));
        let report = Report::of_run(&run, folder.path()).unwrap();
        let weak = report.results.settings["supervised"].weak.clone().unwrap();
        assert_eq!(weak.worst_decile_by.as_deref(), Some(by));
        let worst = weak
            .subsets
            .iter()
            .find(|subset| subset.subset == Subset::WorstDecile)
            .unwrap();
        // Ties stay together: the copies of an image.
        assert_eq!((worst.n, worst.gain.p), (18, None));
    }
}

#[test]
fn the_page_says_what_was_declared_and_what_it_found() {
    let folder = tempfile::tempdir().unwrap();
    let report = Report::of_run(&run(folder.path()), folder.path()).unwrap();
    let json = report.results.to_json();
    let again: Results = serde_json::from_str(&json).unwrap();
    assert_eq!(again.to_json(), json);
    let page = render(&report).unwrap();
    for words in [
        "Declared before the run",
        "(declared)",
        "Where help is needed",
        "Hard to learn minus all others",
        "Sex: female",
        "defined by the baselines and their pruned copies",
        "Worst group of each arm",
        "more than on the others",
        "adjusted over 2 settings",
    ] {
        assert!(page.contains(words), "missing: {words}");
    }
}
