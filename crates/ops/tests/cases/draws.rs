//! Random draws of htl-datasets, as rows of `augment` and as the CPU carries them out.

use htl_datasets::{Geometry, Photometry};

use super::{Colours, Place};

pub const MEAN: [f32; 3] = [0.7, 0.55, 0.5];
pub const STD: [f32; 3] = [0.2, 0.25, 0.3];

pub fn place(image: usize, geometry: &Geometry) -> Place {
    let (matrix, shift) = geometry.source();
    Place { image, matrix, shift }
}

pub fn colours(photometry: &Photometry, side: usize) -> Colours {
    Colours {
        gains: photometry.gains,
        saturation: photometry.saturation,
        contrast: photometry.contrast,
        brightness: photometry.brightness,
        blur_passes: photometry.blur_passes,
        cutout: photometry.cutout_pixels(side),
        noise: photometry.noise,
        noise_key: photometry.noise_key(),
    }
}

/// What the CPU makes of a draw.
pub fn on_the_cpu(image: &[u8], geometry: &Geometry, photometry: &Photometry, side: usize) -> Vec<f32> {
    let image: Vec<f32> = image.iter().map(|value| f32::from(*value) / 255.).collect();
    let mut image = geometry.apply(&image, side);
    photometry.apply(&mut image, side);
    let channel = |at: usize| at / (side * side);
    let normal = |(at, value): (usize, f32)| (value - MEAN[channel(at)]) * (1. / STD[channel(at)]);
    image.into_iter().enumerate().map(normal).collect()
}
