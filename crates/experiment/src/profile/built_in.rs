//! The profiles that come with the program.

use std::collections::BTreeMap;

use htl_vocabulary::results::Contrast;
use htl_vocabulary::{arm, setting};

use super::{Precision, Profile, global_magnitude, plain, unet};

/// Names of the built-in profiles, smallest first.
pub const PROFILES: [&str; 5] = ["tiny", "smoke", "embedded", "embedded-pretrained", "isic2018"];

/// The profile of that name.
pub(super) fn built_in(name: &str) -> Option<Profile> {
    match name {
        "tiny" => Some(tiny()),
        "smoke" => Some(smoke()),
        "embedded" => Some(embedded()),
        "embedded-pretrained" => Some(embedded_pretrained()),
        "isic2018" => Some(isic2018()),
        _ => None,
    }
}

/// HTL attention against the strongest of its controls, in every setting.
fn against_strongest() -> BTreeMap<String, Contrast> {
    let settings = setting::SETTINGS.iter();
    settings
        .map(|setting| {
            let contrast = Contrast::new(arm::HTL.key, setting.strongest_control.key);
            (setting.key.to_owned(), contrast)
        })
        .collect()
}

fn embedded() -> Profile {
    Profile {
        name: "embedded".into(),
        size: 64,
        width: 8,
        encoder: plain(),
        decoder: unet(),
        pretrained: None,
        pretrained_sha256: None,
        recipe: toml::Table::new(),
        pruning: global_magnitude(),
        batch: 16,
        image_steps: 7200,
        fine_tune_steps: 1500,
        learning_rate: 3e-3,
        fine_tune_rate: 2e-3,
        supervised_seeds: 5,
        cross_fit_seeds: 4,
        semi_seeds: 3,
        weak_seeds: 5,
        label_free_seeds: 5,
        candidates: vec![0.5, 0.6, 0.7, 0.8, 0.9, 0.95],
        tolerance: 0.02,
        curve: vec![0.3, 0.5, 0.6, 0.7, 0.8, 0.9],
        top: 0.2,
        attention_weight: 20.,
        labelled_share: 0.2,
        validate_every: 5,
        precision: Precision::F32,
        subset: None,
        own_data_only: false,
        primary: against_strongest(),
    }
}

/// The whole method on an encoder that knows ImageNet. Fewer images and seeds than `embedded`: an image costs five times as much.
fn embedded_pretrained() -> Profile {
    Profile {
        name: "embedded-pretrained".into(),
        size: 96,
        encoder: "efficientnet-lite0".into(),
        decoder: "fpn".into(),
        pretrained: Some("lite0".into()),
        batch: 8,
        image_steps: 960,
        fine_tune_steps: 320,
        supervised_seeds: 3,
        cross_fit_seeds: 2,
        semi_seeds: 3,
        weak_seeds: 3,
        label_free_seeds: 3,
        // From a half on, nothing of this encoder is left before fine-tuning.
        candidates: vec![0.2, 0.4, 0.6],
        curve: vec![0.1, 0.2, 0.3, 0.4],
        ..embedded()
    }
}

fn smoke() -> Profile {
    Profile {
        name: "smoke".into(),
        size: 48,
        batch: 8,
        image_steps: 240,
        fine_tune_steps: 64,
        learning_rate: 1e-3,
        fine_tune_rate: 1e-3,
        supervised_seeds: 1,
        cross_fit_seeds: 1,
        semi_seeds: 1,
        weak_seeds: 1,
        label_free_seeds: 1,
        candidates: vec![0.5, 0.8],
        ..embedded()
    }
}

fn tiny() -> Profile {
    Profile {
        name: "tiny".into(),
        size: 16,
        width: 4,
        // Enough to find something: of networks that find nothing, nobody is harder than anybody.
        image_steps: 640,
        fine_tune_steps: 160,
        learning_rate: 3e-3,
        fine_tune_rate: 3e-3,
        candidates: vec![0.5],
        curve: vec![0.3, 0.6],
        subset: Some([16, 4, 6]),
        ..smoke()
    }
}

fn isic2018() -> Profile {
    Profile {
        name: "isic2018".into(),
        size: 192,
        width: 24,
        batch: 32,
        image_steps: 53_760,
        fine_tune_steps: 13_440,
        learning_rate: 1e-3,
        fine_tune_rate: 5e-4,
        semi_seeds: 5,
        own_data_only: true,
        ..embedded()
    }
}
