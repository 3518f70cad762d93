//! The noise band lets chance pass and stops regressions.

use std::collections::BTreeMap;

use htl_metrics::{Attribute, BandBasis, BandParams, BandVerdict, Baseline, Better, Runs};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const IMAGES: usize = 40;

/// A run: image difficulty, a shift common to the run (the luck of its seed), and noise per image. About normal.
fn run(rng: &mut ChaCha8Rng, shift: f64) -> Vec<(String, f64)> {
    let mut normal = || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
    let luck = 0.02 * normal();
    (0..IMAGES)
        .map(|i| {
            (
                format!("ISIC_{i:03}"),
                0.4 + 0.2 * (i as f64 / IMAGES as f64) + luck + shift + 0.05 * normal(),
            )
        })
        .collect()
}

fn baseline(rng: &mut ChaCha8Rng, seeds: usize, params: BandParams) -> Baseline {
    let runs: Vec<_> = (0..seeds).map(|_| run(rng, 0.0)).collect();
    Baseline::from_runs("jaccard", Better::Higher, &Runs::new(&runs).unwrap(), params).unwrap()
}

fn verdict(baseline: &Baseline, fresh: &[Vec<(String, f64)>]) -> BandVerdict {
    baseline.check(&Runs::new(fresh).unwrap(), &[]).unwrap().verdict
}

/// With as few as three seeds the false alarm rate is the one asked for, which "two standard deviations" is not.
#[test]
fn false_alarms_are_as_rare_as_promised() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (seeds, new_runs) in [(3, 1), (10, 1), (5, 3)] {
        let params = BandParams {
            false_alarm: 0.05,
            floor: 0.0,
        };
        let rounds = 4000;
        let mut below = 0;
        for _ in 0..rounds {
            let known = baseline(&mut rng, seeds, params);
            let fresh: Vec<_> = (0..new_runs).map(|_| run(&mut rng, 0.0)).collect();
            below += usize::from(verdict(&known, &fresh) == BandVerdict::Below);
        }
        let rate = below as f64 / f64::from(rounds);
        assert!(
            (0.035..0.065).contains(&rate),
            "{rate} with {seeds} seeds, {new_runs} new"
        );
    }
}

#[test]
fn a_regression_of_five_standard_deviations_is_found() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let found = (0..200)
        .filter(|_| {
            let known = baseline(&mut rng, 10, BandParams::default());
            verdict(&known, &[run(&mut rng, -0.1)]) == BandVerdict::Below
        })
        .count();
    assert!(found >= 180, "{found} of 200");
}

#[test]
fn the_worst_group_is_named_and_the_order_of_rows_does_not_matter() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let known = baseline(&mut rng, 6, BandParams::default());
    let side = |i: usize| if i < 10 { "left arm" } else { "back" };
    let levels: BTreeMap<String, String> = (0..IMAGES)
        .map(|i| (format!("ISIC_{i:03}"), side(i).to_string()))
        .collect();
    let site = Attribute {
        name: "anatom_site".to_string(),
        levels,
    };
    let mut fresh = run(&mut rng, 0.0);
    fresh.iter_mut().take(10).for_each(|(_, v)| *v -= 0.45);
    fresh.reverse();
    let outcome = known
        .check(&Runs::new(&[fresh]).unwrap(), std::slice::from_ref(&site))
        .unwrap();
    assert!(!outcome.passed() && outcome.basis == BandBasis::Seeds);
    assert_eq!(
        (outcome.groups[0].level.as_str(), outcome.groups[0].n),
        ("left arm", 10)
    );
    assert_eq!(outcome.worst_images.len(), 10);
    let said = outcome.to_string();
    assert!(
        said.contains("WORSE") && said.contains("anatom_site = left arm (10 images)"),
        "{said}"
    );
}

#[test]
fn a_single_run_is_compared_image_by_image() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let first = run(&mut rng, 0.0);
    let params = BandParams::default();
    let runs = Runs::new(std::slice::from_ref(&first)).unwrap();
    let known = Baseline::from_runs("hd95", Better::Lower, &runs, params).unwrap();
    assert_eq!((known.band, known.seed_sd), (None, None));
    let outcome = known.check(&runs, &[]).unwrap();
    assert_eq!(
        (outcome.verdict, outcome.basis, outcome.band),
        (BandVerdict::Inside, BandBasis::Images, params.floor)
    );
    let moved = |by: f64| {
        let fresh: Vec<_> = first.iter().map(|(id, v)| (id.clone(), v + by)).collect();
        verdict(&known, &[fresh])
    };
    // Lower is better.
    assert_eq!(
        (moved(0.1), moved(-0.1), moved(0.001)),
        (BandVerdict::Below, BandVerdict::Above, BandVerdict::Inside)
    );
}

#[test]
fn the_file_survives_a_round_trip_and_bad_ones_are_refused() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut known = baseline(&mut rng, 3, BandParams::default());
    known.notes.insert("profile".to_string(), "smoke".to_string());
    let text = serde_json::to_string_pretty(&known).unwrap();
    let back: Baseline = serde_json::from_str(&text).unwrap();
    assert_eq!(back, known);
    let fresh = Runs::new(&[run(&mut rng, 0.0)]).unwrap();
    let refuse = |spoil: fn(&mut Baseline)| {
        let mut bad = known.clone();
        spoil(&mut bad);
        bad.check(&fresh, &[]).unwrap_err().to_string()
    };
    assert!(refuse(|b| b.version = 7).contains("version 7"));
    assert!(refuse(|b| b.seed_means.clear()).contains("empty"));
    assert!(refuse(|b| b.params.false_alarm = 0.7).contains("false_alarm"));
    assert!(refuse(|b| b.images[3].image_id = "ISIC_000".into()).contains("ISIC_000"));
    assert!(refuse(|b| b.images[3].image_id = "other".into()).contains("first: other"));
    assert!(refuse(|b| b.images[0].mean = f64::NAN).contains("NaN"));
    assert!(refuse(|b| b.images[0].mean = 1e308).contains("`jaccard`"));
    assert!(refuse(|b| b.mean = -5.0).contains("`jaccard`"));
    assert!(refuse(|b| b.seed_sd = Some(-0.1)).contains("seed_sd"));
    assert!(refuse(|b| drop(b.images.pop())).contains("ISIC_039"));
}

#[test]
fn runs_must_be_about_the_same_images() {
    let run = |ids: &[&str]| ids.iter().map(|id| (id.to_string(), 0.5)).collect::<Vec<_>>();
    assert!(Runs::new(&[run(&["a", "b"]), run(&["b", "a"])]).is_ok());
    assert!(
        Runs::new(&[run(&["a", "b"]), run(&["a", "c"])])
            .unwrap_err()
            .to_string()
            .contains("first: b")
    );
    assert!(Runs::new(&[run(&["a", "a"])]).unwrap_err().to_string().contains("`a`"));
    assert!(Runs::new(&[vec![]]).is_err() && Runs::new(&[]).is_err());
    assert!(Runs::new(&[vec![("a".to_string(), f64::NAN)]]).is_err());
}
