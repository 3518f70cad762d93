//! From files to pixels as a viewer shows them, within bounds of memory.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::sync::{Condvar, Mutex, PoisonError};

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use crate::DatasetError;

/// The most pixels that an image may have: three times the largest dermoscopic photograph published.
pub(crate) const MOST_PIXELS: u64 = 100_000_000;

/// What all threads together may use for decoding, in bytes.
static BUDGET: Budget = Budget {
    left: Mutex::new(WHOLE),
    returned: Condvar::new(),
};
const WHOLE: u64 = 2 << 30;
/// Bytes that a pixel takes beside its decoded form while it is converted.
const CONVERSION: u64 = 12;

struct Budget {
    left: Mutex<u64>,
    returned: Condvar,
}

/// A part of the budget, given back when it goes.
struct Share(u64);

impl Budget {
    /// Waits until so much is there; what is more than everything takes everything.
    fn take(&'static self, bytes: u64) -> Share {
        let bytes = bytes.min(WHOLE);
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = |left: &mut u64| *left < bytes;
        let mut left = self
            .returned
            .wait_while(left, enough)
            .unwrap_or_else(PoisonError::into_inner);
        *left -= bytes;
        Share(bytes)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *BUDGET.left.lock().unwrap_or_else(PoisonError::into_inner) += self.0;
        BUDGET.returned.notify_all();
    }
}

/// Which formats are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Formats {
    /// PNG and JPEG: those of data folders.
    Kept,
    /// Every format that this program was built to convert.
    Convertible,
}

impl Formats {
    fn hold(self, format: ImageFormat) -> bool {
        let bitmap = format == ImageFormat::Bmp && cfg!(feature = "import");
        let tiff = format == ImageFormat::Tiff && cfg!(feature = "tiff");
        matches!(format, ImageFormat::Png | ImageFormat::Jpeg) || (self == Self::Convertible && (bitmap || tiff))
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Kept => "neither PNG nor JPEG",
            Self::Convertible => {
                "neither PNG, JPEG nor BMP (TIFF and DICOM are read by a program built with the features `tiff` and `dicom`)"
            }
        }
    }
}

/// What `convert` makes of an image, oriented as its EXIF data say. While it works, other threads leave it the memory it needs.
pub(crate) fn decoded<T>(
    path: &Path,
    formats: Formats,
    convert: impl FnOnce(DynamicImage) -> Result<T, DatasetError>,
) -> Result<T, DatasetError> {
    let bytes = fs::read(path).map_err(DatasetError::read(path))?;
    let problem = |reason: String| DatasetError::Decode {
        path: path.into(),
        reason,
    };
    let failed = |error: image::ImageError| problem(error.to_string());
    if bytes.is_empty() {
        return Err(problem("the file is empty".to_owned()));
    }
    if bytes.starts_with(&[0xff, 0xd8]) && !jpeg_is_complete(&bytes) {
        return Err(problem("the JPEG is truncated: its end marker is missing".to_owned()));
    }
    #[cfg(feature = "dicom")]
    if formats == Formats::Convertible && crate::dicom::is_dicom(&bytes) {
        let _share = BUDGET.take(WHOLE / 4);
        return convert(crate::dicom::photograph(&bytes).map_err(problem)?);
    }
    let reader = ImageReader::new(Cursor::new(&bytes))
        .with_guessed_format()
        .map_err(DatasetError::read(path))?;
    if !reader.format().is_some_and(|format| formats.hold(format)) {
        return Err(problem(formats.in_words().to_owned()));
    }
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MOST_PIXELS {
        return Err(problem(format!(
            "it has {width} x {height} pixels, and at most {} million are read: make it smaller",
            MOST_PIXELS / 1_000_000
        )));
    }
    let _share = BUDGET.take(decoder.total_bytes() + CONVERSION * pixels);
    let orientation = decoder.orientation().map_err(failed)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    image.apply_orientation(orientation);
    convert(image)
}

/// Width and height of an image as a viewer shows it, from its header only.
///
/// # Errors
/// [`DatasetError::Read`] or [`DatasetError::Decode`], which name the file.
pub fn image_size(path: &Path) -> Result<(u32, u32), DatasetError> {
    let failed = |error: image::ImageError| DatasetError::Decode {
        path: path.into(),
        reason: error.to_string(),
    };
    let reader = ImageReader::open(path).and_then(ImageReader::with_guessed_format);
    let mut decoder = reader
        .map_err(DatasetError::read(path))?
        .into_decoder()
        .map_err(failed)?;
    let (width, height) = decoder.dimensions();
    Ok(match decoder.orientation().map_err(failed)? {
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH => {
            (height, width)
        }
        _ => (width, height),
    })
}

/// Walks the segments and scans to the end-of-image marker: the decoder fills missing rows with grey without a word.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[first, marker]) = bytes.get(at..at + 2) {
        match marker {
            // Decoders skip what lies between segments, and so do viewers.
            _ if first != 0xff => at += 1,
            0xff => at += 1,
            0xd9 => return true,
            0x00 | 0x01 | 0xd0..=0xd8 => at += 2,
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
