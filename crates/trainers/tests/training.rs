//! Trainings on small synthetic folders: every setting learns, resumes bit for bit, and refuses what it cannot use.

mod common;

use std::fs;

use candle_core::{Device, Tensor};
use common::{attending, attention, config, data_folder, run, settings};
use htl_models::{Checkpoint, Network, PruningRecord};
use htl_ops::Precision;
use htl_trainers::{
    AttendedSet, Attention, BoxTargets, Boxes, LeaveOut, PixelRule, PseudoMasks, StopFlag, TrainConfig, TrainError,
    attention_forms, network_sparsity, observe::on_progress, train,
};
use htl_vocabulary::file;

#[test]
fn an_interrupted_training_ends_with_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    for setting in settings() {
        let config = TrainConfig {
            attention: Some(attention(place.path())),
            ..config(place.path(), setting)
        };
        let (whole, half) = (place.path().join(setting), place.path().join(format!("{setting}-half")));
        fs::create_dir_all(&half).unwrap();
        let valid = config.clone().check().unwrap();
        // What a kill after the seventh step would leave behind.
        let mut kill = on_progress(|done, _| {
            if done == 7 {
                for name in [file::STATE, file::HISTORY, file::CONFIG] {
                    fs::copy(whole.join(name), half.join(name)).unwrap();
                }
            }
        });
        let never = StopFlag::default();
        let _ = train(&valid, &Device::Cpu, &whole, &mut kill, &never).unwrap();
        let mut steps = 0;
        let mut count = on_progress(|_, _| steps += 1);
        let _ = train(&valid, &Device::Cpu, &half, &mut count, &never).unwrap();
        drop(count);
        assert!(steps < valid.steps(), "{setting} started again from the beginning");
        for name in [file::CHECKPOINT, file::HISTORY] {
            assert!(
                fs::read(whole.join(name)).unwrap() == fs::read(half.join(name)).unwrap(),
                "{setting}: {name}"
            );
        }
    }
}

#[test]
fn losses_fall_in_every_setting() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    for setting in settings() {
        let config = TrainConfig {
            image_steps: 320,
            ..config(place.path(), setting)
        };
        let rows = run(&config, &place.path().join(setting)).unwrap();
        let (first, last) = (rows.first().unwrap(), rows.last().unwrap());
        assert!(
            last.train_loss < 0.9 * first.train_loss,
            "{setting}: {} to {}",
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
    let base = config(place.path(), "supervised");
    let with = |set, form: &str, weight| {
        let attention = Attention {
            set,
            weight,
            ..attending(place.path(), form)
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
    let htl = loss(&with(AttendedSet::Htl, "loss", 5.0), "htl");
    let random = loss(&with(AttendedSet::Random, "loss", 5.0), "random");
    let sampled = loss(&with(AttendedSet::Htl, "sampling", 5.0), "sampled");
    assert!(plain != htl && htl != random && sampled != htl);
    for (form, _) in attention_forms() {
        assert!(
            loss(&with(AttendedSet::Htl, form, 3.0), form) != plain,
            "{form} changes nothing"
        );
    }
    assert_eq!(plain, loss(&with(AttendedSet::Htl, "loss", 1.0), "one"));
}

/// Only trainings with a target map for every image score while they train; the others say so.
#[test]
fn adaptive_attention_needs_masks() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    for setting in settings() {
        let config = TrainConfig {
            attention: Some(attending(place.path(), "adaptive")),
            ..config(place.path(), setting)
        };
        let trained = run(&config, &place.path().join(setting));
        match trained {
            Ok(_) => assert!(
                !["semi-supervised", "weakly-supervised"].contains(&setting),
                "{setting}"
            ),
            Err(error) => assert!(error.to_string().contains("adaptive"), "{setting}: {error}"),
        }
    }
}

#[test]
fn box_targets_differ() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let last = |targets| {
        let boxes = Boxes { targets };
        let config = TrainConfig {
            boxes,
            ..config(place.path(), "weakly-supervised-boxes")
        };
        run(&config, &place.path().join(format!("{targets:?}")))
            .unwrap()
            .last()
            .unwrap()
            .train_loss
    };
    assert!(last(BoxTargets::FilledBox) != last(BoxTargets::Ellipse));
}

/// Without a label anywhere a network learns what colours say, and pixels and images can be left out.
#[test]
fn label_free_trainings_need_no_label() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    fs::remove_dir_all(place.path().join("masks")).unwrap();
    let last = |pseudo: PseudoMasks, out: &str| {
        let config = TrainConfig {
            pseudo,
            ..config(place.path(), "label-free")
        };
        let history = run(&config, &place.path().join(out)).unwrap();
        let last = history.last().unwrap();
        assert!(last.val_quality.is_some());
        last.train_loss
    };
    let plain = last(PseudoMasks::default(), "plain");
    let certain = PseudoMasks {
        pixels: PixelRule::Certain,
        ..PseudoMasks::default()
    };
    assert!(plain.is_finite() && last(certain, "certain") != plain);
    let fewer = PseudoMasks {
        leave_out: Some(LeaveOut {
            share: 0.3,
            by: "random".into(),
            scores: None,
        }),
        ..PseudoMasks::default()
    };
    assert!(last(fewer, "fewer") != plain);
    let none = TrainConfig {
        pseudo: PseudoMasks {
            leave_out: Some(LeaveOut {
                share: 1.0,
                by: "random".into(),
                scores: None,
            }),
            ..PseudoMasks::default()
        },
        ..config(place.path(), "label-free")
    };
    assert!(none.check().unwrap_err().to_string().contains("pseudo.leave_out.share"));
}

#[test]
fn errors_name_what_is_wrong() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let out = place.path().join("out");
    fs::write(place.path().join("other.csv"), "image_id\nnobody\n").unwrap();
    let unknown = TrainConfig {
        labelled: Some(place.path().join("other.csv")),
        ..config(place.path(), "supervised")
    };
    assert!(run(&unknown, &out).unwrap_err().to_string().contains("`nobody`"));

    let dense = config(place.path(), "supervised");
    run(&dense, &place.path().join("dense")).unwrap();
    let other = TrainConfig {
        init: Some(place.path().join("dense").join(file::CHECKPOINT)),
        ..config(place.path(), "weakly-supervised")
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
    let dense = config(place.path(), "supervised");
    run(&dense, &place.path().join("dense")).unwrap();
    let path = place.path().join("dense").join(file::CHECKPOINT);
    let (checkpoint, network) = Checkpoint::load(&path, &Device::Cpu).unwrap();
    let bias = network.parameters().get("head.bias").unwrap();
    // Finite, but its loss is not.
    bias.set(&Tensor::new(&[f32::MAX], &Device::Cpu).unwrap()).unwrap();
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

/// A narrowed version of the configured network is trained as it is, in every setting that can begin with one; what it does
/// without is still recorded. Narrowed or not, another network is refused.
#[test]
fn a_narrowed_network_is_trained_on() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let small = place.path().join("small.safetensors");
    for setting in ["supervised", "weakly-supervised-boxes"] {
        let config = config(place.path(), setting);
        let dense = place.path().join(format!("dense-{setting}"));
        run(&config, &dense).unwrap();
        let (checkpoint, network) = Checkpoint::load(&dense.join(file::CHECKPOINT), &Device::Cpu).unwrap();
        let groups = network.graph().channel_groups();
        let removed: Vec<_> = groups
            .iter()
            .filter(|group| group.channels > 1)
            .map(|group| (group, &[0][..]))
            .collect();
        let narrowed = network.without_channels(&removed).unwrap();
        let checkpoint = Checkpoint {
            architecture: narrowed.architecture().clone(),
            pruning: Some(PruningRecord {
                method: "structured-l2".into(),
                sparsity: network_sparsity(&narrowed).unwrap(),
            }),
            ..checkpoint
        };
        checkpoint.save(&narrowed, &small).unwrap();
        let from_small = TrainConfig {
            init: Some(small.clone()),
            ..config.clone()
        };
        let out = place.path().join(format!("tuned-{setting}"));
        run(&from_small, &out).unwrap();
        let (tuned, trained) = Checkpoint::load(&out.join(file::CHECKPOINT), &Device::Cpu).unwrap();
        assert_eq!(tuned.architecture, checkpoint.architecture, "{setting}");
        let [before, after] = [&checkpoint, &tuned].map(|of| of.pruning.as_ref().unwrap().sparsity);
        assert!(
            before > 0.2 && (after - before).abs() < 1e-3,
            "{setting}: {before} and {after}"
        );
        let first = |network: &Network| {
            let (name, var) = network.parameters().trainable()[0].clone();
            (name, var.flatten_all().unwrap().to_vec1::<f32>().unwrap())
        };
        assert_ne!(first(&narrowed), first(&trained), "{setting} trained nothing");
        let other = TrainConfig {
            width: config.width + 1,
            ..from_small
        };
        let error = run(&other, &place.path().join("other")).unwrap_err();
        assert!(matches!(error, TrainError::OtherNetwork { .. }), "{error}");
        assert!(error.to_string().contains("narrowed"), "{error}");
    }
}
