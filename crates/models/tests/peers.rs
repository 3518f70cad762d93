//! Encoders, decoders and heads give the logits, running statistics and gradients of the networks that people know (timm,
//! torchvision, segmentation_models_pytorch; `golden/networks/*.safetensors`, made by `golden/networks.py`), for weights that
//! both sides compute from the names of tensors: to 1e-8 in f64, relative to the largest value of the tensor compared.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use common::{filled, flat, images};
use htl_models::{Architecture, Mode, Network, Part};

const TOLERANCE: f64 = 1e-8;

fn every(step: usize, values: &[f64]) -> Vec<f64> {
    values.iter().step_by(step).copied().collect()
}

fn summary(tensor: &Tensor) -> Vec<f64> {
    let values = flat(tensor);
    let spread = (0..4).map(|i| values[i * (values.len() - 1) / 3]);
    let sums = [values.iter().sum(), values.iter().map(|value| value.abs()).sum()];
    sums.into_iter().chain(spread).collect()
}

fn assert_near(what: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0f64, |largest, value| largest.max(value.abs()));
    assert!(largest > 0.0, "{what}: a golden tensor of zeros tests nothing");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / largest;
        assert!(
            error <= TOLERANCE,
            "{what}[{at}]: {found}, the peer has {expected}, relative error {error:.1e}"
        );
    }
}

/// All logits, one after the other.
fn logits(network: &Network, images: &Tensor, mode: Mode) -> Tensor {
    let outputs = network.outputs(images, mode).unwrap();
    let parts: Vec<Tensor> = [outputs.pixels, outputs.classes]
        .into_iter()
        .flatten()
        .map(|logits| logits.flatten_all().unwrap())
        .collect();
    Tensor::cat(&parts, 0).unwrap()
}

fn check(name: &str, encoder: &str, decoder: Option<&str>, head: &str, shape: [usize; 4]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/networks/{name}.safetensors"));
    let golden: HashMap<String, Tensor> = candle_core::safetensors::load(path, &Device::Cpu).unwrap();
    let expected = |key: &str| flat(&golden[key]);
    let part = |text: &str| text.parse::<Part>().unwrap();
    let architecture = Architecture::new(part(encoder), decoder.map(part), part(head), shape[1]).unwrap();
    let network = Network::build_with_dtype(&architecture, 0, DType::F64, &Device::Cpu).unwrap();
    let weights: BTreeMap<String, Tensor> = network
        .parameters()
        .all()
        .into_iter()
        .map(|(name, var)| (name.clone(), filled(&name, var.dims())))
        .collect();
    network.parameters().load(&weights).unwrap();
    let images = images(shape);

    let evaluated = flat(&logits(&network, &images, Mode::Evaluate));
    assert_near("evaluated", &every(17, &evaluated), &expected("evaluated"));
    let trained = logits(&network, &images, Mode::Train);
    assert_near("trained", &every(17, &flat(&trained)), &expected("trained"));
    let loss = trained.sqr().unwrap().mean_all().unwrap();
    assert_near("loss", &flat(&loss), &expected("loss"));
    let gradients = loss.backward().unwrap();
    assert_near(
        "image_grad",
        &every(97, &flat(gradients.get(&images).unwrap())),
        &expected("image_grad"),
    );
    let rows = golden["grad"].to_vec2::<f64>().unwrap();
    assert_eq!(rows.len(), network.parameters().trainable().len());
    for ((name, var), row) in network.parameters().trainable().iter().zip(&rows) {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("no gradient for {name}"));
        // A bias in front of a normalisation has a gradient of rounding alone.
        if row[1] > 1e-9 {
            assert_near(&format!("gradient of {name}"), &summary(gradient), row);
        }
    }
    let rows = golden["after"].to_vec2::<f64>().unwrap();
    assert_eq!(rows.len(), network.parameters().buffers().len());
    for ((name, var), row) in network.parameters().buffers().iter().zip(&rows) {
        assert_near(name, &summary(var), row);
    }
}

const TWO: [usize; 4] = [2, 3, 64, 96];
const THREE: [usize; 4] = [3, 3, 64, 96];

#[test]
fn unets_of_segmentation_models() {
    check("resnet18-unet", "resnet18", Some("unet"), "localizer kernel=3", TWO);
    check(
        "lite0-unet",
        "efficientnet-lite0",
        Some("unet"),
        "localizer kernel=3",
        TWO,
    );
    check(
        "mobilenet-v2-unet",
        "mobilenet-v2",
        Some("unet"),
        "localizer kernel=3",
        TWO,
    );
}

#[test]
fn fpn_and_deeplab_of_segmentation_models() {
    check("resnet18-fpn", "resnet18", Some("fpn"), "localizer", TWO);
    let encoder = "efficientnet-lite0 output_stride=16";
    check("lite0-deeplab", encoder, Some("deeplabv3plus"), "localizer", TWO);
}

#[test]
fn lraspp_of_torchvision() {
    check("mobilenet-v2-lraspp", "mobilenet-v2", Some("lraspp"), "localizer", TWO);
}

#[test]
fn resnets_of_torchvision() {
    check("resnet34-classifier", "resnet34", None, "classifier classes=3", THREE);
    check("resnet50-classifier", "resnet50", None, "classifier classes=3", THREE);
}

#[test]
fn dilated_encoders_of_timm() {
    check(
        "resnet18-stride-8",
        "resnet18 output_stride=8",
        None,
        "classifier",
        THREE,
    );
    check(
        "resnet50-stride-16",
        "resnet50 output_stride=16",
        None,
        "classifier",
        THREE,
    );
    check(
        "lite2-classifier",
        "efficientnet-lite2",
        None,
        "classifier classes=3",
        THREE,
    );
    check(
        "lite2-stride-8",
        "efficientnet-lite2 output_stride=8",
        None,
        "classifier",
        THREE,
    );
}

#[test]
fn both_heads_on_grey_images() {
    let head = "localizer-and-classifier kernel=3 classes=3";
    check("grey-both", "resnet18", Some("unet"), head, [2, 1, 64, 96]);
}
