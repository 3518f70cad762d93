//! Masks as people store them: judged on the values in the file, all of them, before anything is rounded away.

use std::collections::BTreeMap;
use std::path::Path;

use image::{DynamicImage, GrayImage, Luma};

use crate::DatasetError;
use crate::decode::{Formats, decoded};

/// The values of a mask file, one per pixel, as they are stored.
#[derive(Debug, Clone, PartialEq)]
struct StoredValues {
    /// Width and height.
    size: (u32, u32),
    /// Row by row.
    values: Vec<u16>,
    /// The largest that could be stored: 255 or 65535.
    largest: u16,
}

/// Which stored values are inside the lesion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside {
    /// These.
    Values(Vec<u16>),
    /// Those above this one.
    Above(u16),
    /// Those of pixels whose alpha is above half; colours do not matter.
    Opaque,
}

/// How many distinct values a label map has at most.
const LABELS: usize = 4;

/// Reads a mask: values 0 (outside) and 255 (inside), binarised with `> 128` as the official ISIC scorer does; of 16 bits
/// accordingly.
///
/// Accepted are grey images of 1, 8 or 16 bits, also colour images whose channels are equal, with the noise of JPEG or soft outlines;
/// alpha must be the same everywhere. EXIF orientation is applied as to images.
///
/// # Errors
/// [`DatasetError::Read`], [`DatasetError::Decode`]; [`DatasetError::NotAMask`], which says what was found and how to convert it:
/// colours, transparency that varies, a largest value in the lower half (0/1 and label masks would silently become
/// empty), two to four distinct values that are not black and white (a value to ignore would become lesion), or more than a quarter of
/// the pixels neither dark nor bright (a photograph).
pub fn read_mask(path: &Path) -> Result<GrayImage, DatasetError> {
    read_mask_of(path, Formats::Kept)
}

/// [`read_mask`] of other formats.
pub(crate) fn read_mask_of(path: &Path, formats: Formats) -> Result<GrayImage, DatasetError> {
    let stored = opaque(path, formats)?;
    judge(path, &stored)?;
    let scale = stored.largest / 255;
    Ok(stored.mask(|value| value > 128 * scale))
}

/// Reads a predicted mask as the official ISIC scorer does: any grey, inside above 128 (of 16 bits accordingly). A map of
/// probabilities is a prediction, and so is an empty mask.
///
/// # Errors
/// [`DatasetError::Read`], [`DatasetError::Decode`]; [`DatasetError::NotAMask`] for colours and for transparency that varies.
pub fn read_prediction(path: &Path) -> Result<GrayImage, DatasetError> {
    let stored = opaque(path, Formats::Kept)?;
    let scale = stored.largest / 255;
    Ok(stored.mask(|value| value > 128 * scale))
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

/// The mask of a file that is none by itself, with what to take for inside, and how many pixels have each of its values.
///
/// # Errors
/// [`DatasetError::Read`], [`DatasetError::Decode`]; [`DatasetError::NotAMask`] for colours, and for `Opaque` of a file without alpha.
pub fn convert_mask(path: &Path, inside: &Inside) -> Result<(GrayImage, BTreeMap<u16, usize>), DatasetError> {
    let stored = decoded(path, Formats::Convertible, |image| match inside {
        Inside::Opaque if image.color().has_alpha() => Ok(alpha(&image)),
        Inside::Opaque => Err(not_a_mask(path, "it has no alpha channel".to_owned())),
        Inside::Values(_) | Inside::Above(_) => grey(path, &image),
    })?;
    let mask = match inside {
        Inside::Values(values) => stored.mask(|value| values.contains(&value)),
        Inside::Above(least) => stored.mask(|value| value > *least),
        Inside::Opaque => stored.mask(|value| value > stored.largest / 2),
    };
    Ok((mask, counted(&stored.values)))
}

impl StoredValues {
    fn mask(&self, inside: impl Fn(u16) -> bool) -> GrayImage {
        let (width, _) = self.size;
        GrayImage::from_fn(self.size.0, self.size.1, |x, y| {
            let value = self.values.get((y * width + x) as usize);
            Luma([if value.is_some_and(|value| inside(*value)) {
                255
            } else {
                0
            }])
        })
    }
}

/// The grey values of a file whose transparency says nothing.
fn opaque(path: &Path, formats: Formats) -> Result<StoredValues, DatasetError> {
    decoded(path, formats, |image| match alpha_range(&image) {
        Some((least, most)) if least != most => Err(not_a_mask(
            path,
            "its transparency varies; if the mask is in it, `htl data convert-masks --opaque` writes masks of it"
                .to_owned(),
        )),
        _ => grey(path, &image),
    })
}

fn not_a_mask(path: &Path, reason: String) -> DatasetError {
    DatasetError::NotAMask {
        path: path.into(),
        reason,
    }
}

/// Least and largest alpha, where there is one.
fn alpha_range(image: &DynamicImage) -> Option<(u16, u16)> {
    if !image.color().has_alpha() {
        return None;
    }
    let values = alpha(image).values;
    Some((values.iter().copied().min()?, values.iter().copied().max()?))
}

fn alpha(image: &DynamicImage) -> StoredValues {
    let image = image.to_rgba16();
    StoredValues {
        size: image.dimensions(),
        values: image.pixels().map(|pixel| pixel.0[3]).collect(),
        largest: u16::MAX,
    }
}

/// The grey values, at the depth they are stored with.
fn grey(path: &Path, image: &DynamicImage) -> Result<StoredValues, DatasetError> {
    let deep = match image {
        DynamicImage::ImageLuma8(grey) => {
            return Ok(StoredValues {
                size: grey.dimensions(),
                values: grey.as_raw().iter().copied().map(u16::from).collect(),
                largest: 255,
            });
        }
        DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA16(_)
        | DynamicImage::ImageRgb16(_)
        | DynamicImage::ImageRgba16(_) => true,
        DynamicImage::ImageRgb32F(_) | DynamicImage::ImageRgba32F(_) => {
            return Err(not_a_mask(path, "it holds floating-point numbers".to_owned()));
        }
        _ => false,
    };
    let rgb = image.to_rgb16();
    if let Some((x, y, pixel)) = rgb
        .enumerate_pixels()
        .find(|(_, _, p)| p.0[0] != p.0[1] || p.0[1] != p.0[2])
    {
        let shown = pixel.0.map(|value| if deep { value } else { value / 257 });
        return Err(not_a_mask(
            path,
            format!("it has colours (pixel {x},{y} is {shown:?}); masks are grey, 0 outside and 255 inside"),
        ));
    }
    let shown = |value: u16| if deep { value } else { value / 257 };
    Ok(StoredValues {
        size: rgb.dimensions(),
        values: rgb.pixels().map(|pixel| shown(pixel.0[0])).collect(),
        largest: if deep { u16::MAX } else { 255 },
    })
}

/// How many pixels have each value.
fn counted(values: &[u16]) -> BTreeMap<u16, usize> {
    let mut counts = vec![0usize; 1 << 16];
    for value in values {
        counts[usize::from(*value)] += 1;
    }
    let found = counts.into_iter().zip(0u16..=u16::MAX).filter(|(count, _)| *count > 0);
    found.map(|(count, value)| (value, count)).collect()
}

/// Whether the values are those of a mask.
fn judge(path: &Path, stored: &StoredValues) -> Result<(), DatasetError> {
    let (total, scale) = (stored.values.len(), stored.largest / 255);
    let counts = counted(&stored.values);
    let most = counts.keys().next_back().copied().unwrap_or(0);
    if (1..=128 * scale).contains(&most) {
        return Err(not_a_mask(
            path,
            format!(
                "its largest value is {most}; masks are 0 outside and {} inside (if {most} means inside, multiply by {}, or let `htl \
                 data convert-masks --inside {most}` do so)",
                stored.largest,
                stored.largest / most.max(1)
            ),
        ));
    }
    let (dark, bright) = (64 * scale, 191 * scale);
    let black_and_white = counts.len() <= 2 && counts.keys().all(|value| *value < dark || *value > bright);
    let between = |value: &u16| *value > 0 && *value < stored.largest;
    let labelled = counts
        .iter()
        .any(|(value, count)| between(value) && count * 100 >= total);
    if counts.len() <= LABELS && !black_and_white && labelled {
        let share = |(value, count): (&u16, &usize)| format!("{value} ({:.0} %)", 100.0 * *count as f64 / total as f64);
        let found: Vec<String> = counts.iter().map(share).collect();
        return Err(not_a_mask(
            path,
            format!(
                "its values are {}: a label map? masks are 0 outside and {} inside; say which values mean inside with `htl data \
                 convert-masks --inside VALUES`",
                found.join(", "),
                stored.largest
            ),
        ));
    }
    let grey = |(value, _): &(&u16, &usize)| (dark..=bright).contains(*value);
    let between: usize = counts.iter().filter(grey).map(|(_, count)| count).sum();
    if between * 4 > total {
        return Err(not_a_mask(
            path,
            format!(
                "{between} of {total} pixels are mid-grey; masks are 0 outside and {} inside (is this a photograph? of a map of \
                 probabilities, `htl data convert-masks --above 128` makes a mask)",
                stored.largest
            ),
        ));
    }
    Ok(())
}
