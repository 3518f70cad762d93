//! A folder that already holds a training: what is continued, what is left alone, and what is refused.

mod common;

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use candle_core::{Device, Tensor};
use common::{attending, attention, config, data_folder, outcome, settings};
use htl_models::Checkpoint;
use htl_trainers::{
    FilterRule, Keep, Labeller, Leaves, Outcome, StopFlag, TeacherFilter, TrainConfig, TrainError,
    observe::{Observers, TensorBoard, on_progress},
    train,
};
use htl_vocabulary::file;
use image::{Rgb, RgbImage};
use safetensors::SafeTensors;

/// Stops a training after `step` steps.
fn stopped_at(step: usize, config: &TrainConfig, out: &Path) -> Outcome {
    let stop = StopFlag::default();
    let mut observer = on_progress(|done, _| {
        if done == step {
            stop.stop();
        }
    });
    train(
        &config.clone().check().unwrap(),
        &Device::Cpu,
        out,
        &mut observer,
        &stop,
    )
    .unwrap()
}

/// Rewrites the tensors and the metadata of a safetensors file.
fn edit(path: &Path, change: impl FnOnce(&mut HashMap<String, Tensor>, &mut HashMap<String, String>)) {
    let bytes = fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut metadata = header.metadata().clone().unwrap();
    let mut tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    change(&mut tensors, &mut metadata);
    fs::write(path, safetensors::serialize(tensors, Some(metadata)).unwrap()).unwrap();
}

/// Every file that the history and the network are read from.
fn results(out: &Path) -> [Vec<u8>; 2] {
    [file::CHECKPOINT, file::HISTORY].map(|name| fs::read(out.join(name)).unwrap())
}

/// A training that uses all inputs there are: data, a list, a score table and a checkpoint to start from.
fn with_all_inputs(root: &Path) -> TrainConfig {
    let dense = config(root, "supervised");
    let _ = outcome(&dense, &root.join("dense")).unwrap();
    fs::copy(root.join("dense").join(file::CHECKPOINT), root.join("init.safetensors")).unwrap();
    fs::write(root.join("some.csv"), "image_id\ni01\ni02\ni06\n").unwrap();
    TrainConfig {
        labelled: Some(root.join("some.csv")),
        init: Some(root.join("init.safetensors")),
        attention: Some(attention(root)),
        ..dense
    }
}

#[test]
fn a_finished_training_is_said_to_be_finished() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let config = config(place.path(), "supervised");
    let out = place.path().join("out");
    let first = outcome(&config, &out).unwrap();
    assert!(matches!(first, Outcome::Trained(_)));
    let before = results(&out);
    // A history that was lost is no reason to train again: the state knows it.
    fs::remove_file(out.join(file::HISTORY)).unwrap();
    let again = outcome(&config, &out).unwrap();
    assert_eq!(again, Outcome::AlreadyFinished(first.history().to_vec()));
    assert_eq!(results(&out), before);
    // What no training uses may change.
    RgbImage::from_pixel(16, 16, Rgb([9, 9, 9]))
        .save(place.path().join("images/i11.png"))
        .unwrap();
    assert!(matches!(outcome(&config, &out).unwrap(), Outcome::AlreadyFinished(_)));
}

/// Finished or not, a training whose inputs have other contents now is refused, and the message names them.
#[test]
fn changed_inputs_are_refused() {
    let grey = |path: PathBuf| RgbImage::from_pixel(16, 16, Rgb([90, 90, 90])).save(path).unwrap();
    let masks = |path: PathBuf| {
        image::GrayImage::from_pixel(16, 16, image::Luma([255]))
            .save(path)
            .unwrap()
    };
    let append = |path: PathBuf, line: &str| {
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text + line).unwrap();
    };
    type Change<'a> = (&'a str, Box<dyn Fn(&Path) + 'a>);
    let changes: Vec<Change> = vec![
        ("data", Box::new(|root| grey(root.join("images/i00.png")))),
        ("data", Box::new(|root| masks(root.join("masks/i09.png")))),
        ("labelled", Box::new(|root| append(root.join("some.csv"), "i03\n"))),
        (
            "attention.scores",
            Box::new(|root| append(root.join("scores.csv"), "other,,,0.5,1\n")),
        ),
        (
            "init",
            Box::new(|root| {
                let path = root.join("init.safetensors");
                let (checkpoint, network) = Checkpoint::load(&path, &Device::Cpu).unwrap();
                let bias = network.parameters().get("head.bias").unwrap();
                bias.set(&Tensor::new(&[0.5f32], &Device::Cpu).unwrap()).unwrap();
                checkpoint.save(&network, &path).unwrap();
            }),
        ),
    ];
    for (key, change) in changes {
        for stop in [None, Some(7)] {
            let place = tempfile::tempdir().unwrap();
            data_folder(place.path());
            let config = with_all_inputs(place.path());
            let out = place.path().join("out");
            match stop {
                None => assert!(matches!(outcome(&config, &out).unwrap(), Outcome::Trained(_))),
                Some(step) => assert!(matches!(
                    stopped_at(step, &config, &out),
                    Outcome::Stopped { step: 7, .. }
                )),
            }
            change(place.path());
            let error = outcome(&config, &out).unwrap_err();
            assert!(matches!(error, TrainError::ChangedInputs { .. }), "{key}: {error}");
            let said = error.to_string();
            assert!(
                said.contains(&format!("`{key}`")) && said.contains("remove the folder"),
                "{said}"
            );
            assert_eq!(said.matches('`').count(), 2, "more than `{key}` is named: {said}");
        }
    }
}

/// A state from before inputs were recorded is no proof of anything.
#[test]
fn states_without_hashes_are_refused() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let config = config(place.path(), "supervised");
    let out = place.path().join("out");
    let _ = outcome(&config, &out).unwrap();
    edit(&out.join(file::STATE), |_, metadata| {
        metadata.remove("inputs").unwrap();
    });
    let error = outcome(&config, &out).unwrap_err();
    assert!(matches!(error, TrainError::ChangedInputs { .. }), "{error}");
}

/// A finished training's checkpoint is opened before it is called finished: a damaged one is written again from the
/// state, another training's is refused.
#[test]
fn the_checkpoint_of_a_finished_training_is_read() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    for setting in ["supervised", "semi-supervised"] {
        let config = config(place.path(), setting);
        let (out, other) = (
            place.path().join(setting),
            place.path().join(format!("{setting}-other")),
        );
        let _ = outcome(&config, &out).unwrap();
        let before = results(&out);
        fs::write(out.join(file::CHECKPOINT), "x").unwrap();
        assert!(matches!(outcome(&config, &out).unwrap(), Outcome::Trained(_)));
        assert!(results(&out) == before, "{setting}: the restored checkpoint differs");

        let _ = outcome(
            &TrainConfig {
                seed: 1,
                ..config.clone()
            },
            &other,
        )
        .unwrap();
        fs::copy(other.join(file::CHECKPOINT), out.join(file::CHECKPOINT)).unwrap();
        let error = outcome(&config, &out).unwrap_err();
        assert!(matches!(error, TrainError::ForeignCheckpoint { .. }), "{error}");
    }
}

/// Stopped in mid-epoch and continued, twice: the same network and the same history, bit for bit.
#[test]
fn a_stopped_training_continues_to_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let forms = htl_trainers::attention_forms().map(|(form, _)| ("supervised", form));
    let forms = forms.filter(|(_, form)| *form != "sampling");
    let all: Vec<_> = settings().map(|setting| (setting, "sampling")).chain(forms).collect();
    for (setting, form) in all {
        let mut attention = attending(place.path(), form);
        if form == "consistency" {
            // Not a divisor of the steps at which the training is stopped.
            attention.params.insert("every".into(), 3.0);
        }
        let config = TrainConfig {
            attention: Some(attention),
            // Epochs of four steps, of which every second is validated.
            batch: 2,
            image_steps: 44,
            validate_every: 2,
            ..config(place.path(), setting)
        };
        let (whole, stopped) = (
            place.path().join(format!("{setting}-{form}")),
            place.path().join(format!("{setting}-{form}-stopped")),
        );
        let _ = outcome(&config, &whole).unwrap();
        for step in [5, 11] {
            let steps = 22;
            assert_eq!(stopped_at(step, &config, &stopped), Outcome::Stopped { step, steps });
            assert!(!stopped.join(file::CHECKPOINT).exists());
        }
        assert!(matches!(outcome(&config, &stopped).unwrap(), Outcome::Trained(_)));
        assert!(results(&whole) == results(&stopped), "{setting}, {form}");
    }
}

/// The pruned copy of a teacher is part of the state, whichever pixels it is asked about; each rule trains another network.
#[test]
fn a_doubted_teacher_continues_to_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let mut seen = Vec::new();
    let rules = [
        (FilterRule::Pruned, Leaves::Loss, Labeller::Teacher),
        (FilterRule::Pruned, Leaves::LossAndInput, Labeller::Teacher),
        (FilterRule::Pruned, Leaves::Nothing, Labeller::Copy),
        (FilterRule::Weights, Leaves::Loss, Labeller::Teacher),
        (FilterRule::Student, Leaves::Loss, Labeller::Teacher),
        (FilterRule::Outline, Leaves::Loss, Labeller::Teacher),
        (FilterRule::Random, Leaves::Loss, Labeller::Teacher),
    ];
    for (at, (by, leaves, labels)) in rules.into_iter().enumerate() {
        let mut config = TrainConfig {
            batch: 2,
            image_steps: 44,
            ..config(place.path(), "semi-supervised")
        };
        config.mean_teacher.confidence = 0.5;
        config.mean_teacher.filter = Some(TeacherFilter {
            by,
            leaves,
            labels,
            sparsity: 0.9,
            // Not a divisor of the step at which the training is stopped.
            every: 3,
        });
        let [whole, stopped] = ["whole", "stopped"].map(|name| place.path().join(format!("{name}-{at}")));
        let _ = outcome(&config, &whole).unwrap();
        assert_eq!(
            stopped_at(11, &config, &stopped),
            Outcome::Stopped { step: 11, steps: 22 }
        );
        assert!(matches!(outcome(&config, &stopped).unwrap(), Outcome::Trained(_)));
        assert!(results(&whole) == results(&stopped), "{by:?}, {leaves:?}");
        // Student and teacher see the same at first.
        if by == FilterRule::Student {
            continue;
        }
        let [_, history] = results(&whole);
        assert!(!seen.contains(&history), "{by:?}, {leaves:?} changes nothing");
        seen.push(history);
    }
}

/// The best network so far outlives an interruption; where the last is not the best, another one is kept.
#[test]
fn the_best_network_is_kept_to_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let first_weight = |out: &Path| {
        let (_, network) = Checkpoint::load(&out.join(file::CHECKPOINT), &Device::Cpu).unwrap();
        let weight = network.parameters().trainable()[0].1.flatten_all().unwrap();
        weight.to_vec1::<f32>().unwrap()
    };
    let mut others = 0;
    for seed in 0..6 {
        let last = TrainConfig {
            seed,
            validate_every: 1,
            batch: 2,
            image_steps: 44,
            // So fast that it gets worse at times.
            learning_rate: 0.2,
            ..config(place.path(), "supervised")
        };
        let of_last = place.path().join(format!("last-{seed}"));
        let history = outcome(&last, &of_last).unwrap().history().to_vec();
        let best = history.iter().filter_map(|row| row.val_quality).fold(0.0, f64::max);
        let last_is_best = history.last().and_then(|row| row.val_quality) == Some(best)
            && history.iter().filter(|row| row.val_quality == Some(best)).count() == 1;
        let keep = if seed % 2 == 0 {
            Keep::Best
        } else {
            Keep::BestWorstTenth
        };
        let config = TrainConfig { keep, ..last };
        let [whole, stopped] = ["whole", "stopped"].map(|name| place.path().join(format!("{name}-{seed}")));
        let _ = outcome(&config, &whole).unwrap();
        let _ = stopped_at(13, &config, &stopped);
        assert!(matches!(outcome(&config, &stopped).unwrap(), Outcome::Trained(_)));
        assert!(results(&whole) == results(&stopped), "{keep:?}");
        let another = first_weight(&whole) != first_weight(&of_last);
        if keep == Keep::Best {
            assert_eq!(another, !last_is_best, "seed {seed}: {history:?}");
        }
        others += usize::from(another);
    }
    assert!(others > 0, "the last was always the best");
}

/// A request that arrives with the last step finds a training that is done.
#[test]
fn the_last_step_is_not_a_place_to_stop() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let config = config(place.path(), "supervised");
    assert!(matches!(
        stopped_at(12, &config, &place.path().join("out")),
        Outcome::Trained(_)
    ));
}

#[test]
fn a_step_beyond_the_end_is_refused() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let config = config(place.path(), "supervised");
    let out = place.path().join("out");
    let _ = outcome(&config, &out).unwrap();
    edit(&out.join(file::STATE), |_, metadata| {
        let record = metadata.get_mut("record").unwrap();
        *record = record.replacen("\"step\":12", "\"step\":13", 1);
    });
    let said = outcome(&config, &out).unwrap_err().to_string();
    assert!(said.contains("13 steps of a training of 12"), "{said}");
}

/// Weights that break in the last step, after its loss was finite, reach no file.
#[test]
fn a_network_that_breaks_in_its_last_step_is_not_saved() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let config = config(place.path(), "supervised");
    let out = place.path().join("out");
    assert!(matches!(stopped_at(11, &config, &out), Outcome::Stopped { .. }));
    edit(&out.join(file::STATE), |tensors, _| {
        for (name, tensor) in tensors {
            if name.starts_with("optimizer.") && name.ends_with(".square") {
                *tensor = tensor.affine(0.0, -1.0).unwrap();
            }
        }
    });
    let error = outcome(&config, &out).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { step: 12, .. }), "{error}");
    assert!(!out.join(file::CHECKPOINT).exists());
}

#[test]
fn a_state_with_broken_weights_is_refused() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let config = config(place.path(), "supervised");
    let out = place.path().join("out");
    let _ = outcome(&config, &out).unwrap();
    fs::remove_file(out.join(file::CHECKPOINT)).unwrap();
    edit(&out.join(file::STATE), |tensors, _| {
        let bias = Tensor::new(&[f32::NAN], &Device::Cpu).unwrap();
        tensors.insert("network.head.bias".into(), bias).unwrap();
    });
    let error = outcome(&config, &out).unwrap_err();
    assert!(matches!(error, TrainError::State { .. }), "{error}");
    assert!(error.to_string().contains("head.bias") && !out.join(file::CHECKPOINT).exists());
    let out = place.path().join("stopped");
    assert!(matches!(stopped_at(5, &config, &out), Outcome::Stopped { .. }));
    edit(&out.join(file::STATE), |tensors, _| {
        let mean = Tensor::new(&[f32::INFINITY], &Device::Cpu).unwrap();
        tensors.insert("optimizer.head.bias.mean".into(), mean).unwrap();
    });
    let error = outcome(&config, &out).unwrap_err();
    assert!(error.to_string().contains("`optimizer.head.bias.mean`"), "{error}");
}

/// A folder has one training at a time: the second is told, and the first ends as if it had been alone.
#[test]
fn a_second_training_into_the_folder_is_refused() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let first = config(place.path(), "supervised");
    let second = TrainConfig {
        seed: 1,
        ..first.clone()
    };
    let (alone, out) = (place.path().join("alone"), place.path().join("out"));
    let _ = outcome(&first, &alone).unwrap();
    let mut said = String::new();
    let mut observer = on_progress(|done, _| {
        if done == 3 {
            said = outcome(&second, &out).unwrap_err().to_string();
        }
    });
    let valid = first.clone().check().unwrap();
    let _ = train(&valid, &Device::Cpu, &out, &mut observer, &StopFlag::default()).unwrap();
    drop(observer);
    assert!(said.contains("another training") && said.contains("--out"), "{said}");
    assert_eq!(results(&out), results(&alone));
    // What the first left is recognised, and nothing holds the folder any more.
    assert!(matches!(outcome(&first, &out).unwrap(), Outcome::AlreadyFinished(_)));
}

/// A checkpoint to start from that cannot work is refused before anything is trained.
#[test]
fn a_broken_checkpoint_to_start_from_is_refused() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let dense = config(place.path(), "supervised");
    let _ = outcome(&dense, &place.path().join("dense")).unwrap();
    let whole = place.path().join("dense").join(file::CHECKPOINT);
    let (_, network) = Checkpoint::load(&whole, &Device::Cpu).unwrap();
    let variance = network.parameters().buffers();
    let variance = &variance
        .iter()
        .find(|(name, _)| name.ends_with("running_var"))
        .unwrap()
        .0;
    for (name, value) in [
        ("head.bias", f32::NAN),
        (variance.as_str(), -1.0),
        (variance, f32::INFINITY),
    ] {
        let path = place.path().join("broken.safetensors");
        fs::copy(&whole, &path).unwrap();
        edit(&path, |tensors, _| {
            let tensor = tensors.get_mut(name).unwrap();
            *tensor = Tensor::full(value, tensor.shape(), &Device::Cpu).unwrap();
        });
        let config = TrainConfig {
            init: Some(path),
            ..dense.clone()
        };
        let error = outcome(&config, &place.path().join("out")).unwrap_err();
        let said = error.to_string();
        assert!(
            said.contains("broken.safetensors") && said.contains(name),
            "{name} = {value}: {said}"
        );
    }
}

/// Each run of a training writes an event file, a run that finds it finished none; the result is what it is without them.
#[test]
fn each_run_writes_an_event_file_of_its_own() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let config = config(place.path(), "supervised");
    let (plain, out, events) = (
        place.path().join("plain"),
        place.path().join("out"),
        place.path().join("events"),
    );
    let _ = outcome(&config, &plain).unwrap();
    let valid = config.check().unwrap();
    for (stop_at, files) in [(Some(7), 1), (None, 2), (None, 2)] {
        let stop = StopFlag::default();
        let mut observers = Observers::new()
            .with(TensorBoard::new(&events, "Jaccard"))
            .with(on_progress(|done, _| {
                if Some(done) == stop_at {
                    stop.stop();
                }
            }));
        let _ = train(&valid, &Device::Cpu, &out, &mut observers, &stop).unwrap();
        assert_eq!(fs::read_dir(&events).unwrap().count(), files);
    }
    assert_eq!(results(&out), results(&plain));
}
