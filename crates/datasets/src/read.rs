use std::path::Path;

use image::{DynamicImage, Rgb, RgbImage};

use crate::DatasetError;
use crate::decode::{Formats, decoded};

/// Reads an image as 8-bit RGB, as a viewer shows it.
///
/// Grey images get three equal channels, palettes are looked up, 16-bit values are divided by 257 and rounded, and
/// transparent pixels are laid over black (what a dermatoscope shows outside its field of view). The format is told
/// from the content, not from the name. EXIF orientation is applied, as annotation tools do: masks are drawn on what a viewer
/// shows. Colour profiles are not applied: values are taken as sRGB.
///
/// # Errors
/// [`DatasetError::Read`] or [`DatasetError::Decode`], which name the file; a truncated JPEG is an error although some
/// decoders would fill in grey, and so is an image of more than 100 million pixels.
pub fn read_rgb(path: &Path) -> Result<RgbImage, DatasetError> {
    read_rgb_of(path, Formats::Kept)
}

/// [`read_rgb`] of other formats.
pub(crate) fn read_rgb_of(path: &Path, formats: Formats) -> Result<RgbImage, DatasetError> {
    decoded(path, formats, |image| {
        Ok(match image {
            DynamicImage::ImageRgb8(image) => image,
            image if image.color().has_alpha() => over_black(&image),
            image => image.into_rgb8(),
        })
    })
}

fn over_black(image: &DynamicImage) -> RgbImage {
    let image = image.to_rgba16();
    let mut rgb = RgbImage::new(image.width(), image.height());
    for (from, to) in image.pixels().zip(rgb.pixels_mut()) {
        let [r, g, b, a] = from.0.map(u64::from);
        let over_black = |value: u64| ((value * a * 2 + 65535 * 257) / (2 * 65535 * 257)) as u8;
        *to = Rgb([over_black(r), over_black(g), over_black(b)]);
    }
    rgb
}
