//! Files round trip, give the same bytes, and say what is wrong with them.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use htl_models::{Architecture, Checkpoint, Mode, Network, Part, PruningRecord};

fn unet(width: usize) -> Architecture {
    Architecture::unet(width).unwrap()
}

fn trained(architecture: &Architecture) -> Network {
    let network = Network::build(architecture, 3, &Device::Cpu).unwrap();
    let x = Tensor::arange(0f32, 384., &Device::Cpu)
        .unwrap()
        .sin()
        .unwrap()
        .reshape((2, 3, 8, 8))
        .unwrap();
    network.forward(&x, Mode::Train).unwrap(); // running statistics of their own
    network
}

fn record() -> Checkpoint {
    Checkpoint {
        classes: vec!["melanoma".into(), "naevus".into()],
        pruning: Some(PruningRecord {
            method: "global-magnitude".into(),
            sparsity: 0.8,
        }),
        training: serde_json::json!({"seed": 3, "steps": 100}),
        ..Checkpoint::new(Architecture::classifier(Part::new("plain").with("width", 2), 2).unwrap())
    }
}

fn state(network: &Network) -> Vec<(String, Vec<f32>)> {
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    network
        .parameters()
        .all()
        .iter()
        .map(|(name, var)| (name.clone(), values(var)))
        .collect()
}

fn message(path: &Path) -> String {
    Checkpoint::load(path, &Device::Cpu)
        .map(|(checkpoint, _)| checkpoint)
        .unwrap_err()
        .to_string()
}

#[test]
fn files_round_trip_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("a.safetensors"), folder.path().join("b.safetensors"));
    let network = trained(&record().architecture);
    record().save(&network, &first).unwrap();
    record().save(&network, &first).unwrap(); // over an older file
    let (checkpoint, loaded) = Checkpoint::load(&first, &Device::Cpu).unwrap();
    assert_eq!(checkpoint, record());
    assert_eq!(Checkpoint::read(&first).unwrap(), record());
    assert_eq!(state(&loaded), state(&network));
    checkpoint.save(&loaded, &second).unwrap();
    assert_eq!(std::fs::read(first).unwrap(), std::fs::read(second).unwrap());
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "temporary files are left"
    );
}

#[test]
fn a_state_dict_of_pytorch_loads() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/unet.safetensors");
    let golden = candle_core::safetensors::load(golden, &Device::Cpu).unwrap();
    let mut state_dict: HashMap<String, Tensor> = golden
        .iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("state.")?.to_string(), tensor.clone())))
        .collect();
    state_dict.insert(
        "encoder.0.1.num_batches_tracked".into(),
        Tensor::new(7i64, &Device::Cpu).unwrap(),
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state_dict.safetensors");
    candle_core::safetensors::save(&state_dict, &path).unwrap();
    let network = Network::build(&unet(2), 0, &Device::Cpu).unwrap();
    network.load_state_dict(&path).unwrap();
    for (name, values) in state(&network) {
        assert_eq!(
            values,
            state_dict[&name].flatten_all().unwrap().to_vec1::<f32>().unwrap(),
            "{name}"
        );
    }
    let error = Network::build(&unet(3), 0, &Device::Cpu)
        .unwrap()
        .load_state_dict(&path)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("state_dict.safetensors: ") && error.contains("has shape"),
        "{error}"
    );
    // It has no record, so it is not a checkpoint.
    assert!(
        message(&path).contains("safetensors without the metadata `htl`"),
        "{}",
        message(&path)
    );
}

#[test]
fn what_is_not_a_checkpoint_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    assert!(
        message(&path).contains("model.safetensors: cannot read"),
        "{}",
        message(&path)
    );
    for bytes in [
        &b""[..],
        b"tiny",
        b"PK\x03\x04 a zip file, as torch.save writes it",
        &[0xff; 64],
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert!(
            message(&path).contains("not a checkpoint: it is not a whole safetensors file"),
            "{}",
            message(&path)
        );
    }
    Checkpoint::new(unet(2)).save(&trained(&unet(2)), &path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for length in [whole.len() - 1, whole.len() / 2, 100] {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(
            message(&path).contains("it is not a whole safetensors file"),
            "{}",
            message(&path)
        );
    }
    assert!(message(folder.path()).contains("cannot read"));
}

/// A file of these tensors with this record.
fn write(path: &Path, tensors: HashMap<String, Tensor>, record: &str) {
    let metadata = HashMap::from([("htl".to_string(), record.to_string())]);
    safetensors::serialize_to_file(tensors, Some(metadata), path).unwrap();
}

/// What a file of this network holds.
fn tensors(network: &Network) -> HashMap<String, Tensor> {
    let all = network.parameters().all().into_iter();
    all.map(|(name, var)| (name, var.as_detached_tensor())).collect()
}

/// A small file that claims the largest network is refused before that network takes gigabytes.
#[test]
fn a_claim_is_compared_before_anything_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let record = serde_json::to_string(&Checkpoint::new(unet(1024))).unwrap();
    write(&path, tensors(&trained(&unet(1))), &record);
    let begin = std::time::Instant::now();
    let said = message(&path);
    assert!(
        said.contains("tensor `decoder.0.0.weight` has shape [4, 12, 3, 3], expected [4096, 12288, 3, 3]"),
        "{said}"
    );
    // Random numbers for the claimed network would take a minute.
    assert!(begin.elapsed().as_secs() < 5);
}

#[test]
fn tensors_of_another_network_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let json = serde_json::to_string(&Checkpoint::new(unet(2))).unwrap();

    write(&path, tensors(&trained(&unet(3))), &json);
    let expected = "the tensors are those of another network than its architecture says: tensor `decoder.0.0.weight` has \
                    shape [12, 36, 3, 3], expected [8, 24, 3, 3]";
    assert!(message(&path).contains(expected), "{}", message(&path));

    let mut missing = tensors(&trained(&unet(2)));
    missing.remove("head.bias");
    write(&path, missing, &json);
    assert!(
        message(&path).contains("tensor `head.bias` of shape [1] is missing"),
        "{}",
        message(&path)
    );

    let mut extra = tensors(&trained(&unet(2)));
    extra.insert("head.scale".into(), Tensor::new(&[1f32], &Device::Cpu).unwrap());
    write(&path, extra, &json);
    assert!(
        message(&path).contains("unknown tensor `head.scale` of shape [1]"),
        "{}",
        message(&path)
    );
}

#[test]
fn bad_records_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let check = |change: &dyn Fn(&mut serde_json::Value), expected: &str| {
        let mut record = serde_json::to_value(record()).unwrap();
        change(&mut record);
        write(&path, HashMap::new(), &record.to_string());
        assert!(message(&path).contains(expected), "{}", message(&path));
    };
    check(
        &|record| record["version"] = 3.into(),
        "checkpoint version 3 is newer than 2",
    );
    // Whatever else a newer record holds, its version is what is told.
    check(
        &|record| *record = serde_json::json!({"version": 99, "new": true}),
        "checkpoint version 99 is newer than 2",
    );
    check(
        &|record| record["colour"] = "blue".into(),
        "metadata `htl` cannot be read: unknown field `colour`",
    );
    check(
        &|record| record["architecture"]["encoder"]["name"] = "vit".into(),
        "there is no encoder `vit`: plain, ",
    );
    check(
        &|record| record["architecture"]["encoder"]["width"] = 0.into(),
        "`width` must be in 1..=1024, found 0",
    );
    check(
        &|record| record["architecture"]["encoder"]["width"] = (-1).into(),
        "cannot be read",
    );
    check(
        &|record| record["preprocessing"]["size"] = 100.into(),
        "`size` must be a multiple of 8 from 8 to 2048, found 100",
    );
    for size in [0, 8200, 1 << 20, (1u64 << 63) - 8] {
        check(
            &|record| record["preprocessing"]["size"] = size.into(),
            "`size` must be a multiple of 8 from 8 to 2048",
        );
    }
    check(
        &|record| record["preprocessing"]["std"] = vec![1.0, 0.0, 1.0].into(),
        "`std` must be one number above 0",
    );
    check(
        &|record| record["classes"] = vec!["one"].into(),
        "`classes` must be as many names as the classifier has",
    );
    check(&|record| *record = "nonsense".into(), "cannot be read");
}

/// Files from before networks were made of parts.
#[test]
fn files_of_the_first_version_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let network = trained(&unet(2));
    let mut record = serde_json::to_value(Checkpoint::new(unet(2))).unwrap();
    record["version"] = 1.into();
    record["architecture"] = serde_json::json!({"kind": "unet", "width": 2, "in_channels": 3});
    write(&path, tensors(&network), &record.to_string());
    let (checkpoint, loaded) = Checkpoint::load(&path, &Device::Cpu).unwrap();
    assert_eq!((checkpoint.version, &checkpoint.architecture), (1, &unet(2)));
    assert_eq!(state(&loaded), state(&network));
    // Written again it is of this version.
    checkpoint.save(&loaded, &path).unwrap();
    assert_eq!(Checkpoint::read(&path).unwrap(), Checkpoint::new(unet(2)));
}

#[test]
fn what_does_not_fit_together_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let error = Checkpoint::new(unet(3))
        .save(&trained(&unet(2)), &path)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("they are of plain width=2 + unet width=2 + localizer kernel=1, the record is of plain width=3"),
        "{error}"
    );
    let mut grey = Checkpoint::new(unet(2));
    grey.preprocessing.mean = vec![0.5];
    grey.preprocessing.std = vec![0.5];
    let error = grey.save(&trained(&unet(2)), &path).unwrap_err().to_string();
    assert!(
        error.contains("`mean` must be one number per channel of the network's images"),
        "{error}"
    );
    assert!(!path.exists());
    std::fs::write(folder.path().join("file"), "").unwrap();
    let nowhere = folder.path().join("file/model.safetensors");
    let error = Checkpoint::new(unet(2))
        .save(&trained(&unet(2)), &nowhere)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("cannot write") && error.contains("file/model.safetensors"),
        "{error}"
    );
}

/// A failed write leaves the older file as it was.
#[test]
fn a_failed_write_keeps_the_older_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken");
    std::fs::create_dir_all(path.join("inside")).unwrap();
    assert!(Checkpoint::new(unet(2)).save(&trained(&unet(2)), &path).is_err());
    assert!(path.join("inside").exists());
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "temporary files are left"
    );
}

#[test]
fn normalise_subtracts_and_divides_by_channel() {
    let preprocessing = Checkpoint::new(unet(2)).preprocessing;
    let image = Tensor::from_vec((0..12).map(|i| i as f32 / 12.0).collect(), (1, 3, 2, 2), &Device::Cpu).unwrap();
    let found = preprocessing
        .normalise(&image)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    for (index, found) in found.iter().enumerate() {
        let channel = index / 4;
        let expected = (index as f32 / 12.0 - preprocessing.mean[channel]) / preprocessing.std[channel];
        assert!((found - expected).abs() < 1e-6);
    }
    assert!(preprocessing.normalise(&image.narrow(1, 0, 1).unwrap()).is_err());
}

/// A network that cannot compute is refused by the name of what is broken, weights and statistics alike.
#[test]
fn weights_that_are_not_numbers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let names = |suffix: &str| -> String {
        let all = trained(&unet(2)).parameters().all();
        let of_kind = all.iter().find(|(name, _)| name.ends_with(suffix));
        of_kind.map(|(name, _)| name.clone()).unwrap()
    };
    let cases = [
        ("weight", f32::NAN),
        ("weight", f32::INFINITY),
        ("bias", f32::NAN),
        ("running_mean", f32::NEG_INFINITY),
        ("running_var", f32::NAN),
        ("running_var", -1.0),
    ];
    for (suffix, value) in cases {
        let (name, network) = (names(suffix), trained(&unet(2)));
        let var = network.parameters().get(&name).unwrap();
        let mut values = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let last = values.len() - 1;
        values[last] = value;
        let broken = Tensor::from_vec(values, var.dims(), &Device::Cpu).unwrap();
        var.set(&broken).unwrap();
        assert!(network.parameters().check_finite().is_err());
        let record = Checkpoint::new(unet(2));
        let refused = record.save(&network, &path).unwrap_err().to_string();
        assert!(refused.contains(&name) && !path.exists(), "{refused}");
        write(&path, tensors(&network), &serde_json::to_string(&record).unwrap());
        let said = message(&path);
        std::fs::remove_file(&path).unwrap();
        let expected = format!("tensor `{name}` holds {value} at position {last}");
        assert!(said.contains("model.safetensors") && said.contains(&expected), "{said}");
    }
    assert!(trained(&unet(2)).parameters().check_finite().is_ok());
}
