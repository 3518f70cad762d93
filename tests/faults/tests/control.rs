//! The trainings with faults are those of the product but for the fault.

use std::fs;
use std::path::Path;

use candle_core::Device;
use htl_faults::{Fault, NONE};
use htl_models::{Checkpoint, Preprocessing};
use htl_trainers::{Outcome, StopFlag, TrainConfig};
use htl_vocabulary::file;

fn config() -> TrainConfig {
    TrainConfig {
        data: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data-manifest/embedded"),
        seed: 3,
        size: 24,
        width: 3,
        batch: 8,
        image_steps: 96,
        ..TrainConfig::default()
    }
}

/// Without a fault the checkpoint is that of the product, byte for byte; each fault changes the weights and nothing else.
#[test]
fn a_fault_is_the_only_difference() {
    let place = tempfile::tempdir().unwrap();
    let config = config().check().unwrap();
    let product = place.path().join("product");
    let never = StopFlag::default();
    let outcome = htl_trainers::train(&config, &Device::Cpu, &product, &mut (), &never).unwrap();
    assert!(matches!(outcome, Outcome::Trained(_)));
    let expected = fs::read(product.join(file::CHECKPOINT)).unwrap();

    let trained = |name: &str| {
        let path = place.path().join(format!("{name}.safetensors"));
        htl_faults::train(&config, Fault::named(name).unwrap(), &path).unwrap();
        path
    };
    let bytes = |path: &Path| fs::read(path).unwrap();
    assert!(bytes(&trained(NONE)) == expected, "the same training without a fault");

    let record = Checkpoint::read(&product.join(file::CHECKPOINT)).unwrap();
    let usual = Preprocessing {
        size: config.size,
        ..Preprocessing::default()
    };
    assert_eq!(record.preprocessing, usual);
    let mut seen = vec![expected];
    for fault in Fault::ALL {
        let path = trained(fault.name());
        assert!(
            !seen.contains(&bytes(&path)),
            "{} changes nothing of its own",
            fault.name()
        );
        seen.push(bytes(&path));
        assert_eq!(Checkpoint::read(&path).unwrap(), record, "{}", fault.name());
    }
}

#[test]
fn what_it_cannot_do_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("checkpoint.safetensors");
    let refused = |config: TrainConfig| {
        let said = htl_faults::train(&config.check().unwrap(), None, &path)
            .unwrap_err()
            .to_string();
        assert!(said.contains("only supervised") && !path.exists(), "{said}");
    };
    refused(TrainConfig {
        setting: "weakly-supervised".into(),
        ..config()
    });
    refused(TrainConfig {
        labelled: Some("ids.csv".into()),
        ..config()
    });
    refused(TrainConfig {
        init: Some(path.clone()),
        ..config()
    });
}

#[test]
fn faults_are_known_by_their_names() {
    for fault in Fault::ALL {
        assert_eq!(Fault::named(fault.name()).unwrap(), Some(fault));
    }
    assert_eq!(Fault::named(NONE).unwrap(), None);
    let said = Fault::named("rounding").unwrap_err().to_string();
    assert!(Fault::ALL.iter().all(|fault| said.contains(fault.name())), "{said}");
}
