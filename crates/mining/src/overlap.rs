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

/// Mean binary entropy of a map of probabilities in bits per pixel, in [0, 1]; NaN of a map without pixels.
pub fn entropy(map: &[f32]) -> f64 {
    let term = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
    let sum: f64 = map.iter().map(|&p| term(f64::from(p)) + term(1.0 - f64::from(p))).sum();
    sum / map.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disc(size: usize, radius: f64) -> Mask {
        let centre = size as f64 / 2.0;
        let inside = |i: usize| {
            let (y, x) = ((i / size) as f64 + 0.5 - centre, (i % size) as f64 + 0.5 - centre);
            u8::from(y.hypot(x) <= radius)
        };
        Mask::new(size, size, (0..size * size).map(inside).collect()).unwrap()
    }

    /// What the boundary-normalised measure is for: the same gap between outlines, whatever the lesion's size.
    #[test]
    fn concentric_discs_differ_by_their_gap() {
        for (radius, gap) in [(10.0, 4.0), (30.0, 4.0), (50.0, 4.0), (40.0, 10.0)] {
            let (a, b) = (disc(128, radius), disc(128, radius + gap));
            let found = outline_distance(&a, &b);
            assert!(
                (found - gap).abs() < 0.1 * gap,
                "radius {radius}, gap {gap}: found {found}"
            );
        }
        let overlap = |radius| 1.0 - iou(&disc(128, radius), &disc(128, radius + 4.0)).unwrap();
        assert!(
            overlap(10.0) > 2.0 * overlap(30.0),
            "plain disagreement does depend on size"
        );
    }

    #[test]
    fn outline_of_a_disc_is_its_circumference() {
        let found = outline(&disc(256, 100.0));
        let expected = 2.0 * std::f64::consts::PI * 100.0;
        assert!(
            (found - expected).abs() < 0.02 * expected,
            "found {found}, expected {expected}"
        );
    }

    #[test]
    fn empty_against_everything_is_the_largest_distance() {
        let (nothing, everything) = (Mask::filled(8, 12, 0).unwrap(), Mask::filled(8, 12, 1).unwrap());
        assert_eq!(outline_distance(&nothing, &everything), 4.0);
        assert_eq!(outline_distance(&everything, &everything), 0.0);
    }

    #[test]
    fn entropy_of_certain_and_undecided_maps() {
        assert_eq!(entropy(&[0.0, 1.0]), 0.0);
        assert_eq!(entropy(&[0.5, 0.5]), 1.0);
    }

    #[test]
    fn soft_overlap_of_masks_is_their_overlap() {
        assert_eq!(soft_iou(&[1.0, 1.0, 0.0], &[0.0, 1.0, 0.0]), 0.5);
        assert_eq!(soft_iou(&[0.0], &[0.0]), 1.0);
    }
}
