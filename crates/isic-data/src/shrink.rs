//! Smaller images and masks, as files.

use std::path::Path;

use anyhow::{Context, Result};
use htl_datasets::{image_size, read_mask, read_rgb, resize_mask, resize_rgb};
use image::{ImageFormat, codecs::jpeg::JpegEncoder};

/// As in the embedded set: near that of the collected copies (92), and 1,788 images of 256 pixels take 27 MB.
const JPEG_QUALITY: u8 = 90;

/// The image at `path`, resized to `[width, height]`, as a JPEG.
pub fn image_file(path: &Path, [width, height]: [u32; 2]) -> Result<Vec<u8>> {
    let small = resize_rgb(&read_rgb(path)?, width, height);
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).encode_image(&small)?;
    Ok(jpeg)
}

/// The mask at `path`, resized to `[width, height]`, as a PNG.
pub fn mask_file(path: &Path, [width, height]: [u32; 2]) -> Result<Vec<u8>> {
    let mut png = std::io::Cursor::new(Vec::new());
    resize_mask(&read_mask(path)?, width, height).write_to(&mut png, ImageFormat::Png)?;
    Ok(png.into_inner())
}

/// The file at `path` with its longer side at most `side`, made smaller by `shrink`; its own bytes if it is not larger.
pub fn within(path: &Path, side: u32, shrink: impl FnOnce(&Path, [u32; 2]) -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let (width, height) = image_size(path)?;
    let smaller = fitting(width, height, side);
    if smaller == [width, height] {
        return std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    }
    shrink(path, smaller)
}

/// Width and height with the longer side `side` and the same shape; as they are if they are not larger.
fn fitting(width: u32, height: u32, side: u32) -> [u32; 2] {
    let longer = width.max(height);
    if longer <= side {
        return [width, height];
    }
    let scaled = |length: u32| {
        let exact = f64::from(length) * f64::from(side) / f64::from(longer);
        (exact.round() as u32).max(1)
    };
    [scaled(width), scaled(height)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma};

    /// 320 to 128: each pixel covers 2.5. White left of column 125 is exactly 50 new columns.
    #[test]
    fn masks_shrink_by_area() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mask.png");
        let white_left_of = |edge: u32| {
            let mask = GrayImage::from_fn(320, 320, |x, _| Luma([if x < edge { 255 } else { 0 }]));
            mask.save(&path).unwrap();
            let png = within(&path, 128, mask_file).unwrap();
            image::load_from_memory(&png).unwrap().into_luma8()
        };
        assert!(
            white_left_of(125)
                .enumerate_pixels()
                .all(|(x, _, value)| (value.0[0] == 255) == (x < 50))
        );
        assert_eq!(white_left_of(126).get_pixel(50, 3).0[0], 0);
        assert_eq!(white_left_of(127).get_pixel(50, 3).0[0], 255);
        let as_it_is = within(&path, 320, mask_file).unwrap();
        assert_eq!(as_it_is, std::fs::read(&path).unwrap());
    }

    #[test]
    fn shapes_are_kept_and_nothing_grows() {
        assert_eq!(fitting(320, 320, 256), [256, 256]);
        assert_eq!(fitting(200, 150, 100), [100, 75]);
        assert_eq!(fitting(200, 150, 256), [200, 150]);
    }
}
