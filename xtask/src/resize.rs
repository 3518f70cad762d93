//! Smaller images and masks.

use anyhow::Result;
use image::{GrayImage, RgbImage, codecs::jpeg::JpegEncoder, imageops::FilterType};

/// As in the embedded set: near that of the collected copies (92), and 1,788 images of 256 pixels take 27 MB.
const JPEG_QUALITY: u8 = 90;

/// Lanczos to the new size, as a JPEG.
pub fn image_to(image: &RgbImage, width: u32, height: u32) -> Result<Vec<u8>> {
    let small = image::imageops::resize(image, width, height, FilterType::Lanczos3);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).encode_image(&small)?;
    Ok(jpeg)
}

/// Area average to the new size, white where at least half of the pixel is.
pub fn mask_to(mask: &GrayImage, width: u32, height: u32) -> GrayImage {
    let share = |from: u32, to: u32, at: u32| {
        let ratio = f64::from(from) / f64::from(to);
        let (low, high) = (f64::from(at) * ratio, f64::from(at + 1) * ratio);
        (low as u32..(high.ceil() as u32).min(from))
            .map(move |cell| (cell, (f64::from(cell + 1).min(high) - f64::from(cell).max(low)) / ratio))
    };
    GrayImage::from_fn(width, height, |x, y| {
        let mut mean = 0.;
        for (row, tall) in share(mask.height(), height, y) {
            for (column, wide) in share(mask.width(), width, x) {
                mean += tall * wide * f64::from(u8::from(mask.get_pixel(column, row).0[0] > 128));
            }
        }
        image::Luma([if mean >= 0.5 - 1e-9 { 255 } else { 0 }])
    })
}

/// Width and height with the longer side `side` and the same shape; as they are if they are not larger.
pub fn within(width: u32, height: u32, side: u32) -> (u32, u32) {
    let longer = width.max(height);
    if longer <= side {
        return (width, height);
    }
    let scaled = |length: u32| {
        let exact = f64::from(length) * f64::from(side) / f64::from(longer);
        (exact.round() as u32).max(1)
    };
    (scaled(width), scaled(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_shrink_by_area() {
        // 320 to 128: each pixel covers 2.5. White left of column 125 is exactly 50 new columns.
        let white_left_of = |edge: u32| {
            let mask = GrayImage::from_fn(320, 320, |x, _| image::Luma([if x < edge { 255 } else { 0 }]));
            mask_to(&mask, 128, 128)
        };
        assert!(
            white_left_of(125)
                .enumerate_pixels()
                .all(|(x, _, value)| (value.0[0] == 255) == (x < 50))
        );
        assert_eq!(white_left_of(126).get_pixel(50, 3).0[0], 0);
        assert_eq!(white_left_of(127).get_pixel(50, 3).0[0], 255);
    }

    #[test]
    fn shapes_are_kept_and_nothing_grows() {
        assert_eq!(within(320, 320, 256), (256, 256));
        assert_eq!(within(200, 150, 100), (100, 75));
        assert_eq!(within(200, 150, 256), (200, 150));
    }
}
