//! Measures of two masks or maps of one image.

use htl_metrics::{Confusion, Mask};

use crate::error::Result;

/// Jaccard index of two masks; two empty masks agree perfectly: 1.
pub(crate) fn iou(a: &Mask, b: &Mask) -> Result<f64> {
    Ok(Confusion::of(a, b)?.jaccard())
}

/// Sum of minima over sum of maxima of two maps in [0, 1]; 1 if both are zero everywhere.
pub(crate) fn soft_iou(a: &[f32], b: &[f32]) -> f64 {
    let (mut low, mut high) = (0.0f64, 0.0f64);
    for (&a, &b) in a.iter().zip(b) {
        low += f64::from(a.min(b));
        high += f64::from(a.max(b));
    }
    if high == 0.0 { 1.0 } else { low / high }
}

/// Length of a mask's outline in pixels: pi / 4 times the number of pixel edges between inside and outside, which is
/// right on average over directions (Cauchy-Crofton with two directions). The image border is no outline.
pub(crate) fn outline(mask: &Mask) -> f64 {
    let (pixels, width) = (mask.pixels(), mask.width());
    let across = pixels
        .chunks_exact(width)
        .flat_map(|row| row.windows(2))
        .filter(|pair| pair[0] != pair[1])
        .count();
    let down = pixels
        .iter()
        .zip(pixels.iter().skip(width))
        .filter(|(a, b)| a != b)
        .count();
    (across + down) as f64 * std::f64::consts::FRAC_PI_4
}

/// Differing area / mean outline length, in pixels: for two concentric discs exactly the difference of their radii.
/// At most half the shorter image side, which is also the value of an empty mask against the whole image.
pub(crate) fn outline_distance(a: &Mask, b: &Mask) -> f64 {
    let differing = a.pixels().iter().zip(b.pixels()).filter(|(a, b)| a != b).count();
    if differing == 0 {
        return 0.0;
    }
    let length = (outline(a) + outline(b)) / 2.0;
    (differing as f64 / length).min(largest_distance(a.height(), a.width()))
}

/// The largest outline distance that is told apart, in pixels.
pub(crate) fn largest_distance(height: usize, width: usize) -> f64 {
    height.min(width) as f64 / 2.0
}

/// Mean binary entropy in bits per pixel, in [0, 1].
pub(crate) fn entropy(map: &[f32]) -> f64 {
    let term = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
    let sum: f64 = map.iter().map(|&p| term(f64::from(p)) + term(1.0 - f64::from(p))).sum();
    sum / map.len() as f64
}
