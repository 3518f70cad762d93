//! The table of a campaign: what its rows say of results that are known.

use std::fs;
use std::path::Path;

use htl_metrics::{ImageScores, Mask, PerImage, PerImageRow, Units, crossed_t};
use htl_report::{CampaignRow, best_forms, campaign_rows, write_campaign};
use htl_vocabulary::campaign::{
    Arm, CampaignFile, Group, Half, MiningCost, Phase, PhaseName, Role, Scenario, SeedResult,
};
use htl_vocabulary::{file, read_rows};

const IMAGES: usize = 120;
const SEEDS: u64 = 5;
/// The first 60 images are the group, the last twelve go worst whoever is trained.
const GROUP: usize = 60;

/// Gain of an arm over the baseline in the group, and outside it.
fn gains(arm: &str) -> [f64; 2] {
    match arm {
        "good" => [0.06, 0.02],
        "good.random" => [0.01, 0.01],
        "good.seeds" => [0.03, 0.01],
        "bad" => [-0.02, 0.0],
        "parity" => [0.10, 0.0],
        _ => [0.0, 0.0],
    }
}

fn jaccard(arm: &str, seed: u64, image: usize) -> f64 {
    let difficulty = if image >= IMAGES - 12 {
        0.3
    } else {
        0.5 + 0.003 * image as f64
    };
    // Differs by seed and image, alike for all arms, but for a wobble that the gains of the arms have around them.
    let shared = 0.01 * ((seed as f64 * 1.7 + image as f64 * 0.9).sin());
    let own = 0.004 * ((seed as f64 * 2.3 + image as f64 * 1.3 + arm.len() as f64).cos());
    difficulty + shared + own + gains(arm)[usize::from(image >= GROUP)]
}

fn per_image(arm: &str, seed: u64) -> Vec<u8> {
    let mask = Mask::filled(2, 2, 1).unwrap();
    let row = |image: usize| {
        let mut scores = ImageScores::of(format!("i{image:03}"), &mask, &mask).unwrap();
        scores.jaccard = jaccard(arm, seed, image);
        PerImageRow {
            scores,
            calibration: None,
            lesion_id: None,
            patient_id: None,
            groups: Vec::new(),
        }
    };
    let table = PerImage {
        group_columns: Vec::new(),
        rows: (0..IMAGES).map(row).collect(),
    };
    table.to_csv().unwrap()
}

fn written(root: &Path) -> CampaignFile {
    let ids: String = (0..GROUP).map(|image| format!("i{image:03}\n")).collect();
    fs::write(root.join("group.csv"), format!("image_id\n{ids}")).unwrap();
    let arm = |name: &str, role: Role, of: Option<&str>, mined: bool| {
        let seed = |seed: u64| {
            let path = format!("{name}-{seed}.csv");
            fs::write(root.join(&path), per_image(name, seed)).unwrap();
            SeedResult {
                seed,
                per_image: path,
                annotation: None,
            }
        };
        Arm {
            name: name.into(),
            role,
            of: of.map(str::to_owned),
            about: String::new(),
            image_steps: 100,
            mined,
            seeds: (0..SEEDS).map(seed).collect(),
        }
    };
    let scenario = Scenario {
        name: "small".into(),
        planted: Some("lowest:area_fraction, 8 % kept".into()),
        group: Some(Group {
            rule: "lowest:area_fraction".into(),
            ids: "group.csv".into(),
        }),
        mining: MiningCost {
            image_steps: 700,
            passes: 45,
        },
        arms: vec![
            arm("baseline", Role::Baseline, None, false),
            arm("bad", Role::Form, None, true),
            arm("good", Role::Form, None, true),
            arm("good.random", Role::Control, Some("good"), true),
            arm("good.seeds", Role::Control, Some("good"), true),
            arm("parity", Role::Ceiling, None, false),
        ],
    };
    CampaignFile {
        name: "example".into(),
        setting: "supervised".into(),
        data: "data".into(),
        phases: vec![Phase {
            phase: PhaseName::Screen,
            half: Half::First,
            scenarios: vec![scenario],
        }],
    }
}

fn near(found: Option<f64>, expected: f64) {
    let found = found.unwrap();
    assert!((found - expected).abs() < 2e-3, "{found} instead of {expected}");
}

/// Gains are those over the baseline, told apart by group and worst tenth; a form is held against its strongest control and
/// its ceiling.
#[test]
fn rows_say_who_gained_what() {
    let folder = tempfile::tempdir().unwrap();
    let campaign = written(folder.path());
    let rows = campaign_rows(folder.path(), &campaign).unwrap();
    let row = |arm: &str| rows.iter().find(|row| row.arm == arm).unwrap();
    let good = row("good");
    near(good.gain, 0.04);
    near(good.group_gain, 0.06);
    near(good.rest_gain, 0.02);
    // The twelve worst are outside the group.
    near(good.worst_gain, 0.02);
    assert_eq!(
        (good.control.as_deref(), good.group_images),
        (Some("good.seeds"), Some(GROUP))
    );
    near(good.over_control, 0.02);
    near(good.ceiling_share, 0.8);
    assert_eq!(
        (good.rank, row("bad").rank, row("parity").rank),
        (Some(1), Some(2), None)
    );
    assert_eq!((row("bad").control.as_deref(), row("bad").over_control), (None, None));
    assert_eq!((good.mining_image_steps, row("parity").mining_image_steps), (700, 0));
    assert!(row("baseline").gain.is_none() && row("baseline").jaccard > 0.5);
    // Twelve images are shown, and not tested.
    assert!(good.worst_gain_lo.is_none());
    assert_eq!(best_forms(&rows, "screen", "small", 1), ["good"]);
    assert!(best_forms(&rows, "confirm", "small", 1).is_empty());

    let differences: Vec<Vec<f64>> = (0..SEEDS)
        .map(|seed| {
            let of = |arm: &str, image: usize| jaccard(arm, seed, image);
            (0..IMAGES)
                .map(|image| of("good", image) - of("good.seeds", image))
                .collect()
        })
        .collect();
    let expected = crossed_t(&differences, Units::Images).unwrap();
    let [lo, hi] = expected.ci95;
    for (found, expected) in [
        (good.over_control_lo, lo),
        (good.over_control_hi, hi),
        (good.over_control_p, expected.p),
        (good.over_control_p_holm, expected.p),
    ] {
        assert!(
            (found.unwrap() - expected).abs() < 1e-9,
            "{found:?} instead of {expected}"
        );
    }
}

/// The three files say the same; the table comes back.
#[test]
fn the_files_are_the_rows() {
    let folder = tempfile::tempdir().unwrap();
    let campaign = written(folder.path());
    let rows = campaign_rows(folder.path(), &campaign).unwrap();
    write_campaign(folder.path(), &campaign, &rows).unwrap();
    let back: Vec<CampaignRow> = read_rows(&folder.path().join(file::CAMPAIGN_TABLE)).unwrap();
    assert_eq!(back, rows);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let (markdown, page) = (read(file::CAMPAIGN_MARKDOWN), read(file::CAMPAIGN_PAGE));
    for text in [&markdown, &page] {
        for part in [
            "Screen: small",
            "Planted: lowest:area_fraction, 8 % kept",
            "good",
            "+4.0",
            "parity",
            "100 + 700",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
    assert!(markdown.contains(", seeds |"), "{markdown}");
}

/// Arms about different images are not compared.
#[test]
fn other_images_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let campaign = written(folder.path());
    let path = folder.path().join("good-3.csv");
    let text = fs::read_to_string(&path).unwrap().replace("i007", "i999");
    fs::write(&path, text).unwrap();
    let said = campaign_rows(folder.path(), &campaign).unwrap_err().to_string();
    assert!(said.contains("good") && said.contains("small"), "{said}");
}
