//! Photographs in DICOM files: their pixels, and nothing of whom they are of.

use std::io::Cursor;

use dicom_object::{DefaultDicomObject, OpenFileOptions};
use dicom_pixeldata::PixelDecoder;
use image::DynamicImage;

use crate::decode::MOST_PIXELS;

/// Whether these are the bytes of a DICOM file.
pub(crate) fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(128..132) == Some(b"DICM")
}

/// The photograph in a DICOM file; else what is wrong.
pub(crate) fn photograph(bytes: &[u8]) -> Result<DynamicImage, String> {
    let object = OpenFileOptions::new()
        .from_reader(Cursor::new(bytes))
        .map_err(|error| format!("not a readable DICOM file: {}", causes(&error)))?;
    let colours = text(&object, "PhotometricInterpretation").unwrap_or_default();
    if !(colours == "RGB" || colours.starts_with("YBR") || colours == "PALETTE COLOR") {
        return Err(format!(
            "it is no colour photograph: its photometric interpretation is `{colours}`"
        ));
    }
    let frames = number(&object, "NumberOfFrames").unwrap_or(1);
    if frames != 1 {
        return Err(format!("it has {frames} frames, and a photograph has one"));
    }
    let pixels = number(&object, "Rows").unwrap_or(0) * number(&object, "Columns").unwrap_or(0);
    if pixels == 0 || pixels > MOST_PIXELS {
        return Err(format!("it is said to have {pixels} pixels"));
    }
    let decoded = object.decode_pixel_data().map_err(|error| causes(&error))?;
    decoded.to_dynamic_image(0).map_err(|error| causes(&error))
}

fn text(object: &DefaultDicomObject, name: &str) -> Option<String> {
    Some(object.element_by_name(name).ok()?.to_str().ok()?.trim().to_owned())
}

fn number(object: &DefaultDicomObject, name: &str) -> Option<u64> {
    object.element_by_name(name).ok()?.to_int::<u64>().ok()
}

/// An error with its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    fn read(name: &str) -> Result<RgbImage, String> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/golden/dicom")
            .join(name);
        let bytes = std::fs::read(path).unwrap();
        assert!(is_dicom(&bytes));
        photograph(&bytes).map(DynamicImage::into_rgb8)
    }

    /// Files of pydicom (tests/golden/dicom/make.py).
    #[test]
    fn photographs_are_those_that_were_stored() {
        let stored = RgbImage::from_fn(12, 8, |x, y| Rgb([(x * 20) as u8, (y * 30) as u8, 100]));
        assert_eq!(read("plain.dcm").unwrap(), stored);
        let compressed = read("jpeg.dcm").unwrap();
        let off = |(a, b): (&Rgb<u8>, &Rgb<u8>)| a.0.iter().zip(b.0).map(|(a, b)| a.abs_diff(b)).max();
        let most = compressed.pixels().zip(stored.pixels()).filter_map(off).max();
        assert!(most.is_some_and(|most| most < 24), "{most:?}");
    }

    #[test]
    fn what_is_no_photograph_is_said() {
        assert!(read("grey.dcm").unwrap_err().contains("MONOCHROME2"));
        assert!(read("film.dcm").unwrap_err().contains("2 frames"));
        assert!(photograph(&[0; 200]).unwrap_err().contains("not a readable DICOM"));
    }
}
