//! Features, gradients and running statistics of MobileNetV2 equal PyTorch's for the same weights
//! (`golden/mobilenet_v2.safetensors`, made by `golden/make_mobilenet_v2.py`): to 1e-10 in f64. In f32 features agree to
//! 1e-4, gradients to 3e-2: rounding moves values over the kinks of ReLU6, and PyTorch's own f32 gradients of this network
//! are 1.5e-2 from its f64 ones.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor, Var};
use htl_bench::MobileNetV2;
use htl_models::{Mode, ModelError};

/// Numbers in [-1, 1), each from its position, as `noise` of the generator makes them.
fn noise(stream: u64, shape: &[usize]) -> Tensor {
    let values: Vec<f64> = (0..shape.iter().product::<usize>() as u64)
        .map(|index| {
            let mut x = (index + stream * 0x9E37_79B1) & 0xFFFF_FFFF;
            for _ in 0..2 {
                x = (((x >> 16) ^ x) * 0x45D_9F3B) & 0xFFFF_FFFF;
            }
            x = (x >> 16) ^ x;
            x as f64 / 2f64.powi(31) - 1.0
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.detach().flatten_all().unwrap();
    flat.to_dtype(DType::F64).unwrap().to_vec1().unwrap()
}

/// Equal up to `tolerance` times the largest value expected.
fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0f64, |largest, value| largest.max(value.abs()));
    assert!(largest > 0.0, "{what}: golden zeros test nothing");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs() / largest;
        assert!(
            error <= tolerance,
            "{what}[{index}]: {found}, PyTorch {expected}, relative error {error:.1e}"
        );
    }
}

/// Every `step`th index along an axis.
fn every(tensor: &Tensor, axis: usize, step: usize) -> Tensor {
    let indices: Vec<u32> = (0..tensor.dims()[axis] as u32).step_by(step).collect();
    let indices = Tensor::new(indices, &Device::Cpu).unwrap();
    tensor
        .detach()
        .contiguous()
        .unwrap()
        .index_select(&indices, axis)
        .unwrap()
}

/// Smallest norm that is not 0 but for rounding: the shift of a normalisation that leads, without an activation, to
/// another normalisation has no gradient.
const ZERO: f64 = 1e-5;

/// A parameter's dot product with noise, relative to its norm, and the norm itself.
fn assert_sums(what: &str, found: &Tensor, expected: &[f64], tolerance: f64) {
    let (mine, noise) = (values(found), values(&noise(7, found.dims())));
    let dot: f64 = mine.iter().zip(&noise).map(|(a, b)| a * b).sum();
    let norm = mine.iter().map(|a| a * a).sum::<f64>().sqrt();
    if expected[1] < ZERO {
        assert!(norm < ZERO, "{what}: norm {norm}, PyTorch 0");
        return;
    }
    let error = (dot - expected[0]).abs().max((norm - expected[1]).abs()) / expected[1];
    assert!(
        error <= tolerance,
        "{what}: dot product and norm [{dot}, {norm}], PyTorch {expected:?}, relative error {error:.1e}"
    );
}

/// The weights of the generator.
fn state(network: &MobileNetV2) -> BTreeMap<String, Tensor> {
    let all = network.parameters().all();
    let draw = |(stream, (name, var)): (usize, (String, Var))| {
        let noise = noise(100 + stream as u64, var.dims());
        let drawn = match *var.dims() {
            [_, a, b, c] => noise.affine((6.0 / (a * b * c) as f64).sqrt(), 0.0),
            _ if name.ends_with("running_var") || name.ends_with("weight") => noise.affine(0.5, 1.0),
            _ => noise.affine(0.3, 0.0),
        };
        (name, drawn.unwrap().to_dtype(DType::F32).unwrap())
    };
    all.into_iter().enumerate().map(draw).collect()
}

fn check(dtype: DType, tolerance: f64, of_gradients: f64) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mobilenet_v2.safetensors");
    let golden: HashMap<String, Vec<f64>> = candle_core::safetensors::load(path, &Device::Cpu)
        .unwrap()
        .into_iter()
        .map(|(name, tensor)| (name, values(&tensor)))
        .collect();
    let network = MobileNetV2::new(0, dtype, &Device::Cpu).unwrap();
    network.parameters().load(&state(&network)).unwrap();
    let images = noise(1, &[2, 3, 64, 72]).to_dtype(DType::F32).unwrap();
    let images = Var::from_tensor(&images.to_dtype(dtype).unwrap()).unwrap();

    let evaluated = network.forward(&images, Mode::Evaluate).unwrap();
    assert_eq!(evaluated.dims(), [2, 1280, 2, 3]);
    let evaluated = values(&every(&evaluated, 1, 40));
    assert_close("evaluated", &evaluated, &golden["evaluated"], tolerance);

    let trained = network.forward(&images, Mode::Train).unwrap();
    assert_close(
        "trained",
        &values(&every(&trained, 1, 40)),
        &golden["trained"],
        tolerance,
    );
    let loss = trained.sqr().unwrap().mean_all().unwrap();
    assert_close("loss", &values(&loss), &golden["loss"], tolerance);
    let gradients = loss.backward().unwrap();
    let of_images = every(&every(gradients.get(&images).unwrap(), 2, 8), 3, 8);
    assert_close("grad.images", &values(&of_images), &golden["grad.images"], of_gradients);

    let trainable = network.parameters().trainable();
    assert_eq!(golden["gradient_sums"].len(), 2 * trainable.len());
    for ((name, var), expected) in trainable.iter().zip(golden["gradient_sums"].chunks(2)) {
        let gradient = gradients.get(var).unwrap_or_else(|| panic!("no gradient for {name}"));
        assert_sums(&format!("grad.{name}"), gradient, expected, of_gradients);
        if let Some(expected) = golden.get(&format!("grad.{name}")) {
            assert_close(&format!("grad.{name}"), &values(gradient), expected, of_gradients);
        }
    }
    let buffers = network.parameters().buffers();
    assert_eq!(golden["buffer_sums"].len(), 2 * buffers.len());
    for ((name, var), expected) in buffers.iter().zip(golden["buffer_sums"].chunks(2)) {
        assert_sums(&format!("after.{name}"), var.as_tensor(), expected, tolerance);
    }
}

#[test]
fn equals_torch_in_f64() {
    check(DType::F64, 1e-10, 1e-10);
}

#[test]
fn equals_torch_in_f32() {
    check(DType::F32, 1e-4, 3e-2);
}

/// As many as torchvision's `mobilenet_v2().features` has, under its names.
#[test]
fn parameters_are_those_of_torchvision() {
    let network = MobileNetV2::new(0, DType::F32, &Device::Cpu).unwrap();
    let parameters = network.parameters();
    assert_eq!(parameters.trainable_count(), 2_223_872);
    let shape = |name: &str| parameters.get(name).map(|var| var.dims().to_vec());
    assert_eq!(shape("features.0.0.weight"), Some(vec![32, 3, 3, 3]));
    assert_eq!(shape("features.1.conv.0.0.weight"), Some(vec![32, 1, 3, 3]));
    assert_eq!(shape("features.1.conv.2.running_var"), Some(vec![16]));
    assert_eq!(shape("features.17.conv.2.weight"), Some(vec![320, 960, 1, 1]));
    assert_eq!(shape("features.18.1.weight"), Some(vec![1280]));
}

#[test]
fn other_shapes_are_refused() {
    let network = MobileNetV2::new(0, DType::F32, &Device::Cpu).unwrap();
    for dims in [&[1, 1, 32, 32][..], &[3, 32, 32], &[0, 3, 32, 32]] {
        let images = Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
        let error = network.forward(&images, Mode::Evaluate).unwrap_err();
        assert!(matches!(error, ModelError::ImageShape { .. }), "{dims:?}: {error}");
    }
    let images = Tensor::zeros((1, 3, 33, 50), DType::F32, &Device::Cpu).unwrap();
    assert_eq!(
        network.forward(&images, Mode::Evaluate).unwrap().dims(),
        [1, 1280, 2, 2]
    );
}
