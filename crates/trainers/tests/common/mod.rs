//! A small synthetic data folder, and configurations for it.
// Not every test uses all of it.
#![allow(dead_code)]

use std::{fs, path::Path};

use candle_core::Device;
use htl_trainers::{Attention, Dose, Outcome, StopFlag, TrainConfig, TrainError, train};
use image::{GrayImage, Luma, Rgb, RgbImage};

pub const SIDE: u32 = 16;
pub const TRAIN: usize = 8;

/// Dark discs on light skin; the diagnosis is the disc's hue.
pub fn data_folder(root: &Path) {
    fs::create_dir_all(root.join("images")).unwrap();
    fs::create_dir_all(root.join("masks")).unwrap();
    let mut table = String::from("image_id,split,age_approx,sex,anatom_site,dx\n");
    for i in 0..TRAIN + 4 {
        let split = if i < TRAIN {
            "train"
        } else if i < TRAIN + 2 {
            "val"
        } else {
            "test"
        };
        let red = i % 2 == 0;
        table.push_str(&format!(
            "i{i:02},{split},50,female,,{}\n",
            if red { "mel" } else { "nv" }
        ));
        let (cx, cy) = (6 + (i as i32 * 3) % 5, 6 + (i as i32 * 2) % 5);
        let inside = |x: u32, y: u32| (x as i32 - cx).pow(2) + (y as i32 - cy).pow(2) <= 16;
        let colour = if red { [150, 40, 40] } else { [60, 40, 120] };
        let image = RgbImage::from_fn(SIDE, SIDE, |x, y| {
            Rgb(if inside(x, y) { colour } else { [230, 190, 170] })
        });
        let mask = GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
        image.save(root.join(format!("images/i{i:02}.png"))).unwrap();
        mask.save(root.join(format!("masks/i{i:02}.png"))).unwrap();
    }
    fs::write(root.join("metadata.csv"), table).unwrap();
    fs::write(root.join("labelled.csv"), "image_id\ni00\ni01\ni02\ni03\n").unwrap();
    let mut scores = String::from("image_id,setting,fold,disagreement,htl\n");
    (0..TRAIN).for_each(|i| scores.push_str(&format!("i{i:02},,,0.{i},{}\n", u8::from(i >= 6))));
    fs::write(root.join("scores.csv"), scores).unwrap();
}

pub fn config(root: &Path, setting: &str) -> TrainConfig {
    TrainConfig {
        setting: setting.to_owned(),
        data: root.to_owned(),
        size: SIDE as usize,
        width: 2,
        batch: 4,
        image_steps: 48,
        validate_every: 1,
        labelled: (setting == "semi-supervised").then(|| root.join("labelled.csv")),
        ..TrainConfig::default()
    }
}

/// The keys of all settings.
pub fn settings() -> impl Iterator<Item = &'static str> {
    htl_trainers::settings().map(|setting| setting.key)
}

/// The attention of the folder's score table.
pub fn attention(root: &Path) -> Attention {
    Attention::to(root.join("scores.csv"))
}

/// The same in another form; one that makes scores of its own does so every third step of two images.
pub fn attending(root: &Path, form: &str) -> Attention {
    let attention = Attention {
        form: form.into(),
        ..attention(root)
    };
    match form {
        "adaptive" => Attention {
            scores: None,
            dose: Dose::Rank,
            params: [("every".into(), 0.75)].into(),
            ..attention
        },
        _ => attention,
    }
}

/// A training from start to end, or what kept it from that.
pub fn outcome(config: &TrainConfig, out: &Path) -> Result<Outcome, TrainError> {
    train(
        &config.clone().check()?,
        &Device::Cpu,
        out,
        &mut (),
        &StopFlag::default(),
    )
}

/// The history of a training.
pub fn run(config: &TrainConfig, out: &Path) -> Result<Vec<htl_trainers::HistoryRow>, TrainError> {
    Ok(outcome(config, out)?.history().to_vec())
}
