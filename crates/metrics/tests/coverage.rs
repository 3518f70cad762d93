//! How often the crossed bootstrap's interval holds the truth, where the truth is known.

use htl_metrics::{BootstrapParams, paired_gain};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// About normal with standard deviation 1.
fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

/// Share of made-up experiments whose interval holds the true gain of 0. The gain of a cell is the sum of the seed's,
/// the image's and the cell's own luck, with these standard deviations.
fn coverage(seeds: usize, of_seed: f64, of_image: f64, of_cell: f64) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let rounds = 300;
    let held = (0..rounds)
        .filter(|&round| {
            let images: Vec<f64> = (0..120).map(|_| of_image * normal(&mut rng)).collect();
            let mut seed = || {
                let luck = of_seed * normal(&mut rng);
                images
                    .iter()
                    .map(|image| luck + image + of_cell * normal(&mut rng))
                    .collect()
            };
            let method: Vec<Vec<f64>> = (0..seeds).map(|_| seed()).collect();
            let control = vec![vec![0.0; 120]; seeds];
            let params = BootstrapParams {
                resamples: 300,
                seed: round,
            };
            let [low, high] = paired_gain(&method, &control, &params).unwrap().ci95;
            low <= 0.0 && 0.0 <= high
        })
        .count();
    held as f64 / rounds as f64
}

#[test]
fn intervals_hold_the_truth_about_as_often_as_they_say() {
    for (seeds, lowest) in [(3, 0.84), (5, 0.88), (10, 0.91)] {
        for (of_seed, of_image, of_cell) in [(0.01, 0.05, 0.1), (0.01, 0.02, 0.05), (0.0, 0.05, 0.1)] {
            let share = coverage(seeds, of_seed, of_image, of_cell);
            println!("{seeds} seeds, deviations {of_seed} {of_image} {of_cell}: {share:.3}");
            assert!(share > lowest && share < 1.0, "{share} with {seeds} seeds");
        }
    }
}
