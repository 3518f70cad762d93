//! `dynamics.csv`: right numbers, of the right images and epochs, and the same bytes after an interruption.

mod common;

use std::{collections::BTreeSet, fs, path::Path};

use candle_core::{Device, Tensor};
use common::{TRAIN, config, data_folder, outcome, settings};
use htl_trainers::{
    Dynamics, DynamicsParams, Judgement, Outcome, StopFlag, TrainConfig, judge_classes, judge_masks,
    observe::on_progress, read_dynamics, train,
};
use htl_vocabulary::file;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    masks: Case,
    classes: Case,
}

#[derive(Deserialize)]
struct Case {
    logits: Vec<Vec<f32>>,
    labels: serde_json::Value,
    loss: Vec<f64>,
    margin: Vec<f64>,
    el2n: Vec<f64>,
    correct: Vec<bool>,
}

fn golden() -> Golden {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/dynamics.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

impl Case {
    fn logits(&self) -> Tensor {
        Tensor::new(self.logits.clone(), &Device::Cpu).unwrap()
    }

    #[track_caller]
    fn matches(&self, found: &[Judgement]) {
        assert_eq!(found.len(), self.logits.len());
        for (i, found) in found.iter().enumerate() {
            for (name, found, expected) in [
                ("loss", found.loss, self.loss[i]),
                ("margin", found.margin, self.margin[i]),
                ("el2n", found.el2n, self.el2n[i]),
            ] {
                let scale = expected.abs().max(1e-3);
                assert!(
                    (found - expected).abs() < 1e-9 * scale,
                    "{name} of {i}: {found}, expected {expected}"
                );
            }
            assert_eq!(found.correct, self.correct[i], "correct of {i}");
        }
    }
}

#[test]
fn judgements_of_masks_match_scikit_learn() {
    let case = golden().masks;
    let labels: Vec<Vec<f32>> = serde_json::from_value(case.labels.clone()).unwrap();
    let labels = Tensor::new(labels, &Device::Cpu).unwrap();
    case.matches(&judge_masks(&case.logits(), &labels).unwrap());
}

#[test]
fn judgements_of_classes_match_scikit_learn() {
    let case = golden().classes;
    let labels: Vec<u32> = serde_json::from_value(case.labels.clone()).unwrap();
    let labels = Tensor::new(labels, &Device::Cpu).unwrap();
    case.matches(&judge_classes(&case.logits(), &labels).unwrap());
}

#[test]
fn labels_that_do_not_fit_are_refused() {
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    let said = judge_masks(&zeros(&[2, 1, 4, 4]), &zeros(&[2, 4, 4]))
        .unwrap_err()
        .to_string();
    assert!(said.contains("[2, 1, 4, 4]") && said.contains("[2, 4, 4]"), "{said}");
    let label = Tensor::new(&[3u32], &Device::Cpu).unwrap();
    assert!(judge_classes(&zeros(&[1, 3]), &label).is_err());
    assert!(judge_classes(&zeros(&[2, 4]), &label).is_err());
    assert!(judge_classes(&zeros(&[1, 1]), &label).is_err());
    let judged = judge_masks(&zeros(&[1, 4]), &zeros(&[1, 4])).unwrap();
    assert!(
        Dynamics::new(["a", "b"])
            .add(1, &judged)
            .unwrap_err()
            .to_string()
            .contains("1 judgements of 2")
    );
    let broken = judge_masks(&(zeros(&[1, 4]) / 0.0).unwrap(), &zeros(&[1, 4])).unwrap();
    assert!(
        Dynamics::new(["a"])
            .add(3, &broken)
            .unwrap_err()
            .to_string()
            .contains("`a`")
    );
}

fn with_dynamics(root: &Path, setting: &str, every: usize) -> TrainConfig {
    TrainConfig {
        dynamics: Some(DynamicsParams { every }),
        ..config(root, setting)
    }
}

/// Every setting judges the images whose labels it uses, every so many epochs and at the end; the network does not change by being
/// looked at.
#[test]
fn every_setting_writes_its_dynamics() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    for setting in settings() {
        let out = place.path().join(setting);
        let _ = outcome(&with_dynamics(place.path(), setting, 2), &out).unwrap();
        let rows = read_dynamics(&out.join(file::DYNAMICS)).unwrap();
        // 12 steps of 4: 6 epochs of 8 images, 12 of 4.
        let (images, epochs) = if setting == "semi-supervised" {
            (4, 12)
        } else {
            (TRAIN, 6)
        };
        let judged: BTreeSet<usize> = rows.iter().map(|row| row.epoch).collect();
        assert_eq!(judged, (1..=epochs / 2).map(|e| 2 * e).collect(), "{setting}");
        assert_eq!(rows.len(), images * epochs / 2, "{setting}");
        let first: Vec<&str> = rows.iter().take(images).map(|row| row.image_id.as_str()).collect();
        assert_eq!(
            first,
            (0..images).map(|i| format!("i{i:02}")).collect::<Vec<_>>(),
            "{setting}"
        );
        let mean = |epoch| {
            let of = rows.iter().filter(|row| row.epoch == epoch);
            of.map(|row| row.loss).sum::<f64>() / images as f64
        };
        assert!(mean(epochs) < mean(2), "{setting}: {} then {}", mean(2), mean(epochs));

        let plain = place.path().join(format!("{setting}-plain"));
        let _ = outcome(&config(place.path(), setting), &plain).unwrap();
        let history = |out: &Path| fs::read(out.join(file::HISTORY)).unwrap();
        assert_eq!(history(&plain), history(&out), "{setting}");
        assert!(!plain.join(file::DYNAMICS).exists());
    }
}

/// The last epoch is judged whatever the interval.
#[test]
fn the_last_epoch_is_always_judged() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let out = place.path().join("out");
    let _ = outcome(&with_dynamics(place.path(), "supervised", 4), &out).unwrap();
    let rows = read_dynamics(&out.join(file::DYNAMICS)).unwrap();
    let judged: BTreeSet<usize> = rows.iter().map(|row| row.epoch).collect();
    assert_eq!(judged, BTreeSet::from([4, 6]));
}

/// Stopped in the middle of an epoch and continued, or deleted afterwards: the same bytes.
#[test]
fn an_interruption_leaves_no_trace() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    for setting in ["supervised", "weakly-supervised"] {
        let config = with_dynamics(place.path(), setting, 1);
        let [whole, stopped] = ["whole", "stopped"].map(|name| place.path().join(format!("{setting}-{name}")));
        let _ = outcome(&config, &whole).unwrap();
        for step in [1, 5, 6, 11] {
            let stop = StopFlag::default();
            let mut observer = on_progress(|done, _| {
                if done == step {
                    stop.stop();
                }
            });
            let config = config.clone().check().unwrap();
            let end = train(&config, &Device::Cpu, &stopped, &mut observer, &stop).unwrap();
            assert!(matches!(end, Outcome::Stopped { .. }));
        }
        let part = fs::read(stopped.join(file::DYNAMICS)).unwrap();
        let _ = outcome(&config, &stopped).unwrap();
        let bytes = |out: &Path| [file::DYNAMICS, file::CHECKPOINT].map(|name| fs::read(out.join(name)).unwrap());
        assert_eq!(bytes(&stopped), bytes(&whole));
        assert!(bytes(&whole)[0].starts_with(&part) && part.len() < bytes(&whole)[0].len());

        fs::write(whole.join(file::DYNAMICS), "nonsense").unwrap();
        assert!(matches!(outcome(&config, &whole).unwrap(), Outcome::AlreadyFinished(_)));
        assert_eq!(bytes(&whole), bytes(&stopped));
    }
}
