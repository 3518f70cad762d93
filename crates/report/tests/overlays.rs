//! Outlines lie where the mask's edge is, in the mask's colour, and nowhere else.

use htl_report::{Colour, MaskSet, ReportError, mask_panels, overlay};

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

#[test]
fn panels_show_what_is_known() {
    let mask = square();
    let titles = |masks| -> Vec<String> {
        mask_panels(&grey(), H, W, masks, 2)
            .unwrap()
            .into_iter()
            .map(|p| p.title)
            .collect()
    };
    assert_eq!(titles(MaskSet::default()), ["Image"]);
    assert_eq!(
        titles(MaskSet {
            dense: Some(&mask),
            ..MaskSet::default()
        }),
        ["Image", "Dense"]
    );
    let full = MaskSet {
        truth: Some(&mask),
        dense: Some(&mask),
        sparse: Some(&mask),
    };
    assert_eq!(titles(full), ["Image", "Truth", "Dense", "Sparse"]);
    assert_eq!(
        mask_panels(&grey(), H, W, full, 2).unwrap(),
        mask_panels(&grey(), H, W, full, 2).unwrap()
    );
}
