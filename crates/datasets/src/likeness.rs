//! Photographs that are one photograph: of the same bytes, the same pixels, or nearly so.

use image::imageops::{self, FilterType};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::RgbImage;

/// Side of the grey thumbnails that are compared.
const SIDE: u32 = 32;
/// Side of the smaller ones that say where a comparison is worth it.
const COARSE: u32 = 8;
/// Correlation of thumbnails from which two photographs are nearly the same.
const NEARLY: f32 = 0.98;
/// Correlation of the smaller ones from which the larger ones are compared; smoothing leaves more in common.
const PERHAPS: f32 = 0.95;

/// In what two photographs are the same.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Likeness {
    /// The same file.
    SameFile,
    /// The same pixels.
    SamePixels,
    /// Thumbnails of this correlation, above 0.98.
    Nearly(f64),
}

/// What photographs are compared by.
#[derive(Debug, Clone)]
pub(crate) struct Fingerprint {
    file: [u8; 32],
    pixels: [u8; 32],
    fine: Option<Vec<f32>>,
    coarse: Option<Vec<f32>>,
}

impl Fingerprint {
    /// Of the bytes of a file and what was decoded from them.
    pub(crate) fn of(bytes: &[u8], image: &RgbImage) -> Self {
        let mut pixels = Sha256::new();
        pixels.update(image.width().to_le_bytes());
        pixels.update(image.as_raw());
        let grey = imageops::grayscale(&imageops::thumbnail(image, 4 * SIDE, 4 * SIDE));
        let small = |side| {
            let small = imageops::resize(&grey, side, side, FilterType::Triangle);
            standardised(small.as_raw())
        };
        Self {
            file: Sha256::digest(bytes).into(),
            pixels: pixels.finalize().into(),
            fine: small(SIDE),
            coarse: small(COARSE),
        }
    }

    fn likeness(&self, other: &Self) -> Option<Likeness> {
        if self.file == other.file {
            return Some(Likeness::SameFile);
        }
        if self.pixels == other.pixels {
            return Some(Likeness::SamePixels);
        }
        let correlated = |a: &Option<Vec<f32>>, b: &Option<Vec<f32>>| Some(correlation(a.as_ref()?, b.as_ref()?));
        correlated(&self.coarse, &other.coarse).filter(|r| *r > PERHAPS)?;
        let fine = correlated(&self.fine, &other.fine).filter(|r| *r > NEARLY)?;
        Some(Likeness::Nearly(f64::from(fine)))
    }
}

/// Mean 0 and length 1; nothing of a picture of one grey.
fn standardised(values: &[u8]) -> Option<Vec<f32>> {
    let mean = values.iter().map(|value| f32::from(*value)).sum::<f32>() / values.len() as f32;
    let centred: Vec<f32> = values.iter().map(|value| f32::from(*value) - mean).collect();
    let length = centred.iter().map(|value| value * value).sum::<f32>().sqrt();
    (length > 1e-3).then(|| centred.into_iter().map(|value| value / length).collect())
}

fn correlation(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Pairs of places that `wanted` asks about and whose photographs are alike, in order of places.
pub(crate) fn alike(
    fingerprints: &[Option<Fingerprint>],
    wanted: impl Fn(usize, usize) -> bool + Sync,
) -> Vec<(usize, usize, Likeness)> {
    let with_later = |first: usize| {
        let mut found = Vec::new();
        let Some(Some(of_first)) = fingerprints.get(first) else {
            return found;
        };
        for (second, other) in fingerprints.iter().enumerate().skip(first + 1) {
            if let Some(other) = other.as_ref().filter(|_| wanted(first, second))
                && let Some(likeness) = of_first.likeness(other)
            {
                found.push((first, second, likeness));
            }
        }
        found
    };
    (0..fingerprints.len())
        .into_par_iter()
        .flat_map_iter(with_later)
        .collect()
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn lesion(at: f32, noise: u8) -> RgbImage {
        RgbImage::from_fn(96, 72, |x, y| {
            let away = ((x as f32 - at).powi(2) + (y as f32 - 36.0).powi(2)).sqrt();
            let value = 200 - (120.0 * (1.0 - away / 30.0).max(0.0)) as u8;
            let noise = if (x * 7 + y * 3) % 5 == 0 { noise } else { 0 };
            Rgb([value - noise, value - 20, value - 30])
        })
    }

    #[test]
    fn degrees_of_sameness_are_told_apart() {
        let print = |bytes: &[u8], image: &RgbImage| Some(Fingerprint::of(bytes, image));
        let smaller = imageops::resize(&lesion(48.0, 0), 80, 60, FilterType::Triangle);
        let flat = RgbImage::from_pixel(20, 20, Rgb([9, 9, 9]));
        let prints = [
            print(b"a", &lesion(48.0, 0)),
            print(b"a", &lesion(48.0, 0)),
            print(b"b", &lesion(48.0, 0)),
            print(b"c", &smaller),
            print(b"d", &lesion(20.0, 0)),
            print(b"e", &lesion(48.0, 9)),
            None,
            print(b"f", &flat),
        ];
        let found = alike(&prints, |first, _| first == 0);
        let kinds: Vec<(usize, &str)> = found
            .iter()
            .map(|(_, second, likeness)| match likeness {
                Likeness::SameFile => (*second, "file"),
                Likeness::SamePixels => (*second, "pixels"),
                Likeness::Nearly(_) => (*second, "nearly"),
            })
            .collect();
        assert_eq!(kinds, [(1, "file"), (2, "pixels"), (3, "nearly"), (5, "nearly")]);
    }
}
