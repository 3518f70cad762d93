//! Trainings on small synthetic folders: every setting learns, resumes bit for bit, and refuses what it cannot use.

use std::{fs, path::Path};

use candle_core::{Device, Tensor};
use htl_models::Checkpoint;
use htl_ops::Precision;
use htl_trainers::{
    AttendedSet, Attention, AttentionForm, BoxTargets, Boxes, Setting, Suspects, TrainConfig, TrainError, names, train,
};
use image::{GrayImage, Luma, Rgb, RgbImage};

const SIDE: u32 = 16;
const TRAIN: usize = 8;

/// Dark discs on light skin; the diagnosis is the disc's hue.
fn data_folder(root: &Path) {
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

fn config(root: &Path, setting: Setting) -> TrainConfig {
    TrainConfig {
        setting,
        data: root.to_owned(),
        size: SIDE as usize,
        width: 2,
        batch: 4,
        image_steps: 48,
        validate_every: 1,
        labelled: (setting == Setting::SemiSupervised).then(|| root.join("labelled.csv")),
        ..TrainConfig::default()
    }
}

fn run(config: &TrainConfig, out: &Path) -> Result<Vec<htl_trainers::HistoryRow>, TrainError> {
    train(&config.clone().check()?, &Device::Cpu, out, &mut |_, _| ())
}

const SETTINGS: [Setting; 4] = [
    Setting::Supervised,
    Setting::SemiSupervised,
    Setting::WeaklySupervised,
    Setting::WeaklySupervisedBoxes,
];

#[test]
fn an_interrupted_training_ends_with_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    for setting in SETTINGS {
        let config = TrainConfig {
            attention: Some(Attention {
                scores: place.path().join("scores.csv"),
                set: AttendedSet::Htl,
                form: AttentionForm::Sampling,
                weight: 2.0,
                suspects: Suspects::Keep,
            }),
            ..config(place.path(), setting)
        };
        let (whole, half) = (
            place.path().join(format!("{setting:?}")),
            place.path().join(format!("{setting:?}-half")),
        );
        fs::create_dir_all(&half).unwrap();
        let valid = config.clone().check().unwrap();
        // What a kill after the seventh step would leave behind.
        train(&valid, &Device::Cpu, &whole, &mut |done, _| {
            if done == 7 {
                for name in [names::STATE, names::HISTORY, names::CONFIG] {
                    fs::copy(whole.join(name), half.join(name)).unwrap();
                }
            }
        })
        .unwrap();
        let mut steps = 0;
        train(&valid, &Device::Cpu, &half, &mut |_, _| steps += 1).unwrap();
        assert!(steps < valid.steps(), "{setting:?} started again from the beginning");
        for name in [names::CHECKPOINT, names::HISTORY] {
            assert!(
                fs::read(whole.join(name)).unwrap() == fs::read(half.join(name)).unwrap(),
                "{setting:?}: {name}"
            );
        }
    }
}

#[test]
fn losses_fall_in_every_setting() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    for setting in SETTINGS {
        let config = TrainConfig {
            image_steps: 320,
            ..config(place.path(), setting)
        };
        let rows = run(&config, &place.path().join(format!("{setting:?}"))).unwrap();
        let (first, last) = (rows.first().unwrap(), rows.last().unwrap());
        assert!(
            last.train_loss < 0.9 * first.train_loss,
            "{setting:?}: {} to {}",
            first.train_loss,
            last.train_loss
        );
        assert!(last.val_quality.is_some());
    }
}

/// Attention and its control change the training, each in its own way; an attention of weight 1 changes nothing.
#[test]
fn attention_changes_what_is_learnt() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let base = config(place.path(), Setting::Supervised);
    let with = |set, form, weight| {
        let scores = place.path().join("scores.csv");
        let attention = Attention {
            scores,
            set,
            form,
            weight,
            suspects: Suspects::Keep,
        };
        TrainConfig {
            attention: Some(attention),
            ..base.clone()
        }
    };
    let loss = |config: &TrainConfig, name: &str| {
        run(config, &place.path().join(name))
            .unwrap()
            .last()
            .unwrap()
            .train_loss
    };
    let plain = loss(&base, "plain");
    let htl = loss(&with(AttendedSet::Htl, AttentionForm::Loss, 5.0), "htl");
    let random = loss(&with(AttendedSet::Random, AttentionForm::Loss, 5.0), "random");
    let sampled = loss(&with(AttendedSet::Htl, AttentionForm::Sampling, 5.0), "sampled");
    assert!(plain != htl && htl != random && sampled != htl);
    assert_eq!(plain, loss(&with(AttendedSet::Htl, AttentionForm::Loss, 1.0), "one"));
}

#[test]
fn box_targets_differ() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let last = |targets| {
        let boxes = Boxes { targets };
        let config = TrainConfig {
            boxes,
            ..config(place.path(), Setting::WeaklySupervisedBoxes)
        };
        run(&config, &place.path().join(format!("{targets:?}")))
            .unwrap()
            .last()
            .unwrap()
            .train_loss
    };
    assert!(last(BoxTargets::FilledBox) != last(BoxTargets::Ellipse));
}

#[test]
fn errors_name_what_is_wrong() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let out = place.path().join("out");
    fs::write(place.path().join("other.csv"), "image_id\nnobody\n").unwrap();
    let unknown = TrainConfig {
        labelled: Some(place.path().join("other.csv")),
        ..config(place.path(), Setting::Supervised)
    };
    assert!(run(&unknown, &out).unwrap_err().to_string().contains("`nobody`"));

    let dense = config(place.path(), Setting::Supervised);
    run(&dense, &place.path().join("dense")).unwrap();
    let other = TrainConfig {
        init: Some(place.path().join("dense").join(names::CHECKPOINT)),
        ..config(place.path(), Setting::WeaklySupervised)
    };
    assert!(matches!(
        run(&other, &out).unwrap_err(),
        TrainError::OtherNetwork { .. }
    ));

    let changed = TrainConfig { seed: 1, ..dense };
    assert!(matches!(
        run(&changed, &place.path().join("dense")).unwrap_err(),
        TrainError::OtherRun { .. }
    ));
}

/// A training that diverges says at which step it did, not where that was noticed; a precision that the device lacks is
/// refused before anything is written.
#[test]
fn divergence_and_precision_are_reported() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let dense = config(place.path(), Setting::Supervised);
    run(&dense, &place.path().join("dense")).unwrap();
    let path = place.path().join("dense").join(names::CHECKPOINT);
    let (checkpoint, network) = Checkpoint::load(&path, &Device::Cpu).unwrap();
    let bias = network.parameters().get("head.bias").unwrap();
    bias.set(&Tensor::new(&[f32::NAN], &Device::Cpu).unwrap()).unwrap();
    let bad = place.path().join("bad.safetensors");
    checkpoint.save(&network, &bad).unwrap();
    let diverging = TrainConfig {
        init: Some(bad),
        batch: 1,
        ..dense.clone()
    };
    let found = run(&diverging, &place.path().join("diverging")).unwrap_err();
    assert!(matches!(found, TrainError::Diverged { step: 0, .. }), "{found}");

    let half = TrainConfig {
        precision: Precision::Bf16,
        ..dense
    };
    let out = place.path().join("half");
    let said = run(&half, &out).unwrap_err().to_string();
    assert!(said.contains("bf16 needs --device cuda"), "{said}");
    assert!(!out.exists());
}
