//! What the files say of themselves, and what cannot be exported.

use std::path::Path;

use candle_core::{DType, Device};
use htl_models::{Architecture, Checkpoint, Network, Part, Preprocessing, PruningRecord};
use htl_onnx::{ExportParams, OnnxError, export};
use tract_onnx::prelude::Framework;

fn localizer(width: usize, size: usize) -> (Checkpoint, Network) {
    of(Architecture::unet(width).unwrap(), size)
}

fn classifier() -> (Checkpoint, Network) {
    let (checkpoint, network) = of(
        Architecture::classifier(Part::new("plain").with("width", 2), 3).unwrap(),
        16,
    );
    let classes = ["nevus", "melanoma", "\"other\""].map(str::to_owned).to_vec();
    (Checkpoint { classes, ..checkpoint }, network)
}

fn of(architecture: Architecture, size: usize) -> (Checkpoint, Network) {
    let network = Network::build(&architecture, 1, &Device::Cpu).unwrap();
    let preprocessing = Preprocessing {
        size,
        ..Preprocessing::default()
    };
    let checkpoint = Checkpoint {
        preprocessing,
        ..Checkpoint::new(architecture)
    };
    (checkpoint, network)
}

fn refused(checkpoint: &Checkpoint, network: &Network, params: ExportParams) -> (OnnxError, String) {
    let error = export(checkpoint, network, &params).unwrap_err();
    let text = error.to_string();
    (error, text)
}

/// Values of the metadata, read by somebody else.
fn metadata(bytes: &[u8]) -> std::collections::BTreeMap<String, String> {
    let proto = tract_onnx::onnx().proto_model_for_read(&mut &bytes[..]).unwrap();
    let entries = proto.metadata_props.into_iter();
    entries.map(|entry| (entry.key, entry.value)).collect()
}

#[test]
fn a_file_says_what_it_is() {
    let (checkpoint, network) = localizer(2, 16);
    let pruned = Checkpoint {
        pruning: Some(PruningRecord {
            method: "global-magnitude".into(),
            sparsity: 0.8,
        }),
        ..checkpoint.clone()
    };
    let params = ExportParams {
        threshold: Some(0.3),
        size: Some(40),
    };
    let said = metadata(&export(&pruned, &network, &params).unwrap().bytes);
    assert_eq!(said["htl_version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(said["size"], "40");
    assert_eq!(said["threshold"], "0.3");
    assert_eq!(
        (said["mean"].as_str(), said["std"].as_str()),
        ("[0.485,0.456,0.406]", "[0.229,0.224,0.225]")
    );
    assert_eq!(
        (said["input_range"].as_str(), said["input_layout"].as_str()),
        ("[0,1]", "NCHW, RGB")
    );
    assert_eq!(said["classes"], "[]");
    assert!(said["pruning"].contains("0.8"), "{}", said["pruning"]);
    let architecture: Architecture = serde_json::from_str(&said["architecture"]).unwrap();
    assert_eq!(architecture, checkpoint.architecture);

    let said = metadata(&export(&checkpoint, &network, &ExportParams::default()).unwrap().bytes);
    assert_eq!((said["size"].as_str(), said["threshold"].as_str()), ("16", "0.5"));
    assert!(!said.contains_key("pruning"));

    let (checkpoint, network) = classifier();
    let said = metadata(&export(&checkpoint, &network, &ExportParams::default()).unwrap().bytes);
    let classes: Vec<String> = serde_json::from_str(&said["classes"]).unwrap();
    assert_eq!(classes, checkpoint.classes);
    assert!(!said.contains_key("threshold"));
}

/// The same network gives the same bytes, also where its weights have 64 bits that 32 hold.
#[test]
fn the_same_network_gives_the_same_file() {
    let (checkpoint, network) = localizer(2, 16);
    let first = export(&checkpoint, &network, &ExportParams::default()).unwrap();
    let again = export(&checkpoint, &network.duplicate().unwrap(), &ExportParams::default()).unwrap();
    assert_eq!(first, again);
    let wide = Network::build_with_dtype(network.architecture(), 9, DType::F64, &Device::Cpu).unwrap();
    let named = network.parameters().all().into_iter();
    let tensors = named.map(|(name, var)| (name, var.as_detached_tensor())).collect();
    wide.parameters().load(&tensors).unwrap();
    assert_eq!(first, export(&checkpoint, &wide, &ExportParams::default()).unwrap());
}

#[test]
fn thresholds_that_cut_nothing_are_refused() {
    let (checkpoint, network) = localizer(2, 16);
    for found in [0.0, 1.0, -0.5, 1.5, f32::NAN, f32::INFINITY] {
        let params = ExportParams {
            threshold: Some(found),
            ..ExportParams::default()
        };
        let (error, text) = refused(&checkpoint, &network, params);
        assert!(matches!(error, OnnxError::Threshold { .. }), "{text}");
        assert!(text.contains(&found.to_string()), "{text}");
    }
    let params = ExportParams {
        threshold: Some(0.5),
        ..ExportParams::default()
    };
    let (checkpoint, network) = classifier();
    let (error, text) = refused(&checkpoint, &network, params);
    assert!(matches!(error, OnnxError::NoProbability), "{text}");
}

#[test]
fn sizes_that_the_network_cannot_take_are_refused() {
    let (checkpoint, network) = localizer(2, 16);
    let of = |size| ExportParams {
        size: Some(size),
        ..ExportParams::default()
    };
    for size in [0, 7, 2049, usize::MAX] {
        let (error, text) = refused(&checkpoint, &network, of(size));
        assert!(
            matches!(
                error,
                OnnxError::Size {
                    least: 8,
                    most: 2048,
                    ..
                }
            ),
            "{text}"
        );
        assert!(text.contains(&size.to_string()), "{text}");
    }
    assert_eq!(export(&checkpoint, &network, &of(8)).unwrap().size, 8);
    // The checkpoint's own size may be too small for a coarse network.
    let encoder = Part::new("mobilenet-v2");
    let (checkpoint, network) = super_coarse(encoder);
    let (error, text) = refused(&checkpoint, &network, ExportParams::default());
    assert!(
        matches!(
            error,
            OnnxError::Size {
                found: 16,
                least: 32,
                ..
            }
        ),
        "{text}"
    );
}

fn super_coarse(encoder: Part) -> (Checkpoint, Network) {
    of(Architecture::localizer(encoder, Part::new("lraspp")).unwrap(), 16)
}

#[test]
fn a_record_of_another_network_is_refused() {
    let (checkpoint, _) = localizer(2, 16);
    let (_, network) = localizer(3, 16);
    let (error, text) = refused(&checkpoint, &network, ExportParams::default());
    assert!(matches!(error, OnnxError::Model(_)), "{text}");
    let (checkpoint, network) = localizer(2, 16);
    let grey = Checkpoint {
        preprocessing: Preprocessing {
            mean: vec![0.5],
            std: vec![0.5],
            ..checkpoint.preprocessing.clone()
        },
        ..checkpoint
    };
    let (error, text) = refused(&grey, &network, ExportParams::default());
    assert!(matches!(error, OnnxError::Model(_)) && text.contains("mean"), "{text}");
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let (checkpoint, network) = localizer(2, 16);
    let set = |name: &str, value: f32| {
        let var = network.parameters().get(name).unwrap();
        let like = var.as_detached_tensor();
        var.set(&(like.zeros_like().unwrap() + f64::from(value)).unwrap())
            .unwrap();
    };
    // Finite as it is, but not after the multiplication with the weights.
    set("encoder.0.1.weight", f32::MAX);
    set("encoder.0.0.weight", 2.0);
    let (error, text) = refused(&checkpoint, &network, ExportParams::default());
    assert!(
        matches!(&error, OnnxError::TooLargeWeight { layer } if layer == "encoder.0.0"),
        "{text}"
    );
    set("encoder.0.1.weight", f32::NAN);
    let (error, text) = refused(&checkpoint, &network, ExportParams::default());
    assert!(
        matches!(error, OnnxError::Model(_)) && text.contains("encoder.0.1.weight"),
        "{text}"
    );
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let (checkpoint, network) = localizer(2, 16);
    let exported = export(&checkpoint, &network, &ExportParams::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    for place in [folder.path(), &file.join("model.onnx")] {
        let error = exported.write(place).unwrap_err();
        assert!(error.to_string().contains(&place.display().to_string()), "{error}");
    }
    let place: &Path = &folder.path().join("new/model.onnx");
    exported.write(place).unwrap();
    assert_eq!(std::fs::read(place).unwrap(), exported.bytes);
}
