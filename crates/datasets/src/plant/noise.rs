use std::f64::consts::{PI, TAU};

use htl_metrics::squared_distances;
use image::{GrayImage, Luma};
use rand::{Rng, seq::SliceRandom};

/// A mistake in a mask, as hands and tools make it. Its size is in units of the radius of a disc of the lesion's area, so
/// that small lesions are not hit harder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MaskNoise {
    /// The outline moved inwards by a quarter of the radius: IoU with the truth 0.56 for a disc.
    Eroded,
    /// The outline moved outwards by a quarter of the radius: 0.64.
    Dilated,
    /// The mask moved by half the radius in a random direction: 0.52.
    Shifted,
    /// The masks of images exchanged among them.
    Swapped,
}

/// How far outlines move.
const OUTLINE: f64 = 0.25;
/// How far a mask moves.
const SHIFT: f64 = 0.5;

impl MaskNoise {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Eroded, Self::Dilated, Self::Shifted, Self::Swapped];

    /// Its name in commands and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eroded => "eroded",
            Self::Dilated => "dilated",
            Self::Shifted => "shifted",
            Self::Swapped => "swapped",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|noise| noise.name() == name)
    }

    /// The wrong masks of some images, in the order of the true ones (0 and 255). A mask that has a lesion keeps at least one pixel of
    /// it, and a single mask cannot be swapped.
    pub fn apply(self, truths: &[GrayImage], rng: &mut impl Rng) -> Vec<GrayImage> {
        match self {
            Self::Eroded => truths.iter().map(eroded).collect(),
            Self::Dilated => truths.iter().map(dilated).collect(),
            Self::Shifted => truths.iter().map(|mask| shifted(mask, rng)).collect(),
            Self::Swapped => swapped(truths, rng),
        }
    }
}

fn inside(mask: &GrayImage) -> Vec<bool> {
    mask.as_raw().iter().map(|value| *value > 128).collect()
}

/// Radius of the disc of the lesion's area, in pixels.
fn radius(mask: &GrayImage) -> f64 {
    let area = inside(mask).iter().filter(|inside| **inside).count();
    (area as f64 / PI).sqrt()
}

fn from_pixels(like: &GrayImage, pixels: impl Iterator<Item = bool>) -> GrayImage {
    let bytes: Vec<u8> = pixels.map(|inside| if inside { 255 } else { 0 }).collect();
    GrayImage::from_raw(like.width(), like.height(), bytes).unwrap_or_else(|| like.clone())
}

/// What is farther than the depth from the skin; where nothing is, the pixels that are farthest.
fn eroded(mask: &GrayImage) -> GrayImage {
    let (height, width) = (mask.height() as usize, mask.width() as usize);
    let skin: Vec<bool> = inside(mask).into_iter().map(|inside| !inside).collect();
    let depths = squared_distances(height, width, &skin);
    let deepest = depths.iter().copied().fold(0.0, f64::max);
    if deepest == 0.0 || deepest.is_infinite() {
        return mask.clone();
    }
    let depth = (OUTLINE * radius(mask)).powi(2);
    match depth < deepest {
        true => from_pixels(mask, depths.into_iter().map(|d| d > depth)),
        false => from_pixels(mask, depths.into_iter().map(|d| d == deepest)),
    }
}

fn dilated(mask: &GrayImage) -> GrayImage {
    let (height, width) = (mask.height() as usize, mask.width() as usize);
    let distances = squared_distances(height, width, &inside(mask));
    // At least to the neighbours, so that no lesion is too small to be drawn wrong.
    let reach = (OUTLINE * radius(mask)).max(1.0).powi(2);
    from_pixels(mask, distances.into_iter().map(|d| d <= reach))
}

/// The mask elsewhere; what leaves the picture is lost. If all of it would, it moves the other way.
fn shifted(mask: &GrayImage, rng: &mut impl Rng) -> GrayImage {
    let angle = rng.random::<f64>() * TAU;
    let distance = (SHIFT * radius(mask)).max(1.0);
    let by = |sign: f64| {
        let (dx, dy) = (sign * distance * angle.cos(), sign * distance * angle.sin());
        let (dx, dy) = (dx.round() as i64, dy.round() as i64);
        GrayImage::from_fn(mask.width(), mask.height(), |x, y| {
            let from = (i64::from(x) - dx, i64::from(y) - dy);
            let from = (u32::try_from(from.0).ok(), u32::try_from(from.1).ok());
            match from {
                (Some(x), Some(y)) if x < mask.width() && y < mask.height() => *mask.get_pixel(x, y),
                _ => Luma([0]),
            }
        })
    };
    let there = by(1.0);
    if there.as_raw().iter().any(|value| *value > 0) {
        there
    } else {
        by(-1.0)
    }
}

/// Each image gets the mask of the next in a random round, so that none keeps its own.
fn swapped(truths: &[GrayImage], rng: &mut impl Rng) -> Vec<GrayImage> {
    let mut round: Vec<usize> = (0..truths.len()).collect();
    round.shuffle(rng);
    let mut masks = truths.to_vec();
    for (at, &image) in round.iter().enumerate() {
        let next = round[(at + 1) % round.len()];
        let (own, other) = (&truths[image], &truths[next]);
        masks[image] = match own.dimensions() == other.dimensions() {
            true => other.clone(),
            false => image::imageops::resize(other, own.width(), own.height(), image::imageops::FilterType::Nearest),
        };
    }
    masks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generator;

    fn disc(size: u32, (cx, cy): (f64, f64), radius: f64) -> GrayImage {
        GrayImage::from_fn(size, size, |x, y| {
            let far = (f64::from(x) + 0.5 - cx).hypot(f64::from(y) + 0.5 - cy);
            Luma([if far <= radius { 255 } else { 0 }])
        })
    }

    fn iou(a: &GrayImage, b: &GrayImage) -> f64 {
        let pairs = || a.as_raw().iter().zip(b.as_raw());
        let both = pairs().filter(|(a, b)| **a > 0 && **b > 0).count();
        both as f64 / pairs().filter(|(a, b)| **a > 0 || **b > 0).count() as f64
    }

    /// The documented IoU, whatever the size of the lesion.
    #[test]
    fn mistakes_have_their_size() {
        let mut rng = generator(0, "noise", 0);
        for radius in [16.0, 40.0] {
            let truth = disc(200, (100.0, 100.0), radius);
            for (noise, expected) in [
                (MaskNoise::Eroded, 0.75f64.powi(2)),
                (MaskNoise::Dilated, 1.25f64.powi(-2)),
                // Two discs whose centres are half a radius apart: lens area over union.
                (MaskNoise::Shifted, 0.5205),
            ] {
                let [wrong] = noise.apply(std::slice::from_ref(&truth), &mut rng).try_into().unwrap();
                let found = iou(&truth, &wrong);
                assert!((found - expected).abs() < 0.05, "{} of {radius}: {found}", noise.name());
            }
        }
    }

    /// Nobody keeps their mask, and nobody's is lost.
    #[test]
    fn swapped_masks_are_somebody_elses() {
        let truths: Vec<GrayImage> = (0..7)
            .map(|i| disc(32, (8.0 + 2.0 * f64::from(i), 16.0), 5.0))
            .collect();
        let wrong = MaskNoise::Swapped.apply(&truths, &mut generator(3, "noise", 0));
        let place = |mask: &GrayImage| truths.iter().position(|truth| truth == mask).unwrap();
        let mut places: Vec<usize> = wrong.iter().map(place).collect();
        assert!(
            places.iter().enumerate().all(|(own, other)| own != *other),
            "{places:?}"
        );
        places.sort_unstable();
        assert_eq!(places, (0..7).collect::<Vec<_>>());
    }

    /// Lines, single pixels, full and empty frames: no panic, and no lesion vanishes.
    #[test]
    fn odd_masks_survive() {
        let mut line = GrayImage::new(20, 20);
        (0..20).for_each(|x| line.put_pixel(x, 10, Luma([255])));
        let mut dot = GrayImage::new(20, 20);
        dot.put_pixel(0, 0, Luma([255]));
        let full = GrayImage::from_pixel(20, 20, Luma([255]));
        let empty = GrayImage::new(20, 20);
        let truths = [line, dot, full, empty];
        for noise in MaskNoise::ALL {
            let wrong = noise.apply(&truths, &mut generator(1, "noise", 0));
            let has_lesion = |mask: &GrayImage| mask.as_raw().contains(&255);
            if noise != MaskNoise::Swapped {
                assert_eq!(
                    wrong.iter().map(has_lesion).collect::<Vec<_>>(),
                    [true, true, true, false]
                );
            }
            assert_eq!(MaskNoise::named(noise.name()), Some(noise));
        }
    }
}
