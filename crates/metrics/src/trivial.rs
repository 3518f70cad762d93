use crate::error::{MetricError, check_size};
use crate::mask::Mask;

/// Calls every pixel lesion: the predictor that learns nothing and looks at nothing.
///
/// # Errors
/// [`MetricError::NoPixels`] if a side is zero.
pub fn whole_image(height: usize, width: usize) -> Result<Mask, MetricError> {
    Mask::filled(height, width, 1)
}

/// A disc in the middle of the image, the same for every image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CentredDisc {
    radius: f64,
}

/// Radii tried by [`CentredDisc::fit`]: 0.01, 0.02, ..., 0.75 of the shorter side; from 0.71 a square image is full.
const RADII: usize = 75;
const RADIUS_STEP: f64 = 0.01;

impl CentredDisc {
    /// A disc whose radius is this share of the image's shorter side.
    ///
    /// # Errors
    /// [`MetricError::Range`] unless the radius is finite and not negative.
    pub fn new(radius: f64) -> Result<Self, MetricError> {
        if radius.is_finite() && radius >= 0.0 {
            Ok(Self { radius })
        } else {
            Err(MetricError::Range {
                what: "radius of the disc",
                found: radius,
                expected: "a number >= 0",
            })
        }
    }

    /// The disc with the largest mean Jaccard index on the given (training) masks, over a grid of radii of 0.01 to 0.75
    /// of the shorter side; of equally good radii the smallest.
    ///
    /// # Errors
    /// [`MetricError::Empty`] without masks.
    pub fn fit(masks: &[Mask]) -> Result<Self, MetricError> {
        if masks.is_empty() {
            return Err(MetricError::Empty {
                what: "the list of training masks",
            });
        }
        let mut sums = [0.0; RADII];
        let mut rings: Option<((usize, usize), Vec<usize>)> = None;
        for mask in masks {
            let size = (mask.height(), mask.width());
            if rings.as_ref().is_none_or(|(known, _)| *known != size) {
                rings = Some((size, ring_of_pixels(size.0, size.1)));
            }
            let Some((_, ring)) = &rings else { continue };
            let (mut inside, mut hit) = ([0usize; RADII + 1], [0usize; RADII + 1]);
            for (&ring, &pixel) in ring.iter().zip(mask.pixels()) {
                inside[ring] += 1;
                hit[ring] += usize::from(pixel);
            }
            let area = mask.area();
            let (mut disc, mut shared) = (0, 0);
            for (at, sum) in sums.iter_mut().enumerate() {
                disc += inside[at];
                shared += hit[at];
                let union = disc + area - shared;
                *sum += if union == 0 { 1.0 } else { shared as f64 / union as f64 };
            }
        }
        let mut best = 0;
        for (at, sum) in sums.iter().enumerate() {
            if *sum > sums[best] {
                best = at;
            }
        }
        Self::new(radius_at(best))
    }

    /// The radius as a share of the image's shorter side.
    pub fn radius(&self) -> f64 {
        self.radius
    }

    /// The disc in an image of this size: pixels whose centre is at most the radius away from the image's centre.
    ///
    /// # Errors
    /// [`MetricError::NoPixels`] if a side is zero.
    pub fn predict(&self, height: usize, width: usize) -> Result<Mask, MetricError> {
        check_size("a mask", height, width, height.saturating_mul(width))?;
        Ok(Mask::from_rule(height, width, |y, x| {
            relative_radius(height, width, y, x) <= self.radius
        }))
    }
}

fn radius_at(index: usize) -> f64 {
    (index + 1) as f64 * RADIUS_STEP
}

/// Distance of a pixel's centre from the image's centre as a share of the shorter side.
fn relative_radius(height: usize, width: usize, y: usize, x: usize) -> f64 {
    let (dy, dx) = (
        y as f64 + 0.5 - height as f64 / 2.0,
        x as f64 + 0.5 - width as f64 / 2.0,
    );
    dy.hypot(dx) / height.min(width) as f64
}

/// For every pixel the index of the smallest radius of the grid that reaches it, or `RADII` for none.
fn ring_of_pixels(height: usize, width: usize) -> Vec<usize> {
    let ring = |radius: f64| (0..RADII).find(|&at| radius <= radius_at(at)).unwrap_or(RADII);
    (0..height * width)
        .map(|i| ring(relative_radius(height, width, i / width, i % width)))
        .collect()
}

/// Number of histogram bins of Otsu's threshold, scikit-image's default.
const OTSU_BINS: usize = 256;

/// Calls dark pixels lesion: luminance at or below the image's own Otsu threshold.
///
/// Luminance is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601, as Pillow's mode `L`), unrounded. An image of a single grey
/// is called lesion everywhere, since nothing in it is lighter than its threshold.
///
/// # Shapes
/// - `rgb`: `[3 * height * width]`, planes red, green, blue, values in [0, 1]
///
/// # Errors
/// [`MetricError::Size`] or [`MetricError::NoPixels`] for a buffer of another size, [`MetricError::NotFinite`].
pub fn otsu_darkness(height: usize, width: usize, rgb: &[f32]) -> Result<Mask, MetricError> {
    let grey = luminance(height, width, rgb)?;
    let threshold = otsu_threshold(&grey)?;
    Ok(Mask::from_rule(height, width, |y, x| {
        f64::from(grey[y * width + x]) <= threshold
    }))
}

fn luminance(height: usize, width: usize, rgb: &[f32]) -> Result<Vec<f32>, MetricError> {
    check_size(
        "an RGB image of three planes",
        height.saturating_mul(3),
        width,
        rgb.len(),
    )?;
    let plane = height * width;
    let (red, rest) = rgb.split_at(plane);
    let (green, blue) = rest.split_at(plane);
    Ok((0..plane)
        .map(|i| 0.299 * red[i] + 0.587 * green[i] + 0.114 * blue[i])
        .collect())
}

/// Otsu's threshold: the value that separates the grey levels into the two classes furthest apart.
///
/// Of 256 equal bins between the smallest and the largest value, the centre of the last bin of the darker class; of
/// equally good ones the first. The single value of a constant image. Matches `skimage.filters.threshold_otsu`.
///
/// # Errors
/// [`MetricError::Empty`] without values, [`MetricError::NotFinite`].
pub fn otsu_threshold(values: &[f32]) -> Result<f64, MetricError> {
    if values.is_empty() {
        return Err(MetricError::Empty {
            what: "the image to threshold",
        });
    }
    if let Some(index) = values.iter().position(|v| !v.is_finite()) {
        let found = f64::from(values[index]);
        return Err(MetricError::NotFinite {
            what: "the image to threshold".into(),
            index,
            found,
        });
    }
    let low = f64::from(values.iter().copied().fold(f32::INFINITY, f32::min));
    let high = f64::from(values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    if low == high {
        return Ok(low);
    }
    let width = (high - low) / OTSU_BINS as f64;
    let edge = |i: usize| if i == OTSU_BINS { high } else { low + i as f64 * width };
    let centre = |i: usize| (edge(i) + edge(i + 1)) / 2.0;
    let mut counts = [0.0f64; OTSU_BINS];
    for &value in values {
        let value = f64::from(value);
        let mut bin = (((value - low) / width) as usize).min(OTSU_BINS - 1);
        // The quotient rounds; the edges decide, as in NumPy's histogram.
        if bin > 0 && value < edge(bin) {
            bin -= 1;
        } else if bin + 1 < OTSU_BINS && value >= edge(bin + 1) {
            bin += 1;
        }
        counts[bin] += 1.0;
    }
    let total: f64 = counts.iter().sum();
    let moment: f64 = counts.iter().enumerate().map(|(i, c)| c * centre(i)).sum();
    let (mut dark, mut dark_moment) = (0.0, 0.0);
    let (mut best, mut best_spread) = (0, f64::NEG_INFINITY);
    for (bin, count) in counts.iter().enumerate().take(OTSU_BINS - 1) {
        dark += count;
        dark_moment += count * centre(bin);
        let light = total - dark;
        let gap = dark_moment / dark - (moment - dark_moment) / light;
        let spread = dark * light * gap * gap;
        if spread > best_spread {
            (best, best_spread) = (bin, spread);
        }
    }
    Ok(centre(best))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Confusion;

    #[test]
    fn fitting_finds_the_disc_that_made_the_masks() {
        for radius in [0.11, 0.3, 0.46] {
            let masks: Vec<Mask> = [(64, 64), (48, 80)]
                .map(|(h, w)| CentredDisc::new(radius).unwrap().predict(h, w).unwrap())
                .into();
            let fitted = CentredDisc::fit(&masks).unwrap();
            assert!(
                (fitted.radius() - radius).abs() < 0.011,
                "{} for {radius}",
                fitted.radius()
            );
        }
    }

    /// The one-pass fit gives the same as trying every radius with the public functions.
    #[test]
    fn fitting_equals_brute_force() {
        let masks: Vec<Mask> = (0..5)
            .map(|k| Mask::from_rule(24, 30, |y, x| (y * (k + 2) + x * 3) % 17 < 5 + k && y > 4 && x > 6))
            .collect();
        let mean = |radius: f64| {
            let disc = CentredDisc::new(radius).unwrap().predict(24, 30).unwrap();
            masks
                .iter()
                .map(|m| Confusion::of(&disc, m).unwrap().jaccard())
                .sum::<f64>()
        };
        let fitted = CentredDisc::fit(&masks).unwrap();
        for at in 0..RADII {
            assert!(
                mean(fitted.radius()) >= mean(radius_at(at)) - 1e-12,
                "radius {}",
                radius_at(at)
            );
        }
    }

    #[test]
    fn dark_is_lesion() {
        let plane = [0.1f32, 0.15, 0.8, 0.9];
        let rgb: Vec<f32> = plane.iter().chain(&plane).chain(&plane).copied().collect();
        assert_eq!(otsu_darkness(2, 2, &rgb).unwrap().pixels(), [1, 1, 0, 0]);
        assert_eq!(otsu_darkness(2, 2, &[0.4; 12]).unwrap().area(), 4);
        assert!(otsu_darkness(2, 2, &[0.4; 11]).is_err());
        assert!(otsu_threshold(&[0.1, f32::NAN]).is_err());
    }
}
