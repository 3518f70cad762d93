//! Decoding: formats that are converted, files that are refused.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{disc, good, says};
use htl_datasets::{
    DataFolder, ImageSet, MaskUse, RgbImage, Sample, image_size, read_mask, read_mask_for, read_rgb, resize_mask,
};
use image::{DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, Luma, LumaA, Rgb};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Palette, 1-bit, 16-bit grey and RGBA pictures written by Pillow are read as the pixels that were written down.
#[test]
fn other_formats_become_rgb() {
    let values: serde_json::Value = serde_json::from_str(&fs::read_to_string(golden("golden.json")).unwrap()).unwrap();
    for (name, pixels) in values["pictures"].as_object().unwrap() {
        let expected: Vec<u8> = serde_json::from_value(pixels.clone()).unwrap();
        let read = read_rgb(&golden(name)).unwrap();
        assert_eq!(read.dimensions(), (6, 4));
        assert_eq!(read.into_raw(), expected, "{name}");
    }
}

#[test]
fn sixteen_bit_colour_grey_with_alpha_and_wrong_extensions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep.png");
    let deep = ImageBuffer::<Rgb<u16>, _>::from_pixel(2, 2, Rgb([0u16, 257 * 130, 65535]));
    DynamicImage::ImageRgb16(deep).save(&path).unwrap();
    assert_eq!(read_rgb(&path).unwrap().get_pixel(1, 1).0, [0, 130, 255]);
    GrayAlphaImage::from_pixel(2, 2, LumaA([200, 128])).save(&path).unwrap();
    assert_eq!(
        read_rgb(&path).unwrap().get_pixel(0, 1).0,
        [100, 100, 100],
        "half transparent over black"
    );
    let jpeg_named_png = folder.path().join("x.png");
    fs::copy(golden("baseline.jpg"), &jpeg_named_png).unwrap();
    assert_eq!(read_rgb(&jpeg_named_png).unwrap().dimensions(), (48, 32));
}

/// Orientation is for viewers: masks are drawn on stored pixels.
#[test]
fn exif_orientation_is_not_applied() {
    assert_eq!(
        read_rgb(&golden("oriented.jpg")).unwrap(),
        read_rgb(&golden("baseline.jpg")).unwrap()
    );
    assert_eq!(image_size(&golden("oriented.jpg")).unwrap(), (48, 32));
}

/// A file cut anywhere is refused in words that name it; decoders alone accept most cut JPEGs.
#[test]
fn truncated_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.img");
    for name in [
        "baseline.jpg",
        "progressive.jpg",
        "oriented.jpg",
        "rgba.png",
        "grey16.png",
    ] {
        let whole = fs::read(golden(name)).unwrap();
        // The last chunk of a PNG (12 bytes) holds nothing.
        let needed = if name.ends_with("png") {
            whole.len() - 12
        } else {
            whole.len()
        };
        for length in (0..needed).step_by(11).chain(needed - 3..needed) {
            fs::write(&path, &whole[..length]).unwrap();
            match read_rgb(&path) {
                Ok(_) => panic!("{name} cut to {length} of {} was read", whole.len()),
                Err(error) => says(&error.to_string(), &["cannot decode", "cut.img", "replace the file"]),
            }
        }
        fs::write(&path, &whole).unwrap();
        read_rgb(&path).unwrap();
    }
}

#[test]
fn corrupt_and_foreign_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jpg");
    let message = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        read_rgb(&path).unwrap_err().to_string()
    };
    says(&message(b""), &["a.jpg", "empty"]);
    says(&message(b"hello, this is text"), &["a.jpg", "neither PNG nor JPEG"]);
    let mut png = fs::read(golden("rgba.png")).unwrap();
    let middle = png.len() / 2;
    png[middle] ^= 0x55;
    says(&message(&png), &["cannot decode", "a.jpg"]);
    let mut jpeg = fs::read(golden("baseline.jpg")).unwrap();
    jpeg[4..40].fill(0);
    says(&message(&jpeg), &["cannot decode", "a.jpg"]);
    says(
        &read_rgb(&folder.path().join("none.png")).unwrap_err().to_string(),
        &["cannot read", "none.png"],
    );
}

#[test]
fn masks_are_cut_above_128() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.png");
    let values = [0u8, 10, 128, 129, 250, 255, 0, 255, 0];
    GrayImage::from_raw(3, 3, values.to_vec()).unwrap().save(&path).unwrap();
    let expected = values.map(|value| if value > 128 { 255 } else { 0 }).to_vec();
    assert_eq!(read_mask(&path).unwrap().into_raw(), expected);
    RgbImage::from_fn(3, 3, |x, y| Rgb([values[(3 * y + x) as usize]; 3]))
        .save(&path)
        .unwrap();
    assert_eq!(
        read_mask(&path).unwrap().into_raw(),
        expected,
        "equal channels are grey"
    );
    let deep = ImageBuffer::<Luma<u16>, _>::from_fn(3, 3, |x, y| Luma([u16::from(values[(3 * y + x) as usize]) * 257]));
    DynamicImage::ImageLuma16(deep).save(&path).unwrap();
    assert_eq!(read_mask(&path).unwrap().into_raw(), expected);
    GrayImage::new(3, 3).save(&path).unwrap();
    assert_eq!(
        read_mask(&path).unwrap().into_raw(),
        vec![0; 9],
        "an empty mask is a mask"
    );
}

#[test]
fn what_is_no_mask_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.png");
    let message = |image: DynamicImage| {
        image.save(&path).unwrap();
        read_mask(&path).unwrap_err().to_string()
    };
    let binary = GrayImage::from_raw(2, 1, vec![0, 1]).unwrap();
    says(
        &message(binary.into()),
        &["m.png is not a mask", "largest value is 1", "multiply by 255"],
    );
    says(
        &message(RgbImage::from_pixel(2, 2, Rgb([255, 0, 0])).into()),
        &["m.png", "colours", "0,0", "[255, 0, 0]"],
    );
    let photograph = GrayImage::from_fn(16, 16, |x, y| Luma([(x * 8 + y * 8) as u8]));
    says(&message(photograph.into()), &["mid-grey", "photograph"]);
}

#[test]
fn sizes_must_agree() {
    let folder = good();
    disc(8, 12).save(folder.path("masks/c.png")).unwrap();
    let error = read_mask_for(&folder.path("masks/c.png"), &folder.path("images/c.png"), (12, 8)).unwrap_err();
    says(&error.to_string(), &["masks/c.png is 8x12", "images/c.png is 12x8"]);
    let data = DataFolder::open(folder.root()).unwrap();
    let problems = data.problems();
    assert_eq!(problems.len(), 1);
    let samples: Vec<&Sample> = data.samples().iter().collect();
    let error = ImageSet::load(&samples, 4, MaskUse::Required).unwrap_err();
    assert_eq!(error.to_string(), problems[0].to_string());
    ImageSet::load(&samples, 4, MaskUse::Ignore).unwrap();
}

#[test]
fn a_set_keeps_order_values_and_stored_masks() {
    let folder = good();
    fs::remove_file(folder.path("masks/b.png")).unwrap();
    let data = DataFolder::open(folder.root()).unwrap();
    let samples: Vec<&Sample> = ["c", "a", "b"].iter().filter_map(|id| data.get(id)).collect();
    let set = ImageSet::load(&samples, 8, MaskUse::IfPresent).unwrap();
    assert_eq!((set.ids(), set.len(), set.size()), (vec!["c", "a", "b"], 3, 8));
    assert_eq!(set.stored_size(0), (12, 8));
    let (image, mask) = (set.image(0), set.mask(0).unwrap());
    assert_eq!((image.len(), mask.len()), (3 * 64, 64));
    assert!(
        image[128..].iter().all(|blue| (blue - 100. / 255.).abs() < 1e-6),
        "planar, blue last"
    );
    assert!(image[7] > image[0] && image[64 + 56] > image[64]);
    let expected: Vec<f32> = resize_mask(&disc(12, 8), 8, 8)
        .iter()
        .map(|value| f32::from(*value) / 255.)
        .collect();
    assert_eq!(mask, expected);
    assert_eq!(set.stored_mask(0).unwrap().unwrap(), disc(12, 8));
    assert!(set.mask(2).is_none() && set.stored_mask(2).unwrap().is_none());
    let blind = ImageSet::load(&samples, 8, MaskUse::Ignore).unwrap();
    assert!(blind.mask(0).is_none() && blind.stored_mask(0).unwrap().is_none());
    let error = ImageSet::load(&samples, 8, MaskUse::Required).unwrap_err().to_string();
    says(&error, &["`b` has no mask", "masks/b.png"]);
    says(
        &ImageSet::load(&samples, 0, MaskUse::Ignore).unwrap_err().to_string(),
        &["image size", "found 0"],
    );
    let (mean, deviation) = set.channel_statistics().unwrap();
    assert!((mean[2] - 100. / 255.).abs() < 1e-6 && deviation[2] < 1e-6 && deviation[0] > 0.1);
}

/// The first problem in order of the samples is told, whichever thread finds one first.
#[test]
fn errors_are_deterministic() {
    let folder = good();
    for id in ["b", "d"] {
        fs::write(folder.path(&format!("images/{id}.png")), b"broken").unwrap();
    }
    let data = DataFolder::open(folder.root()).unwrap();
    let samples: Vec<&Sample> = data.samples().iter().collect();
    for _ in 0..20 {
        says(
            &ImageSet::load(&samples, 4, MaskUse::Ignore).unwrap_err().to_string(),
            &["b.png"],
        );
    }
    assert_eq!(data.problems().len(), 2);
}
