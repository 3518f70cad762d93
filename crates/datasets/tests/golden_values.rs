//! CIELAB, ITA and lesion attributes against scikit-image and scipy (`golden/make.py`).

use std::path::{Path, PathBuf};

use approx::assert_abs_diff_eq;
use htl_datasets::{attributes, delta_e_76, lab_from_srgb, read_mask, read_rgb};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    rgb: Vec<[u8; 3]>,
    lab: Vec<[f64; 3]>,
    delta_e_to_next: Vec<f64>,
    attributes: Vec<Attributes>,
}

#[derive(Deserialize)]
struct Attributes {
    image_id: String,
    area_fraction: f64,
    delta_e: Option<f64>,
    ita_degrees: Option<f64>,
    touches_border: bool,
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).into()
}

fn golden() -> Golden {
    serde_json::from_str(&std::fs::read_to_string(here().join("tests/golden/golden.json")).unwrap()).unwrap()
}

#[test]
fn lab_is_that_of_scikit_image() {
    let golden = golden();
    let lab: Vec<[f64; 3]> = golden.rgb.iter().map(|rgb| lab_from_srgb(*rgb)).collect();
    for (found, expected) in lab.iter().flatten().zip(golden.lab.iter().flatten()) {
        assert_abs_diff_eq!(found, expected, epsilon = 1e-9);
    }
    for (index, expected) in golden.delta_e_to_next.iter().enumerate() {
        assert_abs_diff_eq!(
            delta_e_76(lab[index], lab[(index + 1) % lab.len()]),
            expected,
            epsilon = 1e-8
        );
    }
}

#[test]
fn attributes_of_real_lesions_are_those_computed_with_scipy() {
    let embedded = here().join("../../data-manifest/embedded");
    if !embedded.exists() {
        eprintln!("skipped: the embedded data are not beside this crate");
        return;
    }
    for expected in golden().attributes {
        let id = &expected.image_id;
        let rgb = read_rgb(&embedded.join(format!("images/{id}.jpg"))).unwrap();
        let found = attributes(&rgb, &read_mask(&embedded.join(format!("masks/{id}.png"))).unwrap()).unwrap();
        assert_abs_diff_eq!(found.area_fraction, expected.area_fraction, epsilon = 1e-12);
        assert_eq!(found.touches_border, expected.touches_border, "{id}");
        assert_eq!(found.delta_e.is_some(), expected.delta_e.is_some(), "{id}");
        // JPEG decoders differ by a level or two in single pixels.
        if let (Some(found), Some(expected)) = (found.delta_e, expected.delta_e) {
            assert_abs_diff_eq!(found, expected, epsilon = 0.1);
        }
        if let (Some(found), Some(expected)) = (found.ita_degrees, expected.ita_degrees) {
            assert_abs_diff_eq!(found, expected, epsilon = 0.5);
        }
    }
}
