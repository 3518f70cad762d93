use serde::{Deserialize, Serialize};

use crate::bootstrap::{BootstrapParams, percentile_interval};
use crate::clusters::Units;
use crate::crossed::crossed_t;
use crate::error::MetricError;
use crate::table::{check_table, differences};

/// The number of seeds from which an interval is read as inference and a p is given.
pub const SEEDS_FOR_INFERENCE: usize = 5;

/// How an interval may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// Fewer than [`SEEDS_FOR_INFERENCE`] seeds: the interval describes these runs and images, and no p is given.
    Descriptive,
    /// Enough seeds for the interval to speak about further seeds and images.
    Inferential,
}

impl Reading {
    /// What this number of seeds allows.
    pub fn of(seeds: usize) -> Self {
        if seeds < SEEDS_FOR_INFERENCE {
            Self::Descriptive
        } else {
            Self::Inferential
        }
    }
}

/// A mean over seeds and images with its 95 % intervals: of one arm, or of the paired gain of an arm over another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// Mean over all seeds and images; of a gain, of method - control: positive where the method's values are larger.
    pub mean: f64,
    /// The interval: of [`crossed_t`].
    pub ci95: [f64; 2],
    /// Two-sided p of "the mean is zero", from the same t; none with fewer than [`SEEDS_FOR_INFERENCE`] seeds.
    pub p: Option<f64>,
    /// Standard error of the mean.
    pub standard_error: f64,
    /// Degrees of freedom of the interval and of p.
    pub degrees: f64,
    /// Percentile interval of the crossed bootstrap, to be read beside `ci95`.
    pub bootstrap_ci95: [f64; 2],
    /// Number of seeds.
    pub seeds: usize,
    /// Number of images.
    pub images: usize,
    /// Number of independent images: of lesions or patients where images were averaged first.
    pub units: usize,
    /// How the interval may be read.
    pub reading: Reading,
}

/// The paired gain of a method over a control, for further seeds and images: [`crossed_t`] of the differences, and the
/// crossed bootstrap beside it.
///
/// Under five seeds the interval is labelled [`Reading::Descriptive`] and there is no p.
///
/// # Shapes
/// - `method`, `control`: `[seeds][images]`, the same seeds and the same images in the same order on both sides
///
/// # Errors
/// [`MetricError::Length`] if the tables differ in shape, [`MetricError::Empty`], [`MetricError::NotFinite`],
/// [`MetricError::Range`] for fewer than 100 resamples.
pub fn paired_gain(
    method: &[Vec<f64>],
    control: &[Vec<f64>],
    units: Units<'_>,
    params: &BootstrapParams,
) -> Result<Gain, MetricError> {
    gain_of(&differences(method, control)?, units, params)
}

/// The mean of one arm with its intervals, made as in [`paired_gain`]; its p is that of "the mean is zero", which is
/// seldom a question.
///
/// Intervals of two arms may overlap while their paired gain is clear: never judge a gain by them.
///
/// # Shapes
/// - `arm`: `[seeds][images]`
///
/// # Errors
/// As [`paired_gain`].
pub fn arm_mean(arm: &[Vec<f64>], units: Units<'_>, params: &BootstrapParams) -> Result<Gain, MetricError> {
    check_table("arm", arm)?;
    gain_of(arm, units, params)
}

fn gain_of(table: &[Vec<f64>], units: Units<'_>, params: &BootstrapParams) -> Result<Gain, MetricError> {
    let crossed = crossed_t(table, units)?;
    let reading = Reading::of(crossed.seeds);
    Ok(Gain {
        mean: crossed.mean,
        ci95: crossed.ci95,
        p: (reading == Reading::Inferential).then_some(crossed.p),
        standard_error: crossed.standard_error,
        degrees: crossed.degrees,
        bootstrap_ci95: percentile_interval(table, units, params)?,
        seeds: crossed.seeds,
        images: table[0].len(),
        units: crossed.units,
        reading,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select_images;

    fn table(seeds: usize, images: usize, shift: f64) -> Vec<Vec<f64>> {
        let noise = |s: usize, i: usize| ((s * 7919 + i * 104_729) % 1000) as f64 / 1000.0 - 0.5;
        (0..seeds)
            .map(|s| (0..images).map(|i| shift + 0.1 * noise(s, i)).collect())
            .collect()
    }

    fn gain(method: &[Vec<f64>], control: &[Vec<f64>]) -> Result<Gain, MetricError> {
        paired_gain(method, control, Units::Images, &BootstrapParams::default())
    }

    #[test]
    fn few_seeds_have_no_p() {
        let few = gain(&table(4, 30, 0.7), &table(4, 30, 0.6)).unwrap();
        assert_eq!((few.p, few.reading), (None, Reading::Descriptive));
        let five = gain(&table(5, 30, 0.7), &table(5, 30, 0.6)).unwrap();
        assert_eq!(five.reading, Reading::Inferential);
        assert!(five.p.unwrap() < 0.001 && (five.mean - 0.1).abs() < 1e-9);
    }

    #[test]
    fn no_gain_is_not_significant() {
        let mut swapped = table(6, 40, 0.5);
        swapped.reverse();
        let found = gain(&table(6, 40, 0.5), &swapped).unwrap();
        for [low, high] in [found.ci95, found.bootstrap_ci95] {
            assert!(low < 0.0 && high > 0.0, "{found:?}");
        }
        assert!(found.p.unwrap() > 0.5, "{found:?}");
    }

    #[test]
    fn same_seed_same_bits_other_seed_other_bits() {
        let run = |seed| {
            let params = BootstrapParams {
                seed,
                ..Default::default()
            };
            arm_mean(&table(3, 120, 0.6), Units::Images, &params).unwrap()
        };
        assert_eq!(run(1), run(1));
        assert_eq!(run(1).ci95, run(2).ci95);
        assert_ne!(run(1).bootstrap_ci95, run(2).bootstrap_ci95);
    }

    /// Twice the same images are no more than once the images, if one says so.
    #[test]
    fn images_of_a_lesion_count_once() {
        let once = table(6, 20, 0.02);
        let twice: Vec<Vec<f64>> = once.iter().map(|row| [row.clone(), row.clone()].concat()).collect();
        let zero = vec![vec![0.0; 40]; 6];
        let params = BootstrapParams::default();
        let lesions: Vec<usize> = (0..40).map(|image| image % 20).collect();
        let apart = gain(&twice, &zero).unwrap();
        let together = paired_gain(&twice, &zero, Units::Clusters(&lesions), &params).unwrap();
        let single = crossed_t(&once, Units::Images).unwrap();
        assert_eq!((together.images, together.units, apart.units), (40, 20, 40));
        assert!((together.standard_error - single.standard_error).abs() < 1e-12);
        assert!(apart.standard_error < 0.9 * together.standard_error);
        let width = |[low, high]: [f64; 2]| high - low;
        assert!(width(apart.bootstrap_ci95) < 0.9 * width(together.bootstrap_ci95));
    }

    #[test]
    fn wrong_shapes_are_named() {
        let params = BootstrapParams::default();
        let error = gain(&table(3, 4, 0.0), &table(2, 4, 0.0)).unwrap_err().to_string();
        assert!(error.contains("expected 3") && error.contains("found 2"), "{error}");
        let mut ragged = table(3, 4, 0.0);
        ragged[2].pop();
        let of = |table: &[Vec<f64>], params| arm_mean(table, Units::Images, params);
        assert!(of(&ragged, &params).unwrap_err().to_string().contains("seed number 2"));
        ragged[2].push(f64::NAN);
        assert!(matches!(
            of(&ragged, &params),
            Err(MetricError::NotFinite { index: 3, .. })
        ));
        assert!(of(&[], &params).is_err());
        assert!(of(&table(2, 2, 0.0), &BootstrapParams { resamples: 5, seed: 0 }).is_err());
        assert!(arm_mean(&table(2, 2, 0.0), Units::Clusters(&[0]), &params).is_err());
        assert!(select_images(&table(2, 2, 0.0), &[2]).is_err());
    }
}
