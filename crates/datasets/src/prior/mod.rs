//! What colour alone says of a lesion: a pseudo-mask without any label and without any training.

mod field;
mod plane;
mod shape;

use htl_metrics::otsu_threshold;

use crate::DatasetError;
use field::Field;
use plane::{Plane, blur, lab, largest, smallest};

/// A pseudo-mask, and where it is to be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColourPrior {
    /// 1 = lesion, `[height * width]`.
    pub mask: Vec<u8>,
    /// 1 = sure, 0 = in the band in which the outline may run, `[height * width]`.
    pub certain: Vec<u8>,
    /// Where the mask comes from.
    pub source: PriorSource,
}

/// How a pseudo-mask was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PriorSource {
    /// From colours.
    Colour,
    /// A disc in the middle: the image has one colour only.
    OneColour,
    /// A disc in the middle: there is no rim to take the skin's colour from.
    NoRim,
    /// A disc in the middle: what stands out is as good as nothing or as good as everything.
    NoShape,
}

/// Standard deviation of the blur as a part of the shorter side.
const BLUR: f64 = 1.0 / 96.0;
/// Where colour differences begin to count less: half-way points of the damping, in half sides from the centre.
const DAMPING: f32 = 1.0;
/// Part of Otsu's threshold at which the difference is cut: outlines are drawn where a lesion begins to differ, not where it
/// differs half. Chosen, like the constants around it, on training images of the development split.
const CUT: f32 = 0.6;
/// Smallest and largest part of the image that a lesion may take.
const AREAS: (f64, f64) = (0.01, 0.9);
/// Largest colour difference of an image of one colour, in CIELAB units.
const ONE_COLOUR: f32 = 1.0;
/// Width of the uncertain band on either side of the outline, as a part of the shorter side.
const BAND: f64 = 1.0 / 32.0;
/// Radius of the disc that stands for an unknown lesion, in half sides.
const DISC: f32 = 0.5;

/// The pseudo-mask of an image: what differs in colour from the skin at the rim, or is darker, and lies connected near the
/// centre.
///
/// Thin dark lines (hairs, the marks of rulers) are closed first; dark corners of the dermatoscope's field take no part. The
/// difference is CIELAB's, damped towards the rim, plus the darkness; six tenths of Otsu's threshold cut it. Of the connected parts the
/// one that is largest near the centre is taken, without holes. Where that fails a disc stands in, and
/// [`source`](ColourPrior::source) says so.
///
/// # Shapes
/// - `rgb`: `[3 * height * width]`, planes red, green, blue, values in [0, 1]
///
/// # Errors
/// [`DatasetError::Parameter`] for a buffer of another size, [`DatasetError::Metric`] for values that are not finite.
pub fn colour_prior(height: usize, width: usize, rgb: &[f32]) -> Result<ColourPrior, DatasetError> {
    let pixels = height * width;
    if pixels == 0 || rgb.len() != 3 * pixels {
        return Err(DatasetError::Parameter {
            name: "pixels of an RGB image",
            expected: "three planes of its size",
            found: format!("{} values for {height} x {width}", rgb.len()),
        });
    }
    let size = (height, width);
    let side = height.min(width) as f64;
    let colours = lab(&shape::without_hair(size, rgb), pixels);
    let smooth = colours.map(|plane| blur(size, &plane, BLUR * side));
    let field = Field::of(size, &smooth[0]);
    let fallback = |source| Ok(disc(size, source));
    let Some(skin) = field.skin(&smooth) else {
        return fallback(PriorSource::NoRim);
    };
    let score = difference(size, &smooth, skin, &field);
    let inside: Vec<f32> = (0..pixels).filter(|&at| field.inside[at]).map(|at| score[at]).collect();
    let most = inside.iter().copied().fold(0.0, f32::max);
    if most < ONE_COLOUR {
        return fallback(PriorSource::OneColour);
    }
    let threshold = CUT * otsu_threshold(&inside)? as f32;
    let above: Vec<u8> = score.iter().map(|value| u8::from(*value > threshold)).collect();
    let Some(mask) = shape::central_part(size, &above) else {
        return fallback(PriorSource::NoShape);
    };
    let part = mask.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / pixels as f64;
    if part < AREAS.0 || part > AREAS.1 {
        return fallback(PriorSource::NoShape);
    }
    Ok(with_band(size, mask, PriorSource::Colour))
}

/// How far each pixel is from the skin's colour, damped towards the rim, plus how much darker it is; 0 outside the field.
fn difference(size: (usize, usize), colours: &[Plane; 3], skin: [f32; 3], field: &Field) -> Plane {
    let radius = shape::radii(size);
    let of = |at: usize| {
        if !field.inside[at] {
            return 0.0;
        }
        let square: f32 = (0..3).map(|c| (colours[c][at] - skin[c]).powi(2)).sum();
        let damping = (-(radius[at] / DAMPING).powi(4)).exp();
        square.sqrt() * damping + (skin[0] - colours[0][at]).max(0.0)
    };
    (0..size.0 * size.1).map(of).collect()
}

fn disc(size: (usize, usize), source: PriorSource) -> ColourPrior {
    let mask = shape::radii(size);
    let mask = mask.into_iter().map(|radius| u8::from(radius < DISC)).collect();
    with_band(size, mask, source)
}

/// The mask with a band of doubt along its outline.
fn with_band(size: (usize, usize), mask: Vec<u8>, source: PriorSource) -> ColourPrior {
    let reach = ((BAND * size.0.min(size.1) as f64).round() as usize).max(1);
    let numbers: Plane = mask.iter().map(|pixel| f32::from(*pixel)).collect();
    let (grown, shrunk) = (largest(size, &numbers, reach), smallest(size, &numbers, reach));
    ColourPrior {
        certain: grown
            .iter()
            .zip(&shrunk)
            .map(|(most, least)| u8::from(most == least))
            .collect(),
        mask,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A dark ellipse on skin, with whatever `paint` puts over it.
    fn image(side: usize, paint: impl Fn(usize, usize, [f32; 3]) -> [f32; 3]) -> (Vec<f32>, Vec<u8>) {
        let (mut rgb, mut truth) = (vec![0.0; 3 * side * side], Vec::new());
        for at in 0..side * side {
            let (y, x) = (at / side, at % side);
            let offset =
                |at: usize, centre: f64, radius: f64| (at as f64 + 0.5 - centre * side as f64) / (radius * side as f64);
            let lesion = offset(y, 0.5, 0.2).hypot(offset(x, 0.45, 0.3)) < 1.0;
            let colour = if lesion { [0.45, 0.3, 0.25] } else { [0.85, 0.7, 0.62] };
            let colour = paint(y, x, colour);
            (0..3).for_each(|c| rgb[c * side * side + at] = colour[c]);
            truth.push(u8::from(lesion));
        }
        (rgb, truth)
    }

    fn jaccard(a: &[u8], b: &[u8]) -> f64 {
        let count = |of: fn(&(&u8, &u8)) -> bool| a.iter().zip(b).filter(of).count() as f64;
        count(|(a, b)| **a == 1 && **b == 1) / count(|(a, b)| **a == 1 || **b == 1)
    }

    #[test]
    fn a_dark_ellipse_is_found_at_every_size() {
        for side in [64, 96, 192] {
            let (rgb, truth) = image(side, |_, _, colour| colour);
            let found = colour_prior(side, side, &rgb).unwrap();
            assert_eq!(found.source, PriorSource::Colour);
            assert!(
                jaccard(&found.mask, &truth) > 0.8,
                "{side}: {}",
                jaccard(&found.mask, &truth)
            );
            let sure = found
                .certain
                .iter()
                .zip(&found.mask)
                .zip(&truth)
                .filter(|((sure, _), _)| **sure == 1);
            assert!(sure.clone().count() > side * side / 2);
            let wrong = sure.filter(|((_, mask), truth)| mask != truth).count();
            assert!(wrong < side * side / 100, "{side}: {wrong} sure pixels are wrong");
        }
    }

    /// Hairs over everything and dark corners change little.
    #[test]
    fn hairs_and_corners_do_not_matter() {
        let side = 192;
        let spoilt = |y: usize, x: usize, colour: [f32; 3]| {
            let from_centre = (y as f64 - 95.5).hypot(x as f64 - 95.5);
            if from_centre > 115.0 {
                [0.02; 3]
            } else if (x + y / 3) % 37 < 2 {
                [0.15, 0.1, 0.08]
            } else {
                colour
            }
        };
        let (rgb, truth) = image(side, spoilt);
        let found = colour_prior(side, side, &rgb).unwrap();
        assert_eq!(found.source, PriorSource::Colour);
        assert!(jaccard(&found.mask, &truth) > 0.8, "{}", jaccard(&found.mask, &truth));
    }

    /// One colour, or nothing but darkness: a disc, and the reason.
    #[test]
    fn what_has_no_lesion_to_be_seen_gets_a_disc() {
        let flat = vec![0.6; 3 * 64 * 64];
        let found = colour_prior(64, 64, &flat).unwrap();
        assert_eq!(found.source, PriorSource::OneColour);
        let area = found.mask.iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / (64.0 * 64.0);
        assert!((area - 0.196).abs() < 0.02, "{area}");
        let black = colour_prior(64, 64, &[0.0; 3 * 64 * 64]).unwrap();
        assert_ne!(black.source, PriorSource::Colour);
        assert!(colour_prior(64, 64, &flat[1..]).is_err());
        assert!(colour_prior(0, 4, &[]).is_err());
    }
}
