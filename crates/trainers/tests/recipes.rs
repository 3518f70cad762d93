//! Recipes: what they change, and that a training by one continues as any other.

mod common;

use std::{fs, path::Path};

use candle_core::{Device, Tensor};
use common::{config, data_folder, outcome};
use htl_models::{Checkpoint, Network};
use htl_trainers::{
    MaskLoss, NetworkChoice, Outcome, Recipe, Schedule, StopFlag, TrainConfig, observe::on_progress, train,
};
use htl_vocabulary::file;

fn network(out: &Path) -> Network {
    Checkpoint::load(&out.join(file::CHECKPOINT), &Device::Cpu).unwrap().1
}

fn values(network: &Network, name: &str) -> Vec<f32> {
    let values: &Tensor = network.parameters().get(name).unwrap();
    values.flatten_all().unwrap().to_vec1().unwrap()
}

/// Everything that is not as the reference U-Net has it, on another network.
fn of_its_own(root: &Path) -> TrainConfig {
    TrainConfig {
        network: NetworkChoice {
            encoder: "mobilenet-v2 output_stride=16".into(),
            decoder: "lraspp width=8".into(),
            ..NetworkChoice::default()
        },
        recipe: Recipe {
            loss: MaskLoss::BceTversky,
            schedule: Schedule::Cosine,
            encoder_rate: 0.5,
            frozen_epochs: 1,
            average: 0.9,
            patience: 0,
            geometry: 0.5,
            colours: 2.0,
        },
        batch: 2,
        image_steps: 24,
        ..config(root, "supervised")
    }
}

/// Stopped in mid-epoch, with the average of the weights on its way.
#[test]
fn a_stopped_training_continues_to_the_same_bytes() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let config = of_its_own(place.path());
    let (whole, stopped) = (place.path().join("whole"), place.path().join("stopped"));
    let _ = outcome(&config, &whole).unwrap();
    let stop = StopFlag::default();
    let mut observer = on_progress(|done, _| {
        if done == 7 {
            stop.stop();
        }
    });
    let valid = config.clone().check().unwrap();
    let first = train(&valid, &Device::Cpu, &stopped, &mut observer, &stop).unwrap();
    assert_eq!(first, Outcome::Stopped { step: 7, steps: 12 });
    assert!(matches!(outcome(&config, &stopped).unwrap(), Outcome::Trained(_)));
    for name in [file::CHECKPOINT, file::HISTORY] {
        assert!(
            fs::read(whole.join(name)).unwrap() == fs::read(stopped.join(name)).unwrap(),
            "{name}"
        );
    }
}

/// The encoder's weights are those of the beginning where all epochs are frozen; the decoder's are not.
#[test]
fn a_frozen_encoder_stays() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let frozen = TrainConfig {
        recipe: Recipe {
            frozen_epochs: 100,
            ..Recipe::default()
        },
        ..config(place.path(), "supervised")
    };
    let _ = outcome(&frozen, &place.path().join("frozen")).unwrap();
    let trained = network(&place.path().join("frozen"));
    let begun = Network::build(trained.architecture(), frozen.seed, &Device::Cpu).unwrap();
    for (name, _) in begun.parameters().trainable() {
        let stays = values(&trained, name) == values(&begun, name);
        assert_eq!(stays, name.starts_with("encoder."), "{name}");
    }
}

/// The average lies between the weights that it averages, and is what is kept.
#[test]
fn the_average_is_kept() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let last = config(place.path(), "supervised");
    let averaged = TrainConfig {
        recipe: Recipe {
            average: 0.9,
            ..Recipe::default()
        },
        ..last.clone()
    };
    for (config, out) in [(&last, "last"), (&averaged, "averaged")] {
        let _ = outcome(config, &place.path().join(out)).unwrap();
    }
    let name = "decoder.2.3.weight";
    let (last, averaged) = (
        network(&place.path().join("last")),
        network(&place.path().join("averaged")),
    );
    let begun = Network::build(last.architecture(), 0, &Device::Cpu).unwrap();
    let distance = |a: &Network, b: &Network| -> f32 {
        let (a, b) = (values(a, name), values(b, name));
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
    };
    let (whole, part) = (distance(&begun, &last), distance(&begun, &averaged));
    assert!(0.0 < part && part < whole, "{part} of {whole}");
}

/// A training that gets no better ends early, is finished, and stays so.
#[test]
fn patience_ends_a_training() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let config = TrainConfig {
        // Too small a rate to change a mask.
        learning_rate: 1e-12,
        image_steps: 400,
        recipe: Recipe {
            patience: 3,
            ..Recipe::default()
        },
        ..config(place.path(), "supervised")
    };
    let out = place.path().join("out");
    let Outcome::Trained(history) = outcome(&config, &out).unwrap() else {
        panic!("it was to be trained");
    };
    assert!(history.len() < 50, "{} epochs", history.len());
    assert!(out.join(file::CHECKPOINT).exists());
    assert_eq!(outcome(&config, &out).unwrap(), Outcome::AlreadyFinished(history));
}

#[test]
fn what_is_out_of_range_is_told() {
    let place = tempfile::tempdir().unwrap();
    data_folder(place.path());
    let check = |change: fn(&mut TrainConfig), said: &str| {
        let mut config = of_its_own(place.path());
        change(&mut config);
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    };
    check(
        |config| config.recipe.average = 1.0,
        "configuration key `recipe.average`: in [0, 1)",
    );
    check(
        |config| config.network.encoder = "mobilnet-v2".into(),
        "did you mean `mobilenet-v2`",
    );
    check(
        |config| config.network.decoder = "fpn".into(),
        "needs maps of stride 32",
    );
    let of_teacher = TrainConfig {
        recipe: Recipe {
            average: 0.9,
            ..Recipe::default()
        },
        ..config(place.path(), "semi-supervised")
    };
    let error = outcome(&of_teacher, &place.path().join("semi"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("recipe.average") && error.contains("teacher"), "{error}");
}
