//! Logits, class activation maps, losses, running statistics and every gradient equal PyTorch's for the same weights
//! (`golden/*.safetensors`, made by `golden/make.py`): to 1e-10 in f64, to 1e-4 in f32, both relative to the largest
//! value of the tensor compared.

use std::collections::HashMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor, Var};
use htl_models::{Architecture, ClassChoice, Mode, Network, Part};

type Golden = HashMap<String, Tensor>;

fn golden(name: &str) -> Golden {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.safetensors"));
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor
        .detach()
        .to_dtype(DType::F64)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let (found, expected) = (values(found), values(expected));
    let largest = expected.iter().fold(0f64, |largest, value| largest.max(value.abs()));
    assert!(largest > 0.0, "{what}: a golden tensor of zeros tests nothing");
    for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
        let error = (found - expected).abs() / largest;
        assert!(
            error <= tolerance,
            "{what}[{index}]: {found}, PyTorch {expected}, relative error {error:.1e}"
        );
    }
}

/// A network with the golden weights.
fn network(architecture: &Architecture, golden: &Golden, dtype: DType) -> Network {
    let network = Network::build_with_dtype(architecture, 0, dtype, &Device::Cpu).unwrap();
    let state = golden
        .iter()
        .filter_map(|(name, tensor)| Some((name.strip_prefix("state.")?.to_string(), tensor.clone())));
    network.parameters().load(&state.collect()).unwrap();
    network
}

fn check(
    architecture: &Architecture,
    name: &str,
    loss: impl Fn(&Tensor, &Tensor) -> Tensor,
    dtype: DType,
    tolerance: f64,
) {
    let golden = golden(name);
    let network = network(architecture, &golden, dtype);
    let images = Var::from_tensor(&golden["images"].to_dtype(dtype).unwrap()).unwrap();

    let evaluated = network.forward(&images, Mode::Evaluate).unwrap();
    assert_close("evaluated", &evaluated, &golden["evaluated"], tolerance);
    let tracked = network.forward(&images, Mode::Gradients).unwrap();
    assert_close("evaluated with gradients", &tracked, &golden["evaluated"], tolerance);

    let trained = network.forward(&images, Mode::Train).unwrap();
    assert_close("trained", &trained, &golden["trained"], tolerance);
    let loss = loss(&trained, &golden["target"]);
    assert_close("loss", &loss.reshape(1).unwrap(), &golden["loss"], tolerance);
    let gradients = loss.backward().unwrap();
    assert_close(
        "grad.images",
        gradients.get(&images).unwrap(),
        &golden["grad.images"],
        tolerance,
    );
    for (name, var) in network.parameters().trainable() {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("no gradient for {name}"));
        assert_close(
            &format!("grad.{name}"),
            gradient,
            &golden[&format!("grad.{name}")],
            tolerance,
        );
    }
    for (name, var) in network.parameters().buffers() {
        assert_close(
            &format!("after.{name}"),
            var,
            &golden[&format!("after.{name}")],
            tolerance,
        );
    }
    let tested = network.parameters().all().len();
    assert_eq!(tested, golden.keys().filter(|key| key.starts_with("state.")).count());
}

/// Binary cross entropy on logits from candle's elementwise operations, mean over all pixels.
fn bce(logits: &Tensor, target: &Tensor) -> Tensor {
    let target = target.to_dtype(logits.dtype()).unwrap();
    let softplus = ((logits.abs().unwrap().neg().unwrap().exp().unwrap() + 1.0).unwrap())
        .log()
        .unwrap();
    let linear = (logits.relu().unwrap() - (logits * target).unwrap()).unwrap();
    (linear + softplus).unwrap().mean_all().unwrap()
}

/// Cross entropy from candle's elementwise operations, mean over images.
fn cross_entropy(logits: &Tensor, target: &Tensor) -> Tensor {
    let largest = logits.max_keepdim(1).unwrap().detach();
    let shifted = logits.broadcast_sub(&largest).unwrap();
    let normaliser = shifted.exp().unwrap().sum_keepdim(1).unwrap().log().unwrap();
    let log = shifted.broadcast_sub(&normaliser).unwrap();
    let target = target.to_dtype(DType::U32).unwrap().unsqueeze(1).unwrap();
    log.gather(&target, 1).unwrap().mean_all().unwrap().neg().unwrap()
}

fn unet() -> Architecture {
    Architecture::unet(2).unwrap()
}

fn classifier() -> Architecture {
    Architecture::classifier(Part::new("plain").with("width", 2), 3).unwrap()
}

#[test]
fn unet_equals_torch_in_f64() {
    check(&unet(), "unet", bce, DType::F64, 1e-10);
}

#[test]
fn unet_equals_torch_in_f32() {
    check(&unet(), "unet", bce, DType::F32, 1e-4);
}

#[test]
fn classifier_equals_torch_in_f64() {
    check(&classifier(), "classifier", cross_entropy, DType::F64, 1e-10);
}

#[test]
fn classifier_equals_torch_in_f32() {
    check(&classifier(), "classifier", cross_entropy, DType::F32, 1e-4);
}

#[test]
fn class_activation_maps_equal_torch() {
    let golden = golden("classifier");
    let network = network(&classifier(), &golden, DType::F64);
    let images = golden["images"].to_dtype(DType::F64).unwrap();
    let classifier = &network;
    assert_close(
        "maps",
        &classifier.class_activation_maps(&images).unwrap(),
        &golden["maps"],
        1e-10,
    );
    let localized = classifier.localization_map(&images, ClassChoice::Class(1)).unwrap();
    assert_close("localized", &localized, &golden["localized"], 1e-10);
}
