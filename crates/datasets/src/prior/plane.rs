//! Planes of numbers: colours, blurring, sliding extremes.

use std::sync::LazyLock;

/// One number per pixel, row by row.
pub(super) type Plane = Vec<f32>;

/// Steps of the table of the sRGB curve.
const STEPS: usize = 1024;

/// Linear light of sRGB values.
static LINEAR: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let linear = |step: usize| {
        let value = step as f64 / STEPS as f64;
        if value > 0.04045 {
            ((value + 0.055) / 1.055).powf(2.4) as f32
        } else {
            (value / 12.92) as f32
        }
    };
    (0..=STEPS).map(linear).collect()
});

/// CIELAB planes of an image in [0, 1], as [`crate::lab_from_srgb`] has them to a tenth of a unit.
pub(super) fn lab(rgb: &[f32], pixels: usize) -> [Plane; 3] {
    let mut planes: [Plane; 3] = std::array::from_fn(|_| Vec::with_capacity(pixels));
    let linear = |value: f32| LINEAR[(value.clamp(0.0, 1.0) * STEPS as f32).round() as usize];
    let curve = |value: f32| {
        if value > 0.008856 {
            cube_root(value)
        } else {
            7.787 * value + 16.0 / 116.0
        }
    };
    let (red, rest) = rgb.split_at(pixels);
    let (green, blue) = rest.split_at(pixels);
    for ((r, g), b) in red.iter().zip(green).zip(blue) {
        let [r, g, b] = [*r, *g, *b].map(linear);
        let x = curve((0.412_453 * r + 0.357_58 * g + 0.180_423 * b) / 0.950_47);
        let y = curve(0.212_671 * r + 0.715_16 * g + 0.072_169 * b);
        let z = curve((0.019_334 * r + 0.119_193 * g + 0.950_227 * b) / 1.088_83);
        planes[0].push(116.0 * y - 16.0);
        planes[1].push(500.0 * (x - y));
        planes[2].push(200.0 * (y - z));
    }
    planes
}

/// Three box blurs with about the standard deviation of a Gaussian, edges replicated.
pub(super) fn blur(size: (usize, usize), plane: &[f32], deviation: f64) -> Plane {
    // Variance of three boxes of width 2 r + 1: r (r + 1).
    let radius = ((0.25 + deviation * deviation).sqrt() - 0.5).round().max(1.0) as usize;
    let part = 1.0 / (2 * radius + 1) as f32;
    let mut values = plane.to_vec();
    for _ in 0..3 {
        values = windows(size, &values, radius, |sum, value| sum + value);
        values.iter_mut().for_each(|value| *value *= part * part);
    }
    values
}

/// The largest value within a square of this radius.
pub(super) fn largest(size: (usize, usize), plane: &[f32], radius: usize) -> Plane {
    windows(size, plane, radius, f32::max)
}

/// The smallest value within a square of this radius.
pub(super) fn smallest(size: (usize, usize), plane: &[f32], radius: usize) -> Plane {
    windows(size, plane, radius, f32::min)
}

/// Every pixel's square of neighbours put together by `join`, along rows and then along columns, edges replicated. Whole rows
/// are joined with rows that are moved, so that the loops are over neighbours in memory.
fn windows((height, width): (usize, usize), plane: &[f32], radius: usize, join: impl Fn(f32, f32) -> f32) -> Plane {
    let mut rows = Vec::with_capacity(plane.len());
    let mut padded = vec![0.0; width + 2 * radius];
    for line in plane.chunks_exact(width) {
        padded[..radius].fill(line[0]);
        padded[radius..radius + width].copy_from_slice(line);
        padded[radius + width..].fill(line[width - 1]);
        let start = rows.len();
        rows.extend_from_slice(&padded[..width]);
        for moved in 1..=2 * radius {
            joined(&mut rows[start..], &padded[moved..moved + width], &join);
        }
    }
    let line = |y: usize| &rows[y * width..(y + 1) * width];
    let mut result = Vec::with_capacity(plane.len());
    for y in 0..height {
        let start = result.len();
        result.extend_from_slice(line(y.saturating_sub(radius)));
        for moved in 1..=2 * radius {
            let from = (y + moved).saturating_sub(radius).min(height - 1);
            joined(&mut result[start..], line(from), &join);
        }
    }
    result
}

fn joined(into: &mut [f32], with: &[f32], join: &impl Fn(f32, f32) -> f32) {
    for (value, other) in into.iter_mut().zip(with) {
        *value = join(*value, *other);
    }
}

/// The cube root to seven digits: two steps of Newton's method from a guess at the exponent. `value` is positive.
fn cube_root(value: f32) -> f32 {
    let mut root = f32::from_bits(value.to_bits() / 3 + 709_921_077);
    for _ in 0..2 {
        root = (2.0 * root + value / (root * root)) / 3.0;
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_those_of_the_exact_formula() {
        for colour in [[0u8, 0, 0], [255, 255, 255], [90, 60, 50], [220, 180, 160], [3, 200, 7]] {
            let rgb: Vec<f32> = colour.iter().map(|value| f32::from(*value) / 255.0).collect();
            let exact = crate::lab_from_srgb(colour);
            for (plane, exact) in lab(&rgb, 1).iter().zip(exact) {
                assert!(
                    (f64::from(plane[0]) - exact).abs() < 0.3,
                    "{colour:?}: {} {exact}",
                    plane[0]
                );
            }
        }
    }

    #[test]
    fn roots_are_roots() {
        for value in [0.0089f32, 0.1, 0.5, 0.99, 1.2] {
            assert!((cube_root(value) / value.cbrt() - 1.0).abs() < 1e-4, "{value}");
        }
    }

    #[test]
    fn filters_keep_what_is_flat_and_spread_what_is_not() {
        let flat = vec![0.5; 35];
        assert!(blur((5, 7), &flat, 1.0).iter().all(|value| (value - 0.5).abs() < 1e-6));
        let mut dot = vec![0.0; 35];
        dot[2 * 7 + 3] = 1.0;
        let sum: f32 = blur((5, 7), &dot, 1.0).iter().sum();
        assert!(sum > 0.9 && sum < 1.01, "{sum}");
        assert_eq!(largest((5, 7), &dot, 1).iter().sum::<f32>(), 9.0);
        assert_eq!(smallest((5, 7), &largest((5, 7), &dot, 1), 1), dot);
    }
}
