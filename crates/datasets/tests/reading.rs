//! Decoding: formats that are converted, files that are refused.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{disc, good, says};
use htl_datasets::{
    DataFolder, ImageSet, Inside, MaskUse, RgbImage, Sample, convert_mask, image_size, read_mask, read_mask_for,
    read_prediction, read_rgb, resize_mask,
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

/// A JPEG that says it is to be shown turned.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let exif = [
        b"Exif\0\0MM\0*\0\0\0\x08".as_slice(),
        // One entry: tag 0x0112, a short, once.
        &[0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

/// All eight orientations, as the EXIF standard defines them: where the pixel that is shown at (x, y) is stored.
#[test]
fn images_and_masks_are_turned_as_viewers_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("turned.jpg");
    let jpeg = fs::read(golden("baseline.jpg")).unwrap();
    let stored = read_rgb(&golden("baseline.jpg")).unwrap();
    let (width, height) = stored.dimensions();
    for orientation in 1..=8 {
        fs::write(&path, with_orientation(&jpeg, orientation)).unwrap();
        let shown = read_rgb(&path).unwrap();
        let size = if orientation > 4 {
            (height, width)
        } else {
            (width, height)
        };
        assert_eq!((shown.dimensions(), image_size(&path).unwrap()), (size, size));
        for (x, y, pixel) in shown.enumerate_pixels() {
            let (x, y) = match orientation {
                1 => (x, y),
                2 => (width - 1 - x, y),
                3 => (width - 1 - x, height - 1 - y),
                4 => (x, height - 1 - y),
                5 => (y, x),
                6 => (y, height - 1 - x),
                7 => (width - 1 - y, height - 1 - x),
                _ => (width - 1 - y, x),
            };
            assert_eq!(pixel, stored.get_pixel(x, y), "orientation {orientation}");
        }
    }
    // Pillow wrote this one, with orientation 6.
    let pillow = read_rgb(&golden("oriented.jpg")).unwrap();
    assert_eq!(pillow, image::imageops::rotate90(&stored));

    let mut jpeg = Vec::new();
    let half = GrayImage::from_fn(16, 8, |x, _| Luma([if x < 8 { 255 } else { 0 }]));
    half.write_to(&mut std::io::Cursor::new(&mut jpeg), image::ImageFormat::Jpeg)
        .unwrap();
    fs::write(&path, with_orientation(&jpeg, 6)).unwrap();
    let mask = read_mask(&path).unwrap();
    assert_eq!(mask.dimensions(), (8, 16));
    assert!(
        mask.enumerate_pixels()
            .all(|(_, y, pixel)| (pixel.0[0] == 255) == (y < 8))
    );
}

/// What is larger than anybody's photograph is refused before it is decoded.
#[test]
fn enormous_images_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.png");
    // The head of a PNG of 20,000 x 20,000 pixels of one bit.
    let mut png = Vec::new();
    GrayImage::new(1, 1)
        .write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png)
        .unwrap();
    let mut head = b"IHDR".to_vec();
    head.extend(20_000u32.to_be_bytes());
    head.extend(20_000u32.to_be_bytes());
    head.extend([1, 0, 0, 0, 0]);
    let mut crc = u32::MAX;
    for byte in &head {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
        }
    }
    head.extend((!crc).to_be_bytes());
    png.splice(12..33, head);
    fs::write(&path, &png).unwrap();
    for error in [read_rgb(&path).unwrap_err(), read_mask(&path).unwrap_err()] {
        says(&error.to_string(), &["large.png", "20000 x 20000", "100 million"]);
    }
}

/// Two bytes that belong to nothing lie between two segments: libjpeg skips them, and the picture is whole.
#[test]
fn stray_bytes_between_segments_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stray.jpg");
    common::picture(40, 30).save(&path).unwrap();
    let clean = read_rgb(&path).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let table = bytes.windows(2).position(|two| two == [0xff, 0xdb]).unwrap();
    bytes.splice(table..table, [0, 0]);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(read_rgb(&path).unwrap(), clean);
    fs::write(&path, &bytes[..bytes.len() - 40]).unwrap();
    says(&read_rgb(&path).unwrap_err().to_string(), &["stray.jpg", "truncated"]);
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
        &[
            "m.png is not a mask",
            "largest value is 1",
            "multiply by 255",
            "--inside 1",
        ],
    );
    let deep = |values: Vec<u16>| {
        let width = values.len() as u32;
        DynamicImage::ImageLuma16(ImageBuffer::<Luma<u16>, _>::from_raw(width, 1, values).unwrap())
    };
    says(
        &message(deep(vec![0, 1])),
        &["largest value is 1;", "65535 inside", "--inside 1"],
    );
    says(
        &message(deep(vec![0, 255])),
        &["largest value is 255;", "multiply by 257"],
    );
    // A value to ignore is not a lesion.
    let labels: Vec<u8> = (0..100).map(|at| [0, 0, 1, 255][at % 4]).collect();
    says(
        &message(GrayImage::from_raw(10, 10, labels).unwrap().into()),
        &["0 (50 %), 1 (25 %), 255 (25 %)", "label map", "--inside VALUES"],
    );
    says(
        &message(RgbImage::from_pixel(2, 2, Rgb([255, 0, 0])).into()),
        &["m.png", "colours", "0,0", "[255, 0, 0]"],
    );
    let photograph = GrayImage::from_fn(16, 16, |x, y| Luma([(x * 8 + y * 8) as u8]));
    says(&message(photograph.into()), &["mid-grey", "photograph"]);
    let in_alpha = GrayAlphaImage::from_fn(4, 4, |x, _| LumaA([255, if x < 2 { 255 } else { 0 }]));
    says(&message(in_alpha.into()), &["transparency varies", "--opaque"]);
    GrayAlphaImage::from_fn(4, 4, |x, _| LumaA([if x < 2 { 255 } else { 0 }, 200]))
        .save(&path)
        .unwrap();
    assert_eq!(
        read_mask(&path).unwrap().iter().filter(|value| **value == 255).count(),
        8
    );
}

/// Predictions are read as the official scorer does: soft maps and dark ones too, cut above 128.
#[test]
fn any_grey_is_a_prediction() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.png");
    GrayImage::from_fn(16, 16, |x, y| Luma([(x * 8 + y * 8) as u8]))
        .save(&path)
        .unwrap();
    let found = read_prediction(&path).unwrap();
    assert!(
        found
            .enumerate_pixels()
            .all(|(x, y, pixel)| (pixel.0[0] == 255) == (x * 8 + y * 8 > 128))
    );
    GrayImage::from_pixel(4, 4, Luma([100])).save(&path).unwrap();
    assert!(read_prediction(&path).unwrap().iter().all(|value| *value == 0));
    RgbImage::from_pixel(2, 2, Rgb([255, 0, 0])).save(&path).unwrap();
    says(&read_prediction(&path).unwrap_err().to_string(), &["colours"]);
}

/// What is no mask by itself becomes one when it is said what means inside.
#[test]
fn masks_are_made_of_labels_depths_and_alpha() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.png");
    let inside = |rule: &Inside| -> Vec<bool> {
        let (mask, _) = convert_mask(&path, rule).unwrap();
        mask.iter().map(|value| *value == 255).collect()
    };
    let deep = ImageBuffer::<Luma<u16>, _>::from_raw(4, 1, vec![0u16, 1, 2, 300]).unwrap();
    DynamicImage::ImageLuma16(deep).save(&path).unwrap();
    assert_eq!(inside(&Inside::Values(vec![1, 300])), [false, true, false, true]);
    assert_eq!(inside(&Inside::Above(1)), [false, false, true, true]);
    let (_, counts) = convert_mask(&path, &Inside::Above(1)).unwrap();
    assert_eq!(
        counts.into_iter().collect::<Vec<_>>(),
        [(0, 1), (1, 1), (2, 1), (300, 1)]
    );
    says(
        &convert_mask(&path, &Inside::Opaque).unwrap_err().to_string(),
        &["no alpha"],
    );
    GrayAlphaImage::from_fn(4, 1, |x, _| LumaA([9, (x * 80) as u8]))
        .save(&path)
        .unwrap();
    assert_eq!(inside(&Inside::Opaque), [false, false, true, true]);
}

#[test]
fn sizes_must_agree() {
    let folder = good();
    disc(8, 12).save(folder.path("masks/c.png")).unwrap();
    let error = read_mask_for(&folder.path("masks/c.png"), &folder.path("images/c.png"), (12, 8)).unwrap_err();
    says(
        &error.to_string(),
        &[
            "masks/c.png is 8x12",
            "images/c.png is 12x8",
            "lies on its side",
            "EXIF",
        ],
    );
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
