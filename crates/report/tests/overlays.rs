//! Outlines lie where the mask's edge is, in the mask's colour, and nowhere else.

use htl_report::{Colour, Outline, PanelMaker, Picture, ReportError, overlay};

const H: usize = 20;
const W: usize = 30;

fn grey() -> Vec<u8> {
    vec![128; H * W * 3]
}

/// Rows 5..15 and columns 10..20.
fn square() -> Vec<u8> {
    (0..H * W)
        .map(|i| u8::from((5..15).contains(&(i / W)) && (10..20).contains(&(i % W))))
        .collect()
}

fn decode(png: &[u8]) -> image::RgbImage {
    image::load_from_memory_with_format(png, image::ImageFormat::Png)
        .unwrap()
        .to_rgb8()
}

#[test]
fn outlines_follow_the_edge() {
    let mask = square();
    let drawn = decode(&overlay(&grey(), H, W, &[(&mask, Colour::DENSE)], 4).unwrap());
    assert_eq!(drawn.dimensions(), (120, 80));
    // The edge at column 10 of the mask is at x = 40 of the picture; inside and outside stay grey.
    let at = |x: u32, y: u32| drawn.get_pixel(x, y).0;
    for (x, y) in [(40, 40), (79, 40), (60, 20), (60, 59)] {
        let [r, g, b] = at(x, y);
        assert!(b > 150 && b > r + 60 && g > r + 40, "({x}, {y}): {:?}", at(x, y));
    }
    for (x, y) in [(60, 40), (5, 5), (110, 70)] {
        assert_eq!(at(x, y), [128, 128, 128], "({x}, {y})");
    }
    let dark = drawn.pixels().filter(|p| p.0.iter().all(|c| *c < 110)).count();
    assert!(dark > 100, "a dark edge keeps the line visible on light skin: {dark}");
}

#[test]
fn an_empty_mask_draws_nothing_and_a_full_one_runs_along_the_border() {
    let plain = overlay(&grey(), H, W, &[], 1).unwrap();
    assert_eq!(
        decode(&plain).into_raw(),
        grey(),
        "scale 1 without masks is the image itself"
    );
    assert_eq!(
        plain,
        overlay(&grey(), H, W, &[(&vec![0; H * W], Colour::TRUTH)], 1).unwrap()
    );
    let full = decode(&overlay(&grey(), H, W, &[(&vec![255; H * W], Colour::TRUTH)], 4).unwrap());
    for (x, y) in [(60, 0), (60, 79), (0, 40), (119, 40)] {
        assert!(
            full.get_pixel(x, y).0[0] > 180,
            "({x}, {y}): {:?}",
            full.get_pixel(x, y)
        );
    }
    assert_eq!(full.get_pixel(60, 40).0, [128; 3]);
}

#[test]
fn a_single_pixel_and_a_saddle_are_outlined() {
    for lesion in [
        vec![(7, 9)],
        vec![(7, 9), (8, 10)],
        vec![(7, 10), (8, 9)],
        vec![(0, 0)],
        vec![(H - 1, W - 1)],
    ] {
        let mut mask = vec![0; H * W];
        for (r, c) in &lesion {
            mask[r * W + c] = 1;
        }
        for scale in [1, 3, 16] {
            let drawn = decode(&overlay(&grey(), H, W, &[(&mask, Colour::SPARSE)], scale).unwrap());
            let yellow = drawn
                .pixels()
                .filter(|p| i32::from(p.0[0]) - i32::from(p.0[2]) > 60)
                .count();
            assert!(yellow > 0, "{lesion:?} at {scale}");
        }
    }
}

#[test]
fn wrong_buffers_are_refused() {
    let mask = square();
    let message = |r: Result<Vec<u8>, ReportError>| r.unwrap_err().to_string();
    assert_eq!(
        message(overlay(&[0; 10], H, W, &[], 1)),
        "image of 20 x 30 pixels needs 1800 bytes, found 10"
    );
    assert_eq!(
        message(overlay(&grey(), H, W, &[(&mask[1..], Colour::DENSE)], 1)),
        "mask of 20 x 30 pixels needs 600 bytes, found 599"
    );
    for scale in [0, 17] {
        assert!(message(overlay(&grey(), H, W, &[], scale)).contains("from 1 to 16"));
    }
    assert!(overlay(&[], 0, 0, &[], 1).is_err());
    assert!(overlay(&[], usize::MAX, usize::MAX, &[], 1).is_err());
}

/// One pixel high or wide, where a line is wider than the picture.
#[test]
fn the_narrowest_images_are_drawn() {
    for (height, width) in [(1, 1), (1, 16), (64, 1), (2, 64), (1, 300)] {
        for scale in [1, 2, 16] {
            let n = height * width;
            for mask in [vec![1; n], (0..n).map(|i| u8::from(i % 3 == 1)).collect()] {
                let png = overlay(&vec![128; 3 * n], height, width, &[(&mask, Colour::DENSE)], scale).unwrap();
                let size = (
                    u32::try_from(width * scale).unwrap(),
                    u32::try_from(height * scale).unwrap(),
                );
                assert_eq!(decode(&png).dimensions(), size);
            }
        }
    }
}

/// Golden: what is drawn. Whoever changes it raises `DRAWING_VERSION` in overlay.rs, so that no run shows pictures that it
/// kept of before, and writes it anew with `UPDATE_GOLDEN=1 cargo test -p htl-report`.
#[test]
fn the_drawing_is_that_of_its_version() {
    let rgb: Vec<u8> = (0..H * W * 3).map(|i| (40 + 5 * (i % 31)) as u8).collect();
    let (dense, sparse) = (
        square(),
        (0..H * W).map(|i| u8::from(i % W > i / W)).collect::<Vec<_>>(),
    );
    let masks: [(&[u8], Colour); 2] = [(&dense, Colour::DENSE), (&sparse, Colour::SPARSE)];
    let png = overlay(&rgb, H, W, &masks, 4).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixture/overlay.png");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &png).unwrap();
    }
    let (drawn, golden) = (decode(&png), decode(&std::fs::read(path).unwrap()));
    // Rounding of the last bit may differ between machines.
    let apart = drawn
        .iter()
        .zip(golden.iter())
        .filter(|(a, b)| a.abs_diff(**b) > 1)
        .count();
    assert!(
        drawn.dimensions() == golden.dimensions() && apart == 0,
        "{apart} bytes differ"
    );
}

fn picture(rgb: &[u8]) -> Picture<'_> {
    Picture {
        rgb,
        height: H,
        width: W,
        scale: 2,
    }
}

fn kept(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn outline(mask: &[u8], colour: Colour) -> Outline<'_> {
    Outline {
        name: "dense",
        mask,
        colour,
    }
}

/// A kept panel is taken as it is, and another made for whatever it is made of differently.
#[test]
fn panels_are_drawn_once() {
    let folder = tempfile::tempdir().unwrap();
    let (grey, mask) = (grey(), square());
    let first = PanelMaker::with_cache(folder.path().join("panels"));
    let panel = first
        .panel("dense", picture(&grey), &[outline(&mask, Colour::DENSE)])
        .unwrap();
    let drawn = PanelMaker::without_cache()
        .panel("dense", picture(&grey), &[outline(&mask, Colour::DENSE)])
        .unwrap();
    assert_eq!(panel, drawn);
    let names = kept(&folder.path().join("panels"));
    assert_eq!(names.len(), 1);

    // Marked, to be told from a new drawing.
    let path = folder.path().join("panels").join(&names[0]);
    let mut marked = std::fs::read(&path).unwrap();
    marked[40] ^= 1;
    std::fs::write(&path, &marked).unwrap();
    let again = PanelMaker::with_cache(folder.path().join("panels"));
    assert_eq!(
        again
            .panel("dense", picture(&grey), &[outline(&mask, Colour::DENSE)])
            .unwrap()
            .png,
        marked
    );

    let mut other = grey.clone();
    other[0] = 1;
    again
        .panel("dense", picture(&other), &[outline(&mask, Colour::DENSE)])
        .unwrap();
    again
        .panel("dense", picture(&grey), &[outline(&mask, Colour::SPARSE)])
        .unwrap();
    again.panel("dense", picture(&grey), &[]).unwrap();
    let wider = Picture {
        scale: 3,
        ..picture(&grey)
    };
    again.panel("dense", wider, &[outline(&mask, Colour::DENSE)]).unwrap();
    assert_eq!(kept(&folder.path().join("panels")).len(), 5);
}

/// Half a file is drawn again; what is no longer shown goes, and nothing else.
#[test]
fn the_folder_of_panels_is_kept_tidy() {
    let folder = tempfile::tempdir().unwrap();
    let grey = grey();
    let first = PanelMaker::with_cache(folder.path());
    let whole = first.panel("image", picture(&grey), &[]).unwrap();
    let old = kept(folder.path());
    std::fs::write(folder.path().join(&old[0]), &whole.png[..20]).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let second = PanelMaker::with_cache(folder.path());
    assert_eq!(second.panel("image", picture(&grey), &[]).unwrap(), whole);

    let third = PanelMaker::with_cache(folder.path());
    third
        .panel("image", picture(&grey), &[outline(&square(), Colour::DENSE)])
        .unwrap();
    third.delete_unused().unwrap();
    let left = kept(folder.path());
    assert!(
        left.len() == 2 && left.contains(&"notes.txt".to_owned()) && !left.contains(&old[0]),
        "{left:?}"
    );
}
