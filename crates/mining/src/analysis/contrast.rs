use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean, or a difference of means, over networks and images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Contrast {
    pub(crate) value: f64,
    pub(crate) lo: f64,
    pub(crate) hi: f64,
    /// Two-sided p of zero.
    pub(crate) p: f64,
}

/// A group of images, lesion by lesion, and how it counts.
pub(crate) struct Side<'a> {
    /// Positions of the images of each lesion.
    pub(crate) clusters: &'a [Vec<usize>],
    /// 1, or -1 for what is taken away.
    pub(crate) sign: f64,
}

/// Variance of one side's mean.
struct Part {
    /// Of the images, less what the networks' disagreement about single images contributes to it; not under 0.
    images: f64,
    freedom: f64,
}

/// The crossed t interval of Obuchowski and Rockette (degrees of freedom in the manner of Hillis) for the mean of a group of
/// images, or for the difference between groups that the same networks judged.
///
/// Images of one lesion are averaged first. With d_s the value of network s, the variance is that of the d_s over the number
/// of networks (whatever networks and groups do together is in it), plus, for every side, the variance of the image means
/// over the number of images less the share of it that comes from single predictions (MS_cell / (S · I)), not under zero.
/// For one group that is the crossed t of one table of seeds and images; of two it is Welch's form of it. The degrees of
/// freedom are Satterthwaite's over all these parts. One network: images alone vary, and the interval is about that network.
///
/// `None` if a side has fewer than two lesions.
///
/// # Shapes
/// - `table`: `[seeds][images]`
pub(crate) fn contrast(table: &[Vec<f64>], sides: &[Side]) -> Option<Contrast> {
    let seeds = table.len() as f64;
    let mut by_seed = vec![0.0; table.len()];
    let mut parts = Vec::new();
    for side in sides {
        let lesions = side.clusters.len();
        if lesions < 2 || table.is_empty() {
            return None;
        }
        let mean = |row: &Vec<f64>, lesion: &Vec<usize>| {
            lesion.iter().map(|&image| row[image]).sum::<f64>() / lesion.len() as f64
        };
        let values: Vec<Vec<f64>> = table
            .iter()
            .map(|row| side.clusters.iter().map(|lesion| mean(row, lesion)).collect())
            .collect();
        let of_seed: Vec<f64> = values
            .iter()
            .map(|row| row.iter().sum::<f64>() / lesions as f64)
            .collect();
        by_seed
            .iter_mut()
            .zip(&of_seed)
            .for_each(|(sum, value)| *sum += side.sign * value);
        parts.push(part(&values, &of_seed));
    }
    let value = by_seed.iter().sum::<f64>() / seeds;
    let of_seeds = if by_seed.len() > 1 {
        variance(&by_seed) / seeds
    } else {
        0.0
    };
    let total = of_seeds + parts.iter().map(|part| part.images).sum::<f64>();
    if total <= 0.0 {
        let p = if value == 0.0 { 1.0 } else { 0.0 };
        return Some(Contrast {
            value,
            lo: value,
            hi: value,
            p,
        });
    }
    let seed_part = if by_seed.len() > 1 {
        of_seeds.powi(2) / (seeds - 1.0)
    } else {
        0.0
    };
    let image_parts: f64 = parts.iter().map(|part| part.images.powi(2) / part.freedom).sum();
    let distribution = StudentsT::new(0.0, 1.0, total.powi(2) / (seed_part + image_parts)).ok()?;
    let error = total.sqrt();
    let half = distribution.inverse_cdf(0.975) * error;
    Some(Contrast {
        value,
        lo: value - half,
        hi: value + half,
        p: (2.0 * distribution.sf((value / error).abs())).min(1.0),
    })
}

fn part(values: &[Vec<f64>], of_seed: &[f64]) -> Part {
    let (seeds, images) = (values.len() as f64, values[0].len() as f64);
    let of_image: Vec<f64> = (0..values[0].len())
        .map(|image| values.iter().map(|row| row[image]).sum::<f64>() / seeds)
        .collect();
    let spread = variance(&of_image) / images;
    let cells = if values.len() > 1 {
        let mean = of_seed.iter().sum::<f64>() / seeds;
        let residual = |(row, seed): (&Vec<f64>, &f64)| -> f64 {
            let squares = row
                .iter()
                .zip(&of_image)
                .map(|(value, image)| (value - image - seed + mean).powi(2));
            squares.sum()
        };
        let cells: f64 = values.iter().zip(of_seed).map(residual).sum();
        cells / ((seeds - 1.0) * (images - 1.0)) / (seeds * images)
    } else {
        0.0
    };
    Part {
        images: (spread - cells).max(0.0),
        freedom: images - 1.0,
    }
}

fn variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn single(images: std::ops::Range<usize>) -> Vec<Vec<usize>> {
        images.map(|image| vec![image]).collect()
    }

    fn normal(random: &mut ChaCha8Rng) -> f64 {
        (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0
    }

    /// One network: Welch's t test.
    #[test]
    fn one_network_gives_welchs_interval() {
        let row = vec![0.1, 0.4, 0.35, 0.8, 0.6, 0.9, 0.7, 0.55, 0.65];
        let (a, b) = (single(0..4), single(4..9));
        let found = contrast(
            &[row],
            &[
                Side {
                    clusters: &a,
                    sign: 1.0,
                },
                Side {
                    clusters: &b,
                    sign: -1.0,
                },
            ],
        )
        .unwrap();
        // scipy.stats.ttest_ind(a, b, equal_var=False) and its confidence_interval(), scipy 1.17.1.
        for (found, expected) in [
            (found.value, -0.267_5),
            (found.p, 0.162_807_152_4),
            (found.lo, -0.701_521_182_6),
            (found.hi, 0.166_521_182_6),
        ] {
            assert!((found - expected).abs() < 1e-6, "{found}, {expected}");
        }
    }

    /// Five networks and a group of 30 images among 120: the gap's interval holds the truth as often as it says, and an
    /// interval that takes the cells for independent does not.
    #[test]
    fn intervals_hold_the_gap_as_often_as_they_say() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let (inside, outside) = (single(0..30), single(30..120));
        let (mut held, mut held_naively, rounds) = (0, 0, 600);
        for _ in 0..rounds {
            let image: Vec<f64> = (0..120).map(|_| 0.1 * normal(&mut random)).collect();
            let table: Vec<Vec<f64>> = (0..5)
                .map(|_| {
                    let (network, of_group) = (0.03 * normal(&mut random), 0.03 * normal(&mut random));
                    let value = |i: usize| network + if i < 30 { of_group } else { 0.0 } + image[i];
                    (0..120).map(|i| value(i) + 0.06 * normal(&mut random)).collect()
                })
                .collect();
            let sides = [
                Side {
                    clusters: &inside,
                    sign: 1.0,
                },
                Side {
                    clusters: &outside,
                    sign: -1.0,
                },
            ];
            let found = contrast(&table, &sides).unwrap();
            held += usize::from(found.lo <= 0.0 && 0.0 <= found.hi);
            let cells = |images: std::ops::Range<usize>| -> Vec<f64> {
                table.iter().flat_map(|row| row[images.clone()].to_vec()).collect()
            };
            let (a, b) = (cells(0..30), cells(30..120));
            let error = (variance(&a) / a.len() as f64 + variance(&b) / b.len() as f64).sqrt();
            held_naively += usize::from(found.value.abs() <= 1.96 * error);
        }
        let share = |held: usize| held as f64 / f64::from(rounds);
        assert!((0.925..=0.975).contains(&share(held)), "{}", share(held));
        assert!(share(held_naively) < 0.8, "{}", share(held_naively));
    }

    #[test]
    fn lesions_count_once_and_single_ones_say_nothing() {
        let row = vec![0.0, 0.0, 0.0, 1.0, 0.5];
        let lesions = [vec![0, 1, 2], vec![3], vec![4]];
        let side = [Side {
            clusters: &lesions,
            sign: 1.0,
        }];
        assert_eq!(contrast(std::slice::from_ref(&row), &side).unwrap().value, 0.5);
        let one = [vec![0, 1]];
        assert!(
            contrast(
                &[row],
                &[Side {
                    clusters: &one,
                    sign: 1.0
                }]
            )
            .is_none()
        );
    }
}
