//! Pseudo-masks from tight boxes.

use htl_datasets::{ImageSet, PixelBox, box_mask, ellipse_mask, lab_from_srgb};

use crate::objective::BoxTargets;

/// The pseudo-mask of each image of a set, `[size * size]` values 0 or 1; without a box there is no lesion.
pub(crate) fn box_targets(images: &ImageSet, boxes: &[Option<PixelBox>], targets: BoxTargets) -> Vec<Vec<f32>> {
    let size = images.size();
    let of = |(index, bounds): (usize, &Option<PixelBox>)| match (bounds, targets) {
        (None, _) => vec![0.0; size * size],
        (Some(bounds), BoxTargets::FilledBox) => box_mask(bounds, size, size),
        (Some(bounds), BoxTargets::Ellipse) => ellipse_mask(bounds, size, size),
        (Some(bounds), BoxTargets::Refined) => refined(&images.image(index), size, bounds),
    };
    boxes.iter().enumerate().map(of).collect()
}

/// Rounds of estimating the two colour distributions and then the mask.
const ROUNDS: usize = 5;
/// Steepness of the prior in units of the ellipse's radius.
const STEEPNESS: f64 = 4.0;
/// Weight of the colour evidence against the prior: neighbouring pixels are not independent.
const EVIDENCE: f64 = 0.5;
/// Colour evidence of a pixel is cut off here, in nats: hairs and reflections may not decide alone.
const MOST_EVIDENCE: f64 = 4.0;
/// Least variance of a colour channel, in CIELAB units squared.
const LEAST_VARIANCE: f64 = 4.0;
/// Fewest pixels outside the lesion from which its surroundings can be estimated.
const LEAST_OUTSIDE: f64 = 20.0;

/// The ellipse inscribed in the box, refined by colour: expectation maximisation over one Gaussian for the lesion and one
/// for everything else in CIELAB, with a prior that falls off around the ellipse and is zero outside the box. GrabCut
/// (Rother et al. 2004) in its simplest form, with smoothed evidence in place of the graph cut.
///
/// `image`: `[3 * size * size]`, planar RGB in [0, 1].
fn refined(image: &[f32], size: usize, bounds: &PixelBox) -> Vec<f32> {
    let colours = smoothed_lab(image, size);
    let prior: Vec<f64> = (0..size * size).map(|at| prior(at % size, at / size, bounds)).collect();
    let mut lesion = prior.clone();
    for _ in 0..ROUNDS {
        if lesion.iter().map(|p| 1.0 - p).sum::<f64>() < LEAST_OUTSIDE {
            return ellipse_mask(bounds, size, size);
        }
        let inside = Gaussian::fit(&colours, lesion.iter().copied());
        let outside = Gaussian::fit(&colours, lesion.iter().map(|p| 1.0 - p));
        let (Some(inside), Some(outside)) = (inside, outside) else {
            return ellipse_mask(bounds, size, size);
        };
        let evidence: Vec<f64> = colours
            .iter()
            .map(|c| (inside.log_density(c) - outside.log_density(c)).clamp(-MOST_EVIDENCE, MOST_EVIDENCE))
            .collect();
        let evidence = smooth(&evidence, size);
        for ((p, prior), evidence) in lesion.iter_mut().zip(&prior).zip(evidence) {
            let logit = (prior / (1.0 - prior)).ln() + EVIDENCE * evidence;
            *p = if *prior > 0.0 {
                1.0 / (1.0 + (-logit).exp())
            } else {
                0.0
            };
        }
    }
    lesion.into_iter().map(|p| f32::from(u8::from(p > 0.5))).collect()
}

/// Probability of lesion before any colour is seen: one half on the inscribed ellipse, zero outside the box.
fn prior(x: usize, y: usize, bounds: &PixelBox) -> f64 {
    if !bounds.contains(y, x) {
        return 0.0;
    }
    let offset =
        |at: usize, from: usize, to: usize| (at as f64 + 0.5 - (from + to) as f64 / 2.0) / ((to - from) as f64 / 2.0);
    let radius = offset(x, bounds.left, bounds.right).hypot(offset(y, bounds.top, bounds.bottom));
    1.0 / (1.0 + (STEEPNESS * (radius - 1.0)).exp())
}

/// A normal distribution of colours.
struct Gaussian {
    mean: [f64; 3],
    inverse: [[f64; 3]; 3],
    log_determinant: f64,
}

impl Gaussian {
    fn fit(colours: &[[f64; 3]], weights: impl Iterator<Item = f64> + Clone) -> Option<Self> {
        let total: f64 = weights.clone().sum();
        if total <= 0.0 {
            return None;
        }
        let mut mean = [0.0; 3];
        for (c, w) in colours.iter().zip(weights.clone()) {
            (0..3).for_each(|i| mean[i] += w * c[i] / total);
        }
        let mut s = [[0.0; 3]; 3];
        for (c, w) in colours.iter().zip(weights) {
            for i in 0..3 {
                (0..3).for_each(|j| s[i][j] += w * (c[i] - mean[i]) * (c[j] - mean[j]) / total);
            }
        }
        (0..3).for_each(|i| s[i][i] += LEAST_VARIANCE);
        // Cofactors: the matrix is symmetric and positive definite.
        let cofactor = |i: usize, j: usize| {
            let (a, b, c, d) = ((i + 1) % 3, (i + 2) % 3, (j + 1) % 3, (j + 2) % 3);
            s[a][c] * s[b][d] - s[a][d] * s[b][c]
        };
        let determinant: f64 = (0..3).map(|j| s[0][j] * cofactor(0, j)).sum();
        let mut inverse = [[0.0; 3]; 3];
        for (i, row) in inverse.iter_mut().enumerate() {
            (0..3).for_each(|j| row[j] = cofactor(j, i) / determinant);
        }
        Some(Self {
            mean,
            inverse,
            log_determinant: determinant.ln(),
        })
    }

    /// Up to a constant that all Gaussians share.
    fn log_density(&self, colour: &[f64; 3]) -> f64 {
        let d: [f64; 3] = std::array::from_fn(|i| colour[i] - self.mean[i]);
        let square: f64 = (0..3)
            .map(|i| d[i] * (0..3).map(|j| self.inverse[i][j] * d[j]).sum::<f64>())
            .sum();
        -0.5 * (square + self.log_determinant)
    }
}

/// CIELAB of a slightly blurred image.
fn smoothed_lab(image: &[f32], size: usize) -> Vec<[f64; 3]> {
    let channels: Vec<Vec<f64>> = image
        .chunks_exact(size * size)
        .map(|plane| smooth(&plane.iter().map(|v| f64::from(*v) * 255.0).collect::<Vec<_>>(), size))
        .collect();
    (0..size * size)
        .map(|at| lab_from_srgb(std::array::from_fn(|c| channels[c][at].round().clamp(0.0, 255.0) as u8)))
        .collect()
}

/// Gaussian blur with a standard deviation of one pixel, edges replicated.
fn smooth(plane: &[f64], size: usize) -> Vec<f64> {
    const KERNEL: [f64; 7] = [0.004433, 0.054006, 0.242036, 0.399050, 0.242036, 0.054006, 0.004433];
    let pass = |plane: &[f64], step: fn(usize, usize, usize) -> usize| -> Vec<f64> {
        (0..plane.len())
            .map(|at| {
                KERNEL
                    .iter()
                    .enumerate()
                    .map(|(k, w)| w * plane[step(at, k, size)])
                    .sum()
            })
            .collect()
    };
    let rows = pass(plane, |at, k, size| {
        at / size * size + (at % size + k).saturating_sub(3).min(size - 1)
    });
    pass(&rows, |at, k, size| {
        (at / size + k).saturating_sub(3).min(size - 1) * size + at % size
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 32;

    /// A dark shape on light skin, with mild texture.
    fn picture(inside: impl Fn(usize, usize) -> bool) -> Vec<f32> {
        let value = |x: usize, y: usize, channel: usize| {
            let base = if inside(x, y) {
                [0.40, 0.25, 0.20]
            } else {
                [0.85, 0.65, 0.55]
            }[channel];
            base + 0.03 * ((x * 7 + y * 13) % 5) as f32 / 5.0
        };
        (0..3)
            .flat_map(|c| (0..SIZE * SIZE).map(move |at| (at % SIZE, at / SIZE, c)))
            .map(|(x, y, c)| value(x, y, c))
            .collect()
    }

    fn iou(a: &[f32], b: &[f32]) -> f64 {
        let both = a.iter().zip(b).filter(|(a, b)| **a > 0.5 && **b > 0.5).count();
        let any = a.iter().zip(b).filter(|(a, b)| **a > 0.5 || **b > 0.5).count();
        both as f64 / any as f64
    }

    /// A shape that its inscribed ellipse misses is found by its colour.
    #[test]
    fn colour_corrects_the_ellipse() {
        let shape = |x: usize, y: usize| (6..26).contains(&x) && (6..26).contains(&y) && x + y < 38;
        let truth: Vec<f32> = (0..SIZE * SIZE)
            .map(|at| f32::from(u8::from(shape(at % SIZE, at / SIZE))))
            .collect();
        let bounds = PixelBox::tight(&truth, SIZE).unwrap();
        let ellipse = iou(&ellipse_mask(&bounds, SIZE, SIZE), &truth);
        let found = iou(&refined(&picture(shape), SIZE, &bounds), &truth);
        assert!(found > ellipse + 0.05, "refined {found:.3}, ellipse {ellipse:.3}");
    }

    #[test]
    fn nothing_lies_outside_the_box() {
        let bounds = PixelBox {
            top: 10,
            left: 8,
            bottom: 25,
            right: 20,
        };
        let mask = refined(&picture(|x, _| x > 4), SIZE, &bounds);
        let outside = box_mask(&bounds, SIZE, SIZE)
            .iter()
            .zip(&mask)
            .filter(|(b, m)| **b == 0.0 && **m > 0.0)
            .count();
        assert_eq!(outside, 0);
    }

    /// Without surroundings, and without contrast, the ellipse stays.
    #[test]
    fn no_evidence_leaves_the_ellipse() {
        let whole = PixelBox {
            top: 0,
            left: 0,
            bottom: SIZE,
            right: SIZE,
        };
        assert!(refined(&picture(|_, _| true), SIZE, &whole).iter().sum::<f32>() > 0.6 * (SIZE * SIZE) as f32);
        let bounds = PixelBox {
            top: 4,
            left: 4,
            bottom: 28,
            right: 28,
        };
        let flat = vec![0.5; 3 * SIZE * SIZE];
        assert!(iou(&refined(&flat, SIZE, &bounds), &ellipse_mask(&bounds, SIZE, SIZE)) > 0.9);
    }

    #[test]
    fn blur_keeps_a_constant() {
        assert!(
            smooth(&vec![3.0; SIZE * SIZE], SIZE)
                .iter()
                .all(|v| (v - 3.0).abs() < 1e-5)
        );
    }
}
