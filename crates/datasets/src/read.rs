use std::{fs, io::Cursor, path::Path};

use image::{DynamicImage, GrayImage, ImageReader, Rgb, RgbImage};

use crate::DatasetError;

/// Reads an image as 8-bit RGB.
///
/// Grey images get three equal channels, palettes are looked up, 16-bit values are divided by 257 and rounded, and
/// transparent pixels are laid over black (what a dermatoscope shows outside its field of view). The format is told
/// from the content, not from the name. EXIF orientation is *not* applied: pixels come as stored, because masks carry
/// no orientation and were drawn on stored pixels. Colour profiles are not applied either: values are taken as sRGB.
///
/// # Errors
/// [`DatasetError::Read`] or [`DatasetError::Decode`], which name the file; a truncated JPEG is an error although some
/// decoders would fill in grey.
pub fn read_rgb(path: &Path) -> Result<RgbImage, DatasetError> {
    Ok(match decode(path)? {
        DynamicImage::ImageRgb8(image) => image,
        image if image.color().has_alpha() => {
            let image = image.into_rgba16();
            let mut rgb = RgbImage::new(image.width(), image.height());
            for (from, to) in image.pixels().zip(rgb.pixels_mut()) {
                let [r, g, b, a] = from.0.map(u64::from);
                let over_black = |value: u64| ((value * a * 2 + 65535 * 257) / (2 * 65535 * 257)) as u8;
                *to = Rgb([over_black(r), over_black(g), over_black(b)]);
            }
            rgb
        }
        image => image.into_rgb8(),
    })
}

/// Reads a mask: values 0 (outside) and 255 (inside), binarised with `> 128` as the official ISIC scorer does.
///
/// Accepted are grey images of 1, 8 or 16 bits, also colour images whose three channels are equal; alpha is ignored.
///
/// # Errors
/// [`DatasetError::Read`], [`DatasetError::Decode`]; [`DatasetError::NotAMask`] if channels differ, if the largest
/// value is between 1 and 128 (a 0/1 or label mask would silently become empty), or if more than a quarter of the
/// pixels are neither dark (under 64) nor bright (over 191).
pub fn read_mask(path: &Path) -> Result<GrayImage, DatasetError> {
    let not_a_mask = |reason: String| DatasetError::NotAMask {
        path: path.into(),
        reason,
    };
    let image = decode(path)?;
    let coloured = image.color().has_color();
    let mut grey = if coloured {
        let rgb = image.into_rgb8();
        if let Some((x, y, pixel)) = rgb
            .enumerate_pixels()
            .find(|(_, _, p)| p.0[0] != p.0[1] || p.0[1] != p.0[2])
        {
            return Err(not_a_mask(format!(
                "it has colours (pixel {x},{y} is {:?}); masks are grey, 0 outside and 255 inside",
                pixel.0
            )));
        }
        GrayImage::from_fn(rgb.width(), rgb.height(), |x, y| {
            image::Luma([rgb.get_pixel(x, y).0[0]])
        })
    } else {
        image.into_luma8()
    };
    let largest = grey.iter().copied().max().unwrap_or(0);
    if (1..=128).contains(&largest) {
        return Err(not_a_mask(format!(
            "its largest value is {largest}; masks are 0 outside and 255 inside (if 1 means inside, multiply by 255)"
        )));
    }
    let between = grey.iter().filter(|value| (64..=191).contains(*value)).count();
    if between * 4 > grey.len() {
        return Err(not_a_mask(format!(
            "{between} of {} pixels are mid-grey; masks are 0 outside and 255 inside (is this a photograph?)",
            grey.len()
        )));
    }
    grey.iter_mut()
        .for_each(|value| *value = if *value > 128 { 255 } else { 0 });
    Ok(grey)
}

/// [`read_mask`], and the size must be the image's (width, height).
///
/// # Errors
/// As [`read_mask`]; [`DatasetError::MaskSize`] names both files and sizes.
pub fn read_mask_for(path: &Path, image: &Path, image_size: (u32, u32)) -> Result<GrayImage, DatasetError> {
    let mask = read_mask(path)?;
    if mask.dimensions() == image_size {
        return Ok(mask);
    }
    Err(DatasetError::MaskSize {
        mask: path.into(),
        mask_size: mask.dimensions(),
        image: image.into(),
        image_size,
    })
}

/// Width and height of an image, from its header only.
///
/// # Errors
/// [`DatasetError::Read`] or [`DatasetError::Decode`], which name the file.
pub fn image_size(path: &Path) -> Result<(u32, u32), DatasetError> {
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let reader = reader.map_err(DatasetError::read(path))?;
    reader.into_dimensions().map_err(|error| DatasetError::Decode {
        path: path.into(),
        reason: error.to_string(),
    })
}

fn decode(path: &Path) -> Result<DynamicImage, DatasetError> {
    let bytes = fs::read(path).map_err(DatasetError::read(path))?;
    let problem = |reason: String| DatasetError::Decode {
        path: path.into(),
        reason,
    };
    if bytes.is_empty() {
        return Err(problem("the file is empty".to_owned()));
    }
    if bytes.starts_with(&[0xff, 0xd8]) && !jpeg_is_complete(&bytes) {
        return Err(problem("the JPEG is truncated: its end marker is missing".to_owned()));
    }
    let reader = ImageReader::new(Cursor::new(&bytes))
        .with_guessed_format()
        .map_err(DatasetError::read(path))?;
    if reader.format().is_none() {
        return Err(problem("neither PNG nor JPEG".to_owned()));
    }
    reader.decode().map_err(|error| problem(error.to_string()))
}

/// Walks the segments and scans to the end-of-image marker: the decoder fills missing rows with grey without a word.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xff, marker]) = bytes.get(at..at + 2) {
        match marker {
            0xff => at += 1,
            0xd9 => return true,
            0x01 | 0xd0..=0xd8 => at += 2,
            _ => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else {
                    return false;
                };
                at += 2 + usize::from(u16::from_be_bytes([high, low])).max(2);
                if marker == 0xda {
                    // Entropy-coded data: 0xff is followed by 0x00 or a restart marker there.
                    loop {
                        match bytes.get(at..at + 2) {
                            Some(&[0xff, 0x00 | 0xd0..=0xd7]) => at += 2,
                            Some(&[0xff, 0xff]) => at += 1,
                            Some(&[0xff, _]) => break,
                            Some(_) => at += 1,
                            None => return false,
                        }
                    }
                }
            }
        }
    }
    false
}
