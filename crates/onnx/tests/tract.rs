//! Exported files, read and run by tract, give what the network itself gives, for networks whose running statistics, scales and
//! shifts are not those of an untrained one.

use candle_core::{DType, Device, Tensor};
use htl_models::{Architecture, Checkpoint, Mode, Network, Part, Preprocessing};
use htl_onnx::{CLASS_PROBABILITY, ExportParams, LOGITS, PROBABILITY, export};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tract_onnx::prelude::*;

/// Largest difference of a probability, and of a logit relative to the largest.
const TOLERANCE: f32 = 1e-4;

fn random(generator: &mut ChaCha8Rng, shape: &[usize], low: f32, high: f32) -> candle_core::Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| generator.random_range(low..high)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Images of blobs and noise, in [0, 1].
fn images(generator: &mut ChaCha8Rng, batch: usize, size: usize) -> candle_core::Tensor {
    let coarse = random(generator, &[batch, 3, size / 8, size / 8], 0.0, 0.8);
    let coarse = htl_ops::upsample_nearest2d(&coarse, (size / 8 * 8, size / 8 * 8)).unwrap();
    let coarse = coarse.narrow(2, 0, size.min(size / 8 * 8)).unwrap();
    let missing = size - size / 8 * 8;
    let coarse = coarse
        .pad_with_same(2, 0, missing)
        .unwrap()
        .pad_with_same(3, 0, missing)
        .unwrap();
    (coarse + random(generator, &[batch, 3, size, size], 0.0, 0.2)).unwrap()
}

/// A network that has seen images, and its record.
fn trained(architecture: Architecture, size: usize, generator: &mut ChaCha8Rng) -> (Checkpoint, Network) {
    let network = Network::build(&architecture, 3, &Device::Cpu).unwrap();
    for (_, var) in network.parameters().trainable() {
        if var.rank() == 1 {
            let factor = random(generator, var.dims(), 0.6, 1.4);
            let shift = random(generator, var.dims(), -0.2, 0.2);
            var.set(&((var.as_tensor() * factor).unwrap() + shift).unwrap().detach())
                .unwrap();
        }
    }
    let checkpoint = Checkpoint {
        preprocessing: Preprocessing {
            size: size / 8 * 8,
            mean: vec![0.5, 0.4, 0.3],
            std: vec![0.3, 0.2, 0.25],
        },
        ..Checkpoint::new(architecture)
    };
    let before: Vec<f32> = network.parameters().buffers()[0].1.to_vec1().unwrap();
    let side = size.next_multiple_of(network.graph().stride()).max(64);
    // Some steps as in training, and then the statistics of what the weights give now: maps as they are after a training, not
    // ones that shrink from layer to layer.
    for before in 0..3 {
        for mode in [Mode::Train, Mode::Recalibrate { before }] {
            let batch = images(generator, 4, side);
            let normalised = checkpoint.preprocessing.normalise(&batch).unwrap();
            network.forward(&normalised, mode).unwrap();
        }
    }
    let after: Vec<f32> = network.parameters().buffers()[0].1.to_vec1().unwrap();
    assert_ne!(
        before, after,
        "the running statistics are those of an untrained network"
    );
    (checkpoint, network)
}

/// What tract gives for a batch, by the names of the outputs.
fn run(bytes: &[u8], images: &candle_core::Tensor) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let model = tract_onnx::onnx().model_for_read(&mut &bytes[..]).unwrap();
    let outputs: Vec<String> = model
        .output_outlets()
        .unwrap()
        .iter()
        .map(|outlet| model.node(outlet.node).name.clone())
        .collect();
    let model = model.into_optimized().unwrap().into_runnable().unwrap();
    let values: Vec<f32> = images.flatten_all().unwrap().to_vec1().unwrap();
    let input = tract_onnx::prelude::Tensor::from_shape(images.dims(), &values).unwrap();
    let results = model.run(tvec!(input.into())).unwrap();
    assert_eq!(outputs.len(), results.len());
    outputs
        .into_iter()
        .zip(results)
        .map(|(name, result)| {
            let view = result.to_plain_array_view::<f32>().unwrap();
            (name, view.shape().to_vec(), view.iter().copied().collect())
        })
        .collect()
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

fn flat(tensor: &candle_core::Tensor) -> Vec<f32> {
    tensor
        .flatten_all()
        .unwrap()
        .to_dtype(DType::F32)
        .unwrap()
        .to_vec1()
        .unwrap()
}

fn assert_near(what: &str, found: &[f32], expected: &[f32], scale: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found
        .iter()
        .zip(expected)
        .fold(0f32, |worst, (a, b)| worst.max((a - b).abs() / scale));
    println!("{what}: largest difference {worst:.1e}");
    assert!(worst <= TOLERANCE, "{what}: {worst:.1e}");
    let spread = expected.iter().fold(f32::MIN, |a, b| a.max(*b)) - expected.iter().fold(f32::MAX, |a, b| a.min(*b));
    assert!(
        spread > 0.01,
        "{what}: all values are alike ({spread:.1e}), which tests nothing"
    );
}

fn check(encoder: &str, decoder: Option<&str>, head: &str, size: usize) {
    let part = |text: &str| text.parse::<Part>().unwrap();
    let architecture = Architecture::new(part(encoder), decoder.map(part), part(head), 3).unwrap();
    let what = architecture.to_string();
    let mut generator = ChaCha8Rng::seed_from_u64(11);
    let (checkpoint, network) = trained(architecture, size, &mut generator);
    let params = ExportParams {
        size: Some(size),
        ..ExportParams::default()
    };
    let exported = export(&checkpoint, &network, &params).unwrap();
    let images = images(&mut generator, 2, size);
    let normalised = checkpoint.preprocessing.normalise(&images).unwrap();
    let expected = network.outputs(&normalised, Mode::Evaluate).unwrap();
    let found = run(&exported.bytes, &images);
    let names: Vec<&str> = found.iter().map(|(name, _, _)| name.as_str()).collect();
    assert_eq!(names, exported.outputs, "{what}");
    for (name, shape, values) in &found {
        let what = format!("{what}, {name}");
        match name.as_str() {
            PROBABILITY => {
                let logits = expected.pixels.as_ref().unwrap();
                assert_eq!(shape, logits.dims(), "{what}");
                let logits = flat(logits);
                let sure = logits.iter().filter(|logit| logit.abs() > 5.0).count();
                assert!(
                    sure * 2 < logits.len(),
                    "{what}: most probabilities are 0 or 1, and hide differences"
                );
                let expected: Vec<f32> = logits.into_iter().map(sigmoid).collect();
                assert_near(&what, values, &expected, 1.0);
            }
            LOGITS => {
                let logits = expected.classes.as_ref().unwrap();
                assert_eq!(shape, logits.dims(), "{what}");
                let logits = flat(logits);
                let largest = logits.iter().fold(1f32, |largest, logit| largest.max(logit.abs()));
                assert_near(&what, values, &logits, largest);
            }
            CLASS_PROBABILITY => {
                let logits = expected.classes.as_ref().unwrap();
                let expected: Vec<f32> = logits
                    .to_vec2::<f32>()
                    .unwrap()
                    .into_iter()
                    .flat_map(|row| {
                        let sum: f32 = row.iter().map(|logit| logit.exp()).sum();
                        row.into_iter().map(move |logit| logit.exp() / sum)
                    })
                    .collect();
                assert_near(&what, values, &expected, 1.0);
            }
            other => panic!("{what}: an output of another name, {other}"),
        }
    }
}

#[test]
fn plain_unet() {
    check("plain width=4", Some("unet width=4"), "localizer", 64);
}

#[test]
fn efficientnet_lite0_unet() {
    check("efficientnet-lite0", Some("unet width=4"), "localizer kernel=3", 64);
}

#[test]
fn resnet18_fpn() {
    check("resnet18", Some("fpn"), "localizer", 64);
}

#[test]
fn dilated_lite0_deeplab() {
    check(
        "efficientnet-lite0 output_stride=16",
        Some("deeplabv3plus"),
        "localizer",
        64,
    );
}

#[test]
fn mobilenet_v2_lraspp() {
    check("mobilenet-v2", Some("lraspp"), "localizer", 64);
}

#[test]
fn classifiers() {
    check("plain width=4", None, "classifier classes=3", 64);
    check("resnet50", None, "classifier classes=5", 64);
}

#[test]
fn both_heads() {
    let head = "localizer-and-classifier kernel=3 classes=3";
    check("resnet34 output_stride=8", Some("unet width=4"), head, 64);
}

/// Sides that are no multiples of the stride: the last row and column are repeated, and what they gave is taken off.
#[test]
fn sides_between_multiples_of_the_stride() {
    check("plain width=4", Some("unet width=4"), "localizer-and-classifier", 51);
    check("mobilenet-v2", Some("lraspp fine_stride=8"), "localizer", 72);
}

/// The same file takes batches of any size.
#[test]
fn a_batch_of_any_size() {
    let mut generator = ChaCha8Rng::seed_from_u64(5);
    let (checkpoint, network) = trained(Architecture::unet(2).unwrap(), 16, &mut generator);
    let bytes = export(&checkpoint, &network, &ExportParams::default()).unwrap().bytes;
    let images = images(&mut generator, 3, 16);
    let together = run(&bytes, &images).remove(0);
    assert_eq!(together.1, [3, 1, 16, 16]);
    let alone: Vec<f32> = (0..3)
        .flat_map(|at| run(&bytes, &images.narrow(0, at, 1).unwrap()).remove(0).2)
        .collect();
    assert_near("one by one", &alone, &together.2, 1.0);
}
