use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::clusters::{Units, averaged};
use crate::error::MetricError;
use crate::table::{check_table, table_mean};

/// Mean squares of a seeds x images table with one value per cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeanSquares {
    /// Between seeds: images times the variance of the seeds' means. 0 with a single seed.
    pub seed: f64,
    /// Between images (or clusters of images): seeds times the variance of their means. 0 with a single image.
    pub image: f64,
    /// Of what is left in the cells once seed and image are taken off. 0 with a single seed or image.
    pub cell: f64,
}

impl MeanSquares {
    fn of(table: &[Vec<f64>], mean: f64) -> Self {
        let (seeds, images) = (table.len(), table[0].len());
        let of_seed: Vec<f64> = table
            .iter()
            .map(|row| row.iter().sum::<f64>() / images as f64 - mean)
            .collect();
        let of_image: Vec<f64> = (0..images)
            .map(|image| table.iter().map(|row| row[image]).sum::<f64>() / seeds as f64 - mean)
            .collect();
        let squares = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>();
        let over = |sum: f64, degrees: usize| if degrees == 0 { 0.0 } else { sum / degrees as f64 };
        let mut left = 0.0;
        for (row, seed) in table.iter().zip(&of_seed) {
            for (value, image) in row.iter().zip(&of_image) {
                left += (value - mean - seed - image).powi(2);
            }
        }
        Self {
            seed: over(images as f64 * squares(&of_seed), seeds - 1),
            image: over(seeds as f64 * squares(&of_image), images - 1),
            cell: over(left, (seeds - 1) * (images - 1)),
        }
    }
}

/// A mean over seeds and images, with what a t distribution says about further seeds and further images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CrossedT {
    /// Mean over all seeds and images.
    pub mean: f64,
    /// Standard error of the mean; infinite for a table of one cell.
    pub standard_error: f64,
    /// Degrees of freedom, at least 1 but for a table of one cell, which has none.
    pub degrees: f64,
    /// 95 % interval.
    pub ci95: [f64; 2],
    /// Two-sided p of "the mean is zero".
    pub p: f64,
    /// What the standard error is made of.
    pub mean_squares: MeanSquares,
    /// Number of seeds.
    pub seeds: usize,
    /// Number of images, or of clusters where images were averaged first.
    pub units: usize,
}

impl CrossedT {
    /// The interval that holds the true mean with this confidence, in (0, 1).
    pub fn interval(&self, confidence: f64) -> [f64; 2] {
        let half = if self.standard_error == 0.0 {
            0.0
        } else {
            t_quantile(self.degrees, (1.0 - confidence) / 2.0) * self.standard_error
        };
        [self.mean - half, self.mean + half]
    }
}

/// The mean of a seeds x images table with a t interval for seeds *and* images drawn anew: the analysis of
/// Obuchowski and Rockette (1995) with the degrees of freedom of a Satterthwaite approximation, as in studies of readers
/// and cases (Hillis, Statistics in Medicine 2007), for one difference per seed and image.
///
/// A cell is the sum of a seed's, an image's and its own luck. With the mean squares of [`MeanSquares`],
///
/// SE² = (MS_seed + max(MS_image − MS_cell, 0)) / (S · I),
///
/// since MS_seed holds the cells' noise once already. Where MS_image is above MS_cell, the degrees of freedom are
/// Satterthwaite's for this sum, (MS_seed + MS_image − MS_cell)² / (MS_seed² / (S − 1) + MS_image² / (I − 1) +
/// MS_cell² / ((S − 1)(I − 1))), and never fewer than the smaller of S − 1 and I − 1; else they are S − 1. (Hillis leaves
/// the last two terms out, as with hundreds of cases one may; with a group of a dozen images one may not.)
///
/// Wherever both components are positive this is what `lmerTest` in R says of `d ~ 1 + (1 | seed) + (1 | image)`
/// (`tests/golden/crossed.R`). `tests/coverage.rs` measures how often the interval holds the truth.
///
/// Tables in which something cannot be estimated:
/// - one seed: the interval of a t test over images (I − 1 degrees of freedom). It says nothing about further seeds;
/// - one image: of a t test over seeds (S − 1). It says nothing about further images;
/// - one cell: an infinite standard error and interval, p = 1;
/// - no variance at all: the interval is the mean, p = 1 where that is 0 and else 0.
///
/// # Shapes
/// - `table`: `[seeds][images]`, the same images in the same order for every seed
///
/// # Errors
/// [`MetricError::Empty`], [`MetricError::Length`], [`MetricError::NotFinite`] for a table that is not one;
/// [`MetricError::Length`] unless there is one cluster per image.
pub fn crossed_t(table: &[Vec<f64>], units: Units<'_>) -> Result<CrossedT, MetricError> {
    check_table("table", table)?;
    let averaged = averaged(table, units)?;
    let units = averaged[0].len();
    Ok(of_units(&averaged, units.saturating_sub(1) as f64))
}

/// How much more the images of a group gain than all others: the mean of their differences minus the mean of the others'
/// for each seed, with the interval of [`crossed_t`].
///
/// The interaction of arm and hardness: "is the method better on hard images *than it is on others*?". The table analysed
/// has each seed's difference of means as the mean of its row. An image adds to it its distance from its group's mean in
/// that row, weighted by I / n in the group and − I / (I − n) outside (and so that each group's variance has n − 1 in its
/// denominator), so that the variance over images is that of two independent groups, as in Welch's test. The images'
/// degrees of freedom are those of the smaller group, fewer than Welch's.
///
/// # Shapes
/// - `differences`: `[seeds][images]`, method minus control
/// - `group`: one entry per image, whether it is in the group
///
/// # Errors
/// As [`crossed_t`]; [`MetricError::Length`] for a group of another length; [`MetricError::Range`] unless there are two
/// images in the group and two outside.
pub fn gain_difference(differences: &[Vec<f64>], group: &[bool], units: Units<'_>) -> Result<CrossedT, MetricError> {
    check_table("differences", differences)?;
    let images = differences[0].len();
    if group.len() != images {
        return Err(MetricError::Length {
            what: "members of the group, one entry per image".into(),
            expected: images,
            found: group.len(),
        });
    }
    let inside = group.iter().filter(|member| **member).count();
    let smaller = inside.min(images - inside);
    if smaller < 2 {
        return Err(MetricError::Range {
            what: "images in the group, or outside it",
            found: smaller as f64,
            expected: "at least 2 on either side",
        });
    }
    let outside = images - inside;
    let row = |values: &Vec<f64>| -> Vec<f64> {
        let mean_of = |member: bool, count: usize| {
            let of_group = values.iter().zip(group).filter(|(_, inside)| **inside == member);
            of_group.map(|(value, _)| value).sum::<f64>() / count as f64
        };
        let (of_inside, of_outside) = (mean_of(true, inside), mean_of(false, outside));
        // The table's variance has images - 1 in its denominator, a group's its own number.
        let scale = |count: usize| {
            let (count, images) = (count as f64, images as f64);
            images / count * (count / (count - 1.0) * (images - 1.0) / images).sqrt()
        };
        let contribution = |(value, member): (&f64, &bool)| {
            let away = if *member {
                scale(inside) * (value - of_inside)
            } else {
                -scale(outside) * (value - of_outside)
            };
            of_inside - of_outside + away
        };
        values.iter().zip(group).map(contribution).collect()
    };
    let table: Vec<Vec<f64>> = differences.iter().map(row).collect();
    let averaged = averaged(&table, units)?;
    // Clusters may lie in both groups; there are at most as many of them as images.
    let degrees = (smaller.min(averaged[0].len()) - 1).max(1) as f64;
    Ok(of_units(&averaged, degrees))
}

/// The analysis of a table whose columns are independent, with these degrees of freedom between columns.
fn of_units(table: &[Vec<f64>], between_units: f64) -> CrossedT {
    let (seeds, units) = (table.len(), table[0].len());
    let mean = table_mean(table);
    let mean_squares = MeanSquares::of(table, mean);
    let between_seeds = (seeds - 1) as f64;
    let MeanSquares { seed, image, cell } = mean_squares;
    let sum = seed + (image - cell).max(0.0);
    let degrees = match (seeds, units) {
        (1, 1) => 0.0,
        (1, _) => between_units,
        (_, 1) => between_seeds,
        _ if image <= cell => between_seeds,
        _ => {
            let spread = seed.powi(2) / between_seeds
                + image.powi(2) / between_units
                + cell.powi(2) / (between_seeds * between_units);
            (sum.powi(2) / spread).max(between_seeds.min(between_units))
        }
    };
    let standard_error = if degrees == 0.0 {
        f64::INFINITY
    } else {
        (sum / (seeds * units) as f64).sqrt()
    };
    let mut result = CrossedT {
        mean,
        standard_error,
        degrees,
        ci95: [mean; 2],
        p: two_sided_p(mean, standard_error, degrees),
        mean_squares,
        seeds,
        units,
    };
    result.ci95 = result.interval(0.95);
    result
}

fn two_sided_p(mean: f64, standard_error: f64, degrees: f64) -> f64 {
    if standard_error == 0.0 {
        return if mean == 0.0 { 1.0 } else { 0.0 };
    }
    if !standard_error.is_finite() {
        return 1.0;
    }
    (2.0 * t_tail(degrees, (mean / standard_error).abs())).min(1.0)
}

/// The probability that Student's t is above `t`.
pub(crate) fn t_tail(degrees: f64, t: f64) -> f64 {
    // Degrees of freedom are at least 1 wherever this is called, so the distribution exists.
    StudentsT::new(0.0, 1.0, degrees.max(1.0)).map_or(f64::NAN, |distribution| distribution.sf(t))
}

/// Upper quantile of Student's t: exceeded with probability `tail`.
pub(crate) fn t_quantile(degrees: f64, tail: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees.max(1.0)).map_or(f64::INFINITY, |t| t.inverse_cdf(1.0 - tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-9 * expected.abs().max(1.0),
            "{found} {expected}"
        );
    }

    /// Two seeds and three images, by hand.
    #[test]
    fn mean_squares_by_hand() {
        let table = vec![vec![1.0, 2.0, 6.0], vec![3.0, 2.0, 10.0]];
        let found = crossed_t(&table, Units::Images).unwrap();
        close(found.mean, 4.0);
        // Seeds 3 and 5, images 2, 2 and 8; left: 0, 1, -1 and the opposite.
        close(found.mean_squares.seed, 3.0 * 2.0);
        close(found.mean_squares.image, 2.0 * 24.0 / 2.0);
        close(found.mean_squares.cell, 4.0 / 2.0);
        close(found.standard_error, ((6.0 + 22.0) / 6.0f64).sqrt());
        close(found.degrees, 28.0f64.powi(2) / (36.0 + 288.0 + 2.0));
    }

    /// What one seed or one image leaves is the plain t test.
    #[test]
    fn one_row_or_column_is_a_t_test() {
        let values = vec![0.1, 0.4, 0.2, 0.5];
        let images = crossed_t(std::slice::from_ref(&values), Units::Images).unwrap();
        let column: Vec<Vec<f64>> = values.iter().map(|v| vec![*v]).collect();
        let seeds = crossed_t(&column, Units::Images).unwrap();
        for found in [&images, &seeds] {
            close(found.mean, 0.3);
            close(found.standard_error, (0.1f64 / 3.0 / 4.0).sqrt());
            close(found.degrees, 3.0);
        }
        close(images.ci95[0], seeds.ci95[0]);
        assert_eq!((images.mean_squares.seed, seeds.mean_squares.image), (0.0, 0.0));
    }

    #[test]
    fn a_cell_says_nothing_and_no_variance_says_all() {
        let cell = crossed_t(&[vec![0.3]], Units::Images).unwrap();
        assert_eq!((cell.ci95, cell.p), ([f64::NEG_INFINITY, f64::INFINITY], 1.0));
        let same = crossed_t(&[vec![0.5; 3], vec![0.5; 3]], Units::Images).unwrap();
        assert_eq!((same.ci95, same.p), ([0.5; 2], 0.0));
        let nothing = crossed_t(&[vec![0.0; 3], vec![0.0; 3]], Units::Images).unwrap();
        assert_eq!((nothing.ci95, nothing.p), ([0.0; 2], 1.0));
    }

    /// With all variance between images, the difference of two groups has the standard error of Welch's test.
    #[test]
    fn a_difference_of_groups_has_the_variance_of_both() {
        let images = [0.9, 0.1, 0.5, 0.2, 0.2, 0.3, 0.3];
        let group = [true, true, true, false, false, false, false];
        let table = vec![images.to_vec(); 4];
        let found = gain_difference(&table, &group, Units::Images).unwrap();
        close(found.mean, 0.5 - 0.25);
        close(found.standard_error, (0.32 / 2.0 / 3.0 + 0.01 / 3.0 / 4.0f64).sqrt());
        assert!(gain_difference(&table, &[true, false, false, false, false, false, false], Units::Images).is_err());
        assert!(gain_difference(&table, &group[..3], Units::Images).is_err());
    }
}
