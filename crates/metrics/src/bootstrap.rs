use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::boundary::percentile;
use crate::clusters::{Units, check_units, members};
use crate::error::MetricError;

/// How the bootstrap is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootstrapParams {
    /// Number of resamples; at least 100 for a 95 % interval to mean anything.
    pub resamples: usize,
    /// Seed of the resampling; the same seed gives the same bits.
    pub seed: u64,
}

impl Default for BootstrapParams {
    /// 2000 resamples, seed 0.
    fn default() -> Self {
        Self {
            resamples: 2000,
            seed: 0,
        }
    }
}

/// The 2.5th and the 97.5th percentile of the means of resampled tables.
///
/// Each resample draws rows and columns (or clusters of columns) independently, with replacement, as many as there are,
/// and averages the table so drawn: Owen's pigeonhole bootstrap ("The pigeonhole bootstrap", Annals of Applied Statistics
/// 2007). It counts the cells' noise with the rows, with the columns and by itself, so its interval is too wide where
/// cells dominate (nominal 95 % hold the truth in up to 99.7 %); k rows drawn from k understate the variance of seeds by
/// (k − 1) / k and a percentile ignores heavy tails, so it is too narrow where seeds do (down to 83 % with five of them:
/// `tests/coverage.rs`). A reason to read it beside [`crossed_t`](crate::crossed_t), never instead.
pub(crate) fn percentile_interval(
    table: &[Vec<f64>],
    units: Units<'_>,
    params: &BootstrapParams,
) -> Result<[f64; 2], MetricError> {
    check_resamples(params)?;
    let (seeds, images) = (table.len(), table[0].len());
    let (sums, sizes) = match units {
        Units::Images => (table.to_vec(), vec![1.0; images]),
        Units::Clusters(units) => {
            check_units(units, images)?;
            let members = members(units);
            let sum = |row: &Vec<f64>, of: &Vec<usize>| of.iter().map(|image| row[*image]).sum::<f64>();
            let row = |row: &Vec<f64>| members.iter().map(|of| sum(row, of)).collect();
            let sizes = members.iter().map(|of| of.len() as f64).collect();
            (table.iter().map(row).collect(), sizes)
        }
    };
    let mut rng = ChaCha8Rng::seed_from_u64(params.seed);
    let mut times_drawn = vec![0.0; sizes.len()];
    let mut means = Vec::with_capacity(params.resamples);
    for _ in 0..params.resamples {
        draw(&mut rng, &mut times_drawn, |times| *times += 1.0);
        let drawn = |values: &[f64]| values.iter().zip(&times_drawn).map(|(v, n)| v * n).sum::<f64>();
        let sum: f64 = (0..seeds).map(|_| drawn(&sums[rng.random_range(0..seeds)])).sum();
        means.push(sum / (seeds as f64 * drawn(&sizes)));
    }
    means.sort_by(f64::total_cmp);
    Ok([percentile(&means, 0.025), percentile(&means, 0.975)])
}

/// Hands resamples of images to `visit`, drawn with replacement by themselves or cluster by cluster: how often each image
/// was drawn.
///
/// # Errors
/// [`MetricError::Range`] for fewer than 100 resamples, [`MetricError::Length`] unless there is a cluster per image.
pub(crate) fn resampled_images(
    images: usize,
    units: Units<'_>,
    params: &BootstrapParams,
    mut visit: impl FnMut(&[usize]),
) -> Result<(), MetricError> {
    check_resamples(params)?;
    let members = match units {
        Units::Images => (0..images).map(|image| vec![image]).collect(),
        Units::Clusters(units) => {
            check_units(units, images)?;
            members(units)
        }
    };
    let mut rng = ChaCha8Rng::seed_from_u64(params.seed);
    let mut times_drawn = vec![0; members.len()];
    let mut weights = vec![0; images];
    for _ in 0..params.resamples {
        draw(&mut rng, &mut times_drawn, |times| *times += 1);
        for (of, &times) in members.iter().zip(&times_drawn) {
            for &image in of {
                weights[image] = times;
            }
        }
        visit(&weights);
    }
    Ok(())
}

/// Draws as many times as there are entries, with replacement, and counts.
fn draw<T: Default + Clone>(rng: &mut ChaCha8Rng, times_drawn: &mut [T], count: impl Fn(&mut T)) {
    times_drawn.fill(T::default());
    for _ in 0..times_drawn.len() {
        count(&mut times_drawn[rng.random_range(0..times_drawn.len())]);
    }
}

fn check_resamples(params: &BootstrapParams) -> Result<(), MetricError> {
    if params.resamples >= 100 {
        return Ok(());
    }
    Err(MetricError::Range {
        what: "bootstrap resamples",
        found: params.resamples as f64,
        expected: "at least 100",
    })
}
