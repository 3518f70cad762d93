//! How often `htl check` raises a false alarm, and what it finds: the tables of `docs/check.md`.
//!
//! `cargo run --release -p htl-metrics --example check_power`
//!
//! Made-up test results of 400 images: every image has its difficulty, every run the luck of its seed (standard deviation
//! `seed`, the same for all images), every image in every run its own (.06, as measured between dermoscopy networks of
//! 64 pixels). Forty images, a tenth, are a group; beside it twelve groups of 40 to 200 images are tested.

use htl_metrics::{Attribute, BandParams, BandVerdict, Baseline, Better, CheckOutcome, MetricError, Runs};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const IMAGES: usize = 400;
const GROUP: usize = IMAGES / 10;
const CELL: f64 = 0.06;
const ROUNDS: usize = 2000;

/// What fresh runs are like.
#[derive(Clone, Copy)]
struct World {
    /// Standard deviation of a run's luck.
    seed: f64,
    /// Baseline and fresh runs.
    runs: [usize; 2],
    /// Change of every image in fresh runs.
    change: f64,
    /// Change of the group beyond that.
    group: f64,
    /// How often a run, old or new, collapses by ten points.
    collapse: f64,
    /// Share of a run's luck that its seed decides, before and after a change alike; `None`: seeds are not named.
    shared: Option<f64>,
}

const PLAIN: World = World {
    seed: 0.008,
    runs: [5, 1],
    change: 0.0,
    group: 0.0,
    collapse: 0.0,
    shared: None,
};

struct Dice(ChaCha8Rng);

impl Dice {
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.0.random::<f64>()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.0.random::<f64>()).cos()
    }

    /// Results of a run with this luck, which changes its images by so much, the group's by more.
    fn run(&mut self, world: &World, luck: f64, change: f64, group: f64) -> Vec<(String, f64)> {
        let collapsed = if self.0.random::<f64>() < world.collapse {
            -0.1
        } else {
            0.0
        };
        (0..IMAGES)
            .map(|image| {
                let lost = if image < GROUP { group } else { 0.0 };
                let value = 0.7 + luck + change + lost + collapsed + CELL * self.normal();
                (format!("{image:03}"), value)
            })
            .collect()
    }

    fn check(&mut self, world: &World, attributes: &[Attribute]) -> Result<CheckOutcome, MetricError> {
        let [before, after] = world.runs;
        let lucks: Vec<f64> = (0..before.max(after)).map(|_| world.seed * self.normal()).collect();
        let kept = world.shared.unwrap_or_default();
        let known: Vec<_> = (0..before).map(|run| self.run(world, lucks[run], 0.0, 0.0)).collect();
        let fresh: Vec<_> = (0..after)
            .map(|run| {
                let own = world.seed * self.normal();
                let luck = kept.sqrt() * lucks[run] + (1.0 - kept).sqrt() * own;
                self.run(world, luck, world.change, world.group)
            })
            .collect();
        let (mut known, mut fresh) = (Runs::new(&known)?, Runs::new(&fresh)?);
        if world.shared.is_some() {
            known = known.with_seeds((0..before as u64).collect())?;
            fresh = fresh.with_seeds((0..after as u64).collect())?;
        }
        let baseline = Baseline::from_runs("made_up", Better::Higher, &known, BandParams::default())?;
        baseline.check(&fresh, attributes)
    }
}

/// Shares of checks that call the mean worse, a group worse, the group that lost worse.
fn shares(world: World) -> Result<[f64; 3], MetricError> {
    let attributes = groups();
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(1));
    let mut counts = [0usize; 3];
    for _ in 0..ROUNDS {
        let outcome = dice.check(&world, &attributes)?;
        let found = [
            outcome.verdict == BandVerdict::Below,
            outcome.worse_groups().next().is_some(),
            outcome.worse_groups().any(|group| group.level == "tenth"),
        ];
        for (count, found) in counts.iter_mut().zip(found) {
            *count += usize::from(found);
        }
    }
    Ok(counts.map(|count| count as f64 / ROUNDS as f64))
}

/// The tenth, and twelve other groups, as five attributes have them.
fn groups() -> Vec<Attribute> {
    let attribute = |name: &str, level: &dyn Fn(usize) -> String| Attribute {
        name: name.to_owned(),
        levels: (0..IMAGES).map(|image| (format!("{image:03}"), level(image))).collect(),
    };
    vec![
        attribute("site", &|image| match image {
            0..GROUP => "tenth".to_owned(),
            _ => format!("site {}", image % 3),
        }),
        attribute("sex", &|image| format!("sex {}", image % 2)),
        attribute("age", &|image| format!("age {}", image / 2 % 4)),
        attribute("size", &|image| format!("size {}", image / 5 % 3)),
    ]
}

fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

fn main() -> Result<(), MetricError> {
    println!("False alarms, 1 % asked for each column:\n");
    row(&["baseline runs", "fresh runs", "sd of seeds", "mean", "any of 13 groups"].map(String::from));
    row(&["---"; 5].map(String::from));
    for runs in [[3, 1], [5, 1], [5, 3], [10, 1], [10, 5]] {
        for seed in [0.005, 0.025] {
            let [mean, group, _] = shares(World { seed, runs, ..PLAIN })?;
            row(&[
                runs[0].to_string(),
                runs[1].to_string(),
                seed.to_string(),
                format!("{mean:.4}"),
                format!("{group:.4}"),
            ]);
        }
    }
    println!("\nThe same where one training in ten collapses by ten points:\n");
    row(&["baseline runs", "fresh runs", "mean"].map(String::from));
    row(&["---"; 3].map(String::from));
    for runs in [[5, 1], [5, 3], [10, 1], [10, 3]] {
        let [mean, _, _] = shares(World {
            runs,
            collapse: 0.1,
            ..PLAIN
        })?;
        row(&[runs[0].to_string(), runs[1].to_string(), format!("{mean:.3}")]);
    }
    println!("\nLosses of all images that are found (gate of the mean):\n");
    row(&[
        "sd of seeds",
        "baseline runs",
        "fresh runs",
        "−1 point",
        "−2 points",
        "−5 points",
    ]
    .map(String::from));
    row(&["---"; 6].map(String::from));
    for seed in [0.008, 0.012] {
        for runs in [[3, 1], [5, 1], [5, 3], [10, 1], [10, 5]] {
            let mut cells = vec![seed.to_string(), runs[0].to_string(), runs[1].to_string()];
            for change in [-0.01, -0.02, -0.05] {
                let [mean, _, _] = shares(World {
                    seed,
                    runs,
                    change,
                    ..PLAIN
                })?;
                cells.push(format!("{mean:.2}"));
            }
            row(&cells);
        }
    }
    println!("\nLosses of a tenth of the images that are found:\n");
    row(&["baseline runs", "fresh runs", "loss", "by the mean", "by its group"].map(String::from));
    row(&["---"; 5].map(String::from));
    for runs in [[3, 1], [5, 1], [5, 3], [10, 1], [10, 3]] {
        for group in [-0.05, -0.1, -0.2] {
            let [mean, _, tenth] = shares(World { runs, group, ..PLAIN })?;
            row(&[
                runs[0].to_string(),
                runs[1].to_string(),
                format!("{:.0} points", 100.0 * group).replace('-', "−"),
                format!("{mean:.2}"),
                format!("{tenth:.2}"),
            ]);
        }
    }
    println!("\nFive fresh runs against five, with seeds of their own and with the same seeds:\n");
    row(&[
        "what seeds decide alike",
        "false alarm, paired",
        "−1 point, unpaired",
        "−1 point, paired",
    ]
    .map(String::from));
    row(&["---"; 4].map(String::from));
    for kept in [0.0, 0.5, 0.9] {
        let world = |change, shared| World {
            runs: [5, 5],
            change,
            shared,
            ..PLAIN
        };
        let [alarm, _, _] = shares(world(0.0, Some(kept)))?;
        let [unpaired, _, _] = shares(world(-0.01, None))?;
        let [paired, _, _] = shares(world(-0.01, Some(kept)))?;
        row(&[
            format!("{:.0} %", 100.0 * kept),
            format!("{alarm:.3}"),
            format!("{unpaired:.2}"),
            format!("{paired:.2}"),
        ]);
    }
    Ok(())
}
