use htl_metrics::{
    BandParams, Baseline, Better, BootstrapParams, BoundaryDistance, Reading, Runs, Units, arm_mean, paired_gain,
};
use serde_json::Value;

use crate::{close, golden, list, mask, number, numbers};

#[test]
fn outlines_are_as_far_apart_as_scipy_says() {
    for case in list(&golden("boundary")["cases"]) {
        let found = BoundaryDistance::between(&mask(&case["a"]), &mask(&case["b"])).unwrap();
        close(found.mean, number(&case["mean"]), 1e-9);
        close(found.hd95, number(&case["hd95"]), 1e-9);
    }
}

fn table(value: &Value) -> Vec<Vec<f64>> {
    list(value).iter().map(numbers).collect()
}

/// The same resampling in NumPy with 200,000 draws; ours with 20,000 differs by the noise of its percentiles.
#[test]
fn the_crossed_bootstrap_agrees() {
    let file = golden("statistics");
    let params = BootstrapParams {
        resamples: 20_000,
        seed: 3,
    };
    let [method, control] = ["method", "control"].map(|side| table(&file[side]));
    let gain = paired_gain(&method, &control, Units::Images, &params).unwrap();
    close(gain.mean, number(&file["mean"]), 1e-12);
    let width = number(&file["ci95"][1]) - number(&file["ci95"][0]);
    for side in 0..2 {
        close(gain.bootstrap_ci95[side], number(&file["ci95"][side]), 0.02 * width);
    }
    assert_eq!((gain.seeds, gain.images, gain.reading), (6, 40, Reading::Inferential));
}

/// Speed and a descriptive label for the smallest case of the experiment.
#[test]
fn three_seeds_and_120_images_take_a_moment() {
    let arm: Vec<Vec<f64>> = (0..3)
        .map(|s| (0..120).map(|i| f64::from((s * 31 + i * 17) % 97) / 97.0).collect())
        .collect();
    let start = std::time::Instant::now();
    let estimate = arm_mean(&arm, Units::Images, &BootstrapParams::default()).unwrap();
    assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
    assert_eq!(estimate.reading, Reading::Descriptive);
}

/// Bands are t x sd x sqrt(1 + 1/k) with SciPy's t.
#[test]
fn bands_use_the_right_quantile() {
    for case in list(&golden("statistics")["quantiles"]) {
        let seeds = number(&case["degrees"]) as usize + 1;
        if seeds < 3 {
            continue; // no band
        }
        let means: Vec<f64> = (0..seeds).map(|k| 0.7 + 0.01 * (k % 2) as f64).collect();
        let runs: Vec<Vec<(String, f64)>> = means.iter().map(|&m| vec![("a".to_string(), m)]).collect();
        let params = BandParams {
            false_alarm: number(&case["tail"]),
            floor: 0.0,
        };
        let baseline = Baseline::from_runs("jaccard", Better::Higher, &Runs::new(&runs).unwrap(), params).unwrap();
        let mean = means.iter().sum::<f64>() / seeds as f64;
        let sd = (means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / (seeds - 1) as f64).sqrt();
        let expected = number(&case["t"]) * sd * (1.0 + 1.0 / seeds as f64).sqrt();
        close(baseline.band.unwrap(), expected, 1e-6 * expected);
    }
}
