//! Does adaptive selection keep its promise? On the disc model of an image: network k sees a lesion whose log radius is off by
//! u, the distance of two consensus discs is 1 - exp(-2 |difference|), and every image is unstable in its own degree.

use htl_mining::{knockoff_threshold, relative_statistics};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const IMAGES: usize = 240;
const Q: f64 = 0.2;
const TRIALS: u64 = 150;

/// A world of networks.
#[derive(Clone, Copy)]
struct World {
    seeds: usize,
    /// Sd of what each network does to all images alike: what makes images depend on each other.
    shared: f64,
    /// Noise of the pruned networks; that of the sham is .7.
    pruned_noise: f64,
    /// Share of the images that pruning harms.
    planted: f64,
}

const SHAM_NOISE: f64 = 0.7;
const HARM: f64 = 0.3;

struct Normal(ChaCha8Rng);

impl Normal {
    /// Box and Muller.
    fn draw(&mut self) -> f64 {
        let (a, b) = (1.0 - self.0.random::<f64>(), self.0.random::<f64>());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}

/// Distances of one trial, and which images are harmed.
fn trial(world: World, seed: u64) -> (Vec<[f64; 4]>, Vec<bool>) {
    let mut normal = Normal(ChaCha8Rng::seed_from_u64(seed));
    let half = world.seeds / 2;
    let mut shared = |sd: f64| -> Vec<f64> { (0..world.seeds).map(|_| sd * normal.draw()).collect() };
    let (of_dense, of_sham, of_pruned) = (shared(0.03), shared(world.shared / 2.0), shared(world.shared));
    let (mut distances, mut harmed) = (Vec::new(), Vec::new());
    for _ in 0..IMAGES {
        let unstable = (0.05f64.ln() + 0.6 * normal.draw()).exp();
        let is_harmed = normal.0.random::<f64>() < world.planted;
        let sign = if normal.0.random::<bool>() { 1.0 } else { -1.0 };
        let (mut dense, mut sham, mut pruned) = (Vec::new(), Vec::new(), Vec::new());
        for k in 0..world.seeds {
            let u = of_dense[k] + unstable * normal.draw();
            dense.push(u);
            sham.push(u + of_sham[k] + SHAM_NOISE * unstable * normal.draw());
            let harm = if is_harmed { sign * HARM } else { 0.0 };
            pruned.push(u + of_pruned[k] + world.pruned_noise * unstable * normal.draw() + harm);
        }
        let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len() as f64;
        let distance = |a: &[f64], b: &[f64]| 1.0 - (-2.0 * (mean(a) - mean(b)).abs()).exp();
        let (a, c) = (0..half, half..2 * half);
        distances.push([
            distance(&dense[a.clone()], &pruned[c.clone()]),
            distance(&dense[a.clone()], &sham[c.clone()]),
            distance(&dense[c.clone()], &pruned[a.clone()]),
            distance(&dense[c], &sham[a]),
        ]);
        harmed.push(is_harmed);
    }
    (distances, harmed)
}

/// The rule without medians, which the simulation has to be able to find fault with.
fn plain(distances: &[[f64; 4]]) -> Vec<f64> {
    let statistic = |d: &[f64; 4]| (d[0] - d[1] + d[2] - d[3]) / 2.0;
    distances.iter().map(statistic).collect()
}

/// Mean share of false discoveries, and mean share of the harmed images found.
fn measured(world: World, rule: impl Fn(&[[f64; 4]]) -> Vec<f64>) -> [f64; 2] {
    let (mut false_share, mut power) = (0.0, 0.0);
    for seed in 0..TRIALS {
        let (distances, harmed) = trial(world, seed);
        let statistics = rule(&distances);
        let threshold = knockoff_threshold(&statistics, Q).unwrap();
        let selected: Vec<bool> = statistics
            .iter()
            .map(|w| threshold.is_some_and(|threshold| *w >= threshold))
            .collect();
        let count = |of: &dyn Fn(bool, bool) -> bool| {
            let pairs = selected.iter().zip(&harmed);
            pairs.filter(|(selected, harmed)| of(**selected, **harmed)).count() as f64
        };
        false_share += count(&|selected, harmed| selected && !harmed) / count(&|selected, _| selected).max(1.0);
        power += count(&|selected, harmed| selected && harmed) / count(&|_, harmed| harmed).max(1.0);
    }
    [false_share, power].map(|sum| sum / TRIALS as f64)
}

fn relative(distances: &[[f64; 4]]) -> Vec<f64> {
    relative_statistics(distances).unwrap()
}

/// A second sham in the place of the pruned networks, pruned networks that are noisier on all images alike (1.2 and 2), a tenth
/// of the images planted, and images that depend on each other: false discoveries stay under the target.
#[test]
fn false_discoveries_stay_under_the_target() {
    let usual = World {
        seeds: 4,
        shared: 0.02,
        pruned_noise: SHAM_NOISE,
        planted: 0.0,
    };
    let mut least_power = Vec::new();
    for seeds in [4, 8] {
        for (name, shared, pruned_noise) in [
            ("second sham", 0.02, SHAM_NOISE),
            ("dependent images", 0.05, SHAM_NOISE),
            ("noise 1.2", 0.02, 1.2),
            ("noise 2", 0.02, 2.0),
        ] {
            for planted in [0.0, 0.1] {
                let world = World {
                    seeds,
                    shared,
                    pruned_noise,
                    planted,
                };
                let [false_share, power] = measured(world, relative);
                println!("{name}, {seeds} seeds, planted {planted}: false {false_share:.3}, power {power:.2}");
                assert!(
                    false_share < 0.25,
                    "{name}, {seeds} seeds, planted {planted}: {false_share}"
                );
                if planted > 0.0 && shared == usual.shared && pruned_noise == usual.pruned_noise {
                    least_power.push(power);
                }
            }
        }
    }
    assert!(least_power.iter().all(|power| *power > 0.8), "power {least_power:?}");
}

/// Differences that are not divided by their medians select wherever pruning is the larger change of every image.
#[test]
fn without_medians_the_promise_is_broken() {
    for (pruned_noise, least) in [(1.2, 0.3), (2.0, 0.7)] {
        let world = World {
            seeds: 4,
            shared: 0.02,
            pruned_noise,
            planted: 0.0,
        };
        let [false_share, _] = measured(world, plain);
        println!("noise {pruned_noise} without medians: false {false_share:.3}");
        assert!(false_share > least, "noise {pruned_noise}: {false_share}");
    }
}
