use htl_metrics::squared_distances;
use image::{GrayImage, RgbImage};

use crate::{DatasetError, delta_e_76, ita_degrees, lab_from_srgb};

/// Nearest and farthest distance of the ring from the lesion, as parts of the image's smaller side.
const RING: (f64, f64) = (0.02, 0.12);
/// Pixels darker than this L* are not skin but the unlit corner of a dermatoscope's field.
const DARK: f64 = 20.;

/// Measurements of a lesion from its image and mask.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct LesionAttributes {
    /// Lesion pixels / all pixels, in [0, 1].
    pub area_fraction: f64,
    /// Colour contrast: CIE 1976 distance of the mean CIELAB colours of lesion and surrounding skin. `None` if either
    /// has no pixel.
    pub delta_e: Option<f64>,
    /// Individual typology angle of the surrounding skin in degrees, see [`ita_degrees`]. Without colour calibration it
    /// ranks images of one source roughly; it is not a skin type.
    pub ita_degrees: Option<f64>,
    /// Whether a lesion pixel lies on the frame's outermost row or column.
    pub touches_border: bool,
}

/// One number of [`LesionAttributes`].
#[derive(Debug, Clone, Copy)]
pub struct Measurement {
    /// Its name in files.
    pub key: &'static str,
    /// Its value; `None` where it is not defined.
    pub of: fn(&LesionAttributes) -> Option<f64>,
}

/// Every measurement, in the order of the columns of `attributes.csv`; yes and no are 1 and 0.
pub const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        key: "area_fraction",
        of: |lesion| Some(lesion.area_fraction),
    },
    Measurement {
        key: "delta_e",
        of: |lesion| lesion.delta_e,
    },
    Measurement {
        key: "ita_degrees",
        of: |lesion| lesion.ita_degrees,
    },
    Measurement {
        key: "touches_border",
        of: |lesion| Some(f64::from(u8::from(lesion.touches_border))),
    },
];

/// Measures a lesion. The surrounding skin is the ring of pixels whose distance to the lesion is over 2 % and at most
/// 12 % of the image's smaller side (the mask's own uncertainty is skipped), without those of L* under 20 (unlit
/// corners).
///
/// # Shapes
/// `mask` (0 and 255) has the size of `rgb`.
///
/// # Errors
/// [`DatasetError::Parameter`] if the sizes differ.
pub fn attributes(rgb: &RgbImage, mask: &GrayImage) -> Result<LesionAttributes, DatasetError> {
    if rgb.dimensions() != mask.dimensions() {
        return Err(DatasetError::Parameter {
            name: "size of the mask",
            expected: "that of its image",
            found: format!("{:?} for an image of {:?}", mask.dimensions(), rgb.dimensions()),
        });
    }
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let inside: Vec<bool> = mask.as_raw().iter().map(|value| *value > 128).collect();
    let count = inside.iter().filter(|inside| **inside).count();
    let distance = squared_distances(height, width, &inside);
    let side = width.min(height) as f64;
    let (near, far) = ((RING.0 * side).powi(2), (RING.1 * side).powi(2));

    let (mut lesion, mut skin) = (Mean::default(), Mean::default());
    for ((pixel, inside), distance) in rgb.pixels().zip(&inside).zip(&distance) {
        if *inside {
            lesion.add(lab_from_srgb(pixel.0));
        } else if *distance > near && *distance <= far {
            let lab = lab_from_srgb(pixel.0);
            if lab[0] >= DARK {
                skin.add(lab);
            }
        }
    }
    let (lesion, skin) = (lesion.value(), skin.value());
    let touches_border = inside.iter().enumerate().any(|(index, inside)| {
        let (x, y) = (index % width, index / width);
        *inside && (x == 0 || y == 0 || x + 1 == width || y + 1 == height)
    });
    Ok(LesionAttributes {
        area_fraction: if inside.is_empty() {
            0.
        } else {
            count as f64 / inside.len() as f64
        },
        delta_e: lesion.zip(skin).map(|(lesion, skin)| delta_e_76(lesion, skin)),
        ita_degrees: skin.map(ita_degrees),
        touches_border,
    })
}

#[derive(Default)]
struct Mean {
    sum: [f64; 3],
    count: usize,
}

impl Mean {
    fn add(&mut self, lab: [f64; 3]) {
        self.sum.iter_mut().zip(lab).for_each(|(sum, value)| *sum += value);
        self.count += 1;
    }

    fn value(&self) -> Option<[f64; 3]> {
        (self.count > 0).then(|| self.sum.map(|sum| sum / self.count as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgb};

    fn disc(size: u32, radius: f64, at: f64) -> GrayImage {
        GrayImage::from_fn(size, size, |x, y| {
            let far = (f64::from(x) - at).powi(2) + (f64::from(y) - at).powi(2) > radius * radius;
            Luma([if far { 0 } else { 255 }])
        })
    }

    #[test]
    fn a_dark_disc_on_skin() {
        let mask = disc(100, 20., 50.);
        let (lesion, skin) = ([90, 60, 50], [220, 180, 160]);
        let rgb = RgbImage::from_fn(100, 100, |x, y| {
            Rgb(if mask.get_pixel(x, y).0[0] > 0 { lesion } else { skin })
        });
        let found = attributes(&rgb, &mask).unwrap();
        assert!((found.area_fraction - 0.1257).abs() < 1e-3);
        let expected = delta_e_76(lab_from_srgb(lesion), lab_from_srgb(skin));
        assert!((found.delta_e.unwrap() - expected).abs() < 1e-9);
        assert!((found.ita_degrees.unwrap() - ita_degrees(lab_from_srgb(skin))).abs() < 1e-9);
        assert!(!found.touches_border);
    }

    #[test]
    fn unlit_corners_and_the_mask_edge_are_not_skin() {
        let mask = disc(100, 20., 50.);
        let skin = [220, 180, 160];
        let rgb = RgbImage::from_fn(100, 100, |x, y| {
            let far = ((f64::from(x) - 50.).powi(2) + (f64::from(y) - 50.).powi(2)).sqrt();
            Rgb(if far <= 21. {
                [90, 60, 50]
            } else if x > 60 {
                [5, 5, 5]
            } else {
                skin
            })
        });
        let found = attributes(&rgb, &mask).unwrap();
        assert!((found.ita_degrees.unwrap() - ita_degrees(lab_from_srgb(skin))).abs() < 1e-9);
    }

    #[test]
    fn whole_frame_and_empty_masks_have_no_contrast() {
        let rgb = RgbImage::from_pixel(10, 10, Rgb([200, 150, 130]));
        let full = attributes(&rgb, &GrayImage::from_pixel(10, 10, Luma([255]))).unwrap();
        assert_eq!(
            (full.area_fraction, full.delta_e, full.touches_border),
            (1., None, true)
        );
        let empty = attributes(&rgb, &GrayImage::new(10, 10)).unwrap();
        assert_eq!(
            (empty.area_fraction, empty.delta_e, empty.touches_border),
            (0., None, false)
        );
        assert!(attributes(&rgb, &GrayImage::new(9, 10)).is_err());
    }
}
