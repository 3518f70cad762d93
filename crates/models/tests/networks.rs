//! Shapes, initial weights, copies, modes, class activation maps, training, pruning.

use candle_core::{DType, Device, ModuleT, Tensor};
use htl_models::{Architecture, ClassChoice, Mode, ModelError, Network, Part};
use htl_ops::Precision;
use htl_ops::optim::{AdamW, AdamWParams};
use htl_pruning::{Criterion, MaskSet, PruneParams, WeightSet};

fn unet(width: usize) -> Architecture {
    Architecture::unet(width).unwrap()
}

fn classifier(width: usize, classes: usize) -> Architecture {
    Architecture::classifier(Part::new("plain").with("width", width), classes).unwrap()
}

fn build(architecture: &Architecture, seed: u64) -> Network {
    Network::build(architecture, seed, &Device::Cpu).unwrap()
}

/// Smooth, different from image to image and from channel to channel.
fn images(batch: usize, height: usize, width: usize) -> Tensor {
    let count = batch * 3 * height * width;
    let values: Vec<f32> = (0..count)
        .map(|i| (i as f32 * 0.013).sin() + (i as f32 * 0.71).cos())
        .collect();
    Tensor::from_vec(values, (batch, 3, height, width), &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()
}

fn state(network: &Network) -> Vec<(String, Vec<f32>)> {
    network
        .parameters()
        .all()
        .iter()
        .map(|(name, var)| (name.clone(), flat(var)))
        .collect()
}

#[test]
fn names_and_counts_are_those_of_the_reference() {
    let network = build(&unet(16), 0);
    let parameters = network.parameters();
    let names: Vec<&str> = parameters.trainable().iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.is_sorted());
    assert_eq!(names.len(), 7 * 6 + 2);
    for name in [
        "encoder.0.0.weight",
        "encoder.0.1.bias",
        "encoder.3.3.weight",
        "decoder.2.4.weight",
        "head.bias",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    assert_eq!(parameters.buffers().len(), 7 * 4);
    assert_eq!(parameters.get("decoder.0.0.weight").unwrap().dims(), [64, 192, 3, 3]);
    assert_eq!(parameters.get("encoder.1.1.running_var").unwrap().dims(), [32]);
    assert!(parameters.get("encoder.1.2.weight").is_none());
    // sum(p.numel() for p in UNet(16).parameters()) in PyTorch
    assert_eq!(parameters.trainable_count(), 488_001);
}

#[test]
fn outputs_have_the_documented_shapes() {
    for (height, width) in [(8, 8), (16, 24), (32, 8)] {
        let x = images(2, height, width);
        let logits = build(&unet(3), 1).forward(&x, Mode::Evaluate).unwrap();
        assert_eq!(logits.dims(), [2, 1, height, width]);
        let network = build(&classifier(3, 5), 1);
        assert_eq!(network.forward(&x, Mode::Evaluate).unwrap().dims(), [2, 5]);
        assert_eq!(
            network.class_activation_maps(&x).unwrap().dims(),
            [2, 5, height / 8, width / 8]
        );
    }
}

/// Deep features are the encoder's means: a localizer's and those of the classifier with its encoder are the same, and those of a
/// classifier are what its linear layer sees.
#[test]
fn deep_features_are_the_encoders_means() {
    let x = images(2, 16, 24);
    let network = build(&classifier(3, 5), 1);
    let found: Vec<Vec<f32>> = network.deep_features(&x).unwrap().to_vec2().unwrap();
    assert_eq!((found.len(), found[0].len()), (2, 24));
    let [weight, bias] = ["head.weight", "head.bias"].map(|name| network.parameters().get(name).unwrap().clone());
    let features = Tensor::new(found.clone(), &Device::Cpu).unwrap();
    let logits = features
        .matmul(&weight.t().unwrap())
        .unwrap()
        .broadcast_add(&bias)
        .unwrap();
    assert_eq!(flat(&logits), flat(&network.forward(&x, Mode::Evaluate).unwrap()));
    let localizer: Vec<Vec<f32>> = build(&unet(3), 1).deep_features(&x).unwrap().to_vec2().unwrap();
    assert_eq!(localizer, found, "the same seed gives the same encoder");
    assert!(found[0] != found[1]);
}

#[test]
fn bad_shapes_are_told() {
    let network = build(&unet(2), 0);
    let message = |shape: &[usize]| {
        let x = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        network.forward(&x, Mode::Evaluate).unwrap_err().to_string()
    };
    assert_eq!(
        message(&[1, 3, 7, 96]),
        "the network takes images of shape [batch, 3, height, width] with height and width of at least 8, found \
         [1, 3, 7, 96]: the images are smaller than the network's coarsest pixel: enlarge them"
    );
    assert!(message(&[1, 1, 96, 96]).contains("the number of channels differs"));
    assert!(message(&[3, 96, 96]).contains("give a batch"));
    assert!(message(&[0, 3, 96, 96]).contains("the batch is empty"));
    assert!(message(&[1, 3, 0, 8]).contains("enlarge them"));
}

#[test]
fn bad_sizes_are_told() {
    let message = |architecture: Result<Architecture, ModelError>| architecture.unwrap_err().to_string();
    let plain = || Part::new("plain");
    assert_eq!(message(Architecture::unet(0)), "`width` must be in 1..=1024, found 0");
    assert_eq!(
        message(Architecture::unet(5000)),
        "`width` must be in 1..=1024, found 5000"
    );
    assert_eq!(
        message(Architecture::classifier(plain(), 1)),
        "`classes` must be in 2..=1024, found 1"
    );
    let grey = Architecture::new(plain(), Some(Part::new("unet")), Part::new("localizer"), 0);
    assert_eq!(message(grey), "`in_channels` must be in 1..=1024, found 0");
    let error = Network::build_with_dtype(&unet(2), 0, DType::U8, &Device::Cpu).unwrap_err();
    assert!(
        matches!(error, ModelError::Config { ref key, .. } if key == "dtype"),
        "{error}"
    );
}

#[test]
fn the_seed_determines_the_weights() {
    assert_eq!(state(&build(&unet(3), 5)), state(&build(&unet(3), 5)));
    let (five, six) = (state(&build(&unet(3), 5)), state(&build(&unet(3), 6)));
    for ((name, a), (_, b)) in five.iter().zip(&six) {
        let random = name.starts_with("head.") || (name.ends_with("weight") && a.len() > 24);
        assert_eq!(a != b, random, "{name}");
    }
    // A parameter's value depends on its name, not on what else the network has.
    let classifier = build(&classifier(3, 4), 5);
    for (name, values) in &five {
        if name.starts_with("encoder.") {
            assert_eq!(&flat(classifier.parameters().get(name).unwrap()), values, "{name}");
        }
    }
}

/// PyTorch draws from U(-1/√fan_in, 1/√fan_in), of standard deviation 1/√(3 fan_in).
#[test]
fn initial_weights_have_torchs_distribution() {
    let network = build(&unet(16), 3);
    for (name, fan_in) in [
        ("encoder.0.0.weight", 27),
        ("encoder.3.3.weight", 128 * 9),
        ("decoder.0.0.weight", 192 * 9),
    ] {
        let values = flat(network.parameters().get(name).unwrap());
        let bound = 1.0 / (fan_in as f32).sqrt();
        let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
        assert!(largest <= bound && largest > 0.98 * bound, "{name}: {largest} {bound}");
        let n = values.len() as f32;
        let mean = values.iter().sum::<f32>() / n;
        let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / n).sqrt();
        assert!(mean.abs() < 4.0 * bound / (3.0 * n).sqrt(), "{name}: mean {mean}");
        assert!(
            (deviation * 3f32.sqrt() / bound - 1.0).abs() < 0.1,
            "{name}: deviation {deviation}"
        );
    }
}

#[test]
fn a_duplicate_is_independent() {
    let network = build(&unet(2), 1);
    network.forward(&images(2, 16, 16), Mode::Train).unwrap(); // running statistics away from 0 and 1
    let copy = network.duplicate().unwrap();
    assert_eq!(state(&copy), state(&network));
    let before = state(&copy);
    for (_, var) in network.parameters().all() {
        var.set(&(var.as_detached_tensor() + 1.0).unwrap()).unwrap();
    }
    assert_eq!(state(&copy), before);
    copy.copy_from(&network).unwrap();
    assert_eq!(state(&copy), state(&network));
    assert_ne!(state(&copy), before);
    network.copy_from(&network).unwrap();
}

#[test]
fn copying_from_another_architecture_is_refused() {
    let error = build(&unet(2), 0).copy_from(&build(&unet(3), 0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the weights belong to another network: they are of plain width=3 + unet width=3 + localizer kernel=1, expected plain width=2 + unet width=2 + localizer kernel=1"
    );
    let parameters = build(&unet(2), 0).parameters().clone();
    let error = parameters.copy_from(build(&unet(3), 0).parameters()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("tensor `decoder.0.0.weight` has shape [12, 36, 3, 3], expected [8, 24, 3, 3]")
    );
}

#[test]
fn evaluation_tracks_no_gradient_and_changes_nothing() {
    for architecture in [unet(2), classifier(2, 3)] {
        let network = build(&architecture, 0);
        let before = state(&network);
        let x = images(2, 16, 16);
        let out = network.forward(&x, Mode::Evaluate).unwrap();
        assert!(!out.track_op(), "{architecture}");
        assert_eq!(flat(&network.forward_t(&x, false).unwrap()), flat(&out));
        assert!(network.forward(&x, Mode::Gradients).unwrap().track_op());
        assert_eq!(state(&network), before);
        assert!(network.forward_t(&x, true).unwrap().track_op());
        assert_ne!(state(&network), before, "training moves the running statistics");
    }
}

/// An image's evaluation does not depend on what else is in the batch.
/// The mean of the statistics of single batches, whatever the running ones were; weights stay, and nothing is tracked.
#[test]
fn recalibration_averages_over_batches() {
    for architecture in [unet(4), classifier(4, 3)] {
        let batches: Vec<Tensor> = (2..5)
            .map(|batch| (images(batch, 16, 16) + batch as f64).unwrap())
            .collect();
        // One training step from statistics (0, 1) moves them a tenth of the way: that tells those of a batch.
        let of_batch = |batch: &Tensor| -> Vec<Vec<f32>> {
            let fresh = build(&architecture, 7);
            fresh.forward(batch, Mode::Train).unwrap();
            let moved = |(name, var): &(String, candle_core::Var)| {
                let start = if name.ends_with("running_var") { 1.0 } else { 0.0 };
                let values = flat(var.as_tensor());
                values.into_iter().map(|value| (value - 0.9 * start) / 0.1).collect()
            };
            fresh.parameters().buffers().iter().map(moved).collect()
        };
        let single: Vec<Vec<Vec<f32>>> = batches.iter().map(of_batch).collect();
        let network = build(&architecture, 7);
        // Earlier statistics leave no trace.
        network.forward(&images(3, 16, 16), Mode::Train).unwrap();
        let weights: Vec<f32> = network
            .parameters()
            .trainable()
            .iter()
            .flat_map(|(_, var)| flat(var))
            .collect();
        for (before, batch) in (0..).zip(&batches) {
            let output = network.forward(batch, Mode::Recalibrate { before }).unwrap();
            assert!(!output.track_op());
        }
        for (layer, (name, var)) in network.parameters().buffers().iter().enumerate() {
            for (channel, found) in flat(var.as_tensor()).into_iter().enumerate() {
                let expected = single.iter().map(|batch| batch[layer][channel]).sum::<f32>() / 3.0;
                let tolerance = 2e-4 * expected.abs().max(1.0);
                assert!(
                    (found - expected).abs() < tolerance,
                    "{name}: {found}, expected {expected}"
                );
            }
        }
        let after: Vec<f32> = network
            .parameters()
            .trainable()
            .iter()
            .flat_map(|(_, var)| flat(var))
            .collect();
        assert_eq!(weights, after);
    }
}

#[test]
fn evaluation_is_image_by_image() {
    let network = build(&unet(4), 2);
    let x = images(3, 16, 16);
    let together = network.forward(&x, Mode::Evaluate).unwrap();
    for image in 0..3 {
        let alone = network
            .forward(&x.narrow(0, image, 1).unwrap(), Mode::Evaluate)
            .unwrap();
        let same = together.narrow(0, image, 1).unwrap();
        for (a, b) in flat(&alone).iter().zip(flat(&same)) {
            assert!((a - b).abs() < 1e-5);
        }
    }
}

#[test]
fn mean_of_the_class_activation_maps_plus_bias_is_the_logit() {
    let network = Network::build_with_dtype(&classifier(3, 4), 9, DType::F64, &Device::Cpu).unwrap();
    let x = images(2, 24, 16).to_dtype(DType::F64).unwrap();
    let maps = network.class_activation_maps(&x).unwrap();
    let bias = network.parameters().get("head.bias").unwrap();
    let mean = maps
        .mean((2, 3))
        .unwrap()
        .broadcast_add(bias)
        .unwrap()
        .to_vec2::<f64>()
        .unwrap();
    let logits = network.forward(&x, Mode::Evaluate).unwrap().to_vec2::<f64>().unwrap();
    for (mean, logit) in mean.iter().flatten().zip(logits.iter().flatten()) {
        assert!((mean - logit).abs() < 1e-12, "{mean} {logit}");
    }
}

#[test]
fn localization_maps_are_of_the_class_asked_for() {
    let network = build(&classifier(4, 3), 4);
    let x = images(2, 32, 16);
    let map = |choice| network.localization_map(&x, choice).unwrap();
    let of = |class: usize| flat(&map(ClassChoice::Class(class)));
    for class in 0..3 {
        for image in of(class).chunks(32 * 16) {
            let (low, high) = image
                .iter()
                .fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
            assert_eq!((low, high), (0.0, 1.0));
        }
    }
    assert_ne!(of(0), of(1));
    let mixed = flat(&map(ClassChoice::PerImage(&[2, 1])));
    assert_eq!(mixed, [&of(2)[..512], &of(1)[512..]].concat());
    let logits = network.forward(&x, Mode::Evaluate).unwrap().to_vec2::<f32>().unwrap();
    let best: Vec<usize> = logits
        .iter()
        .map(|row| (0..3).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap())
        .collect();
    assert_eq!(
        flat(&map(ClassChoice::Predicted)),
        flat(&map(ClassChoice::PerImage(&best)))
    );
    assert_eq!(map(ClassChoice::Predicted).dims(), [2, 1, 32, 16]);

    let message = |choice| network.localization_map(&x, choice).unwrap_err().to_string();
    assert!(message(ClassChoice::Class(3)).contains("no class 3 for image 0: the classifier has 3 classes"));
    assert!(message(ClassChoice::PerImage(&[0, 7])).contains("no class 7 for image 1"));
    assert!(message(ClassChoice::PerImage(&[0])).contains("2 images, found a list of 1"));
}

#[test]
fn a_flat_map_localizes_nothing() {
    let network = build(&classifier(2, 2), 0);
    let x = images(1, 8, 8); // one position of features: the map is flat
    let map = network.localization_map(&x, ClassChoice::Predicted).unwrap();
    assert!(flat(&map).iter().all(|value| *value == 0.0));
}

#[test]
fn a_network_knows_its_kind() {
    let maps = build(&unet(2), 0).class_activation_maps(&images(1, 8, 8));
    let error = maps.unwrap_err().to_string();
    assert!(
        error.contains("needs a classifier, but the network is a localizer"),
        "{error}"
    );
    assert!(build(&unet(2), 0).localizes() && !build(&classifier(2, 2), 0).localizes());
}

#[test]
fn architectures_are_json_of_named_parts() {
    let json = r#"{"encoder":{"name":"plain","width":8},"decoder":{"name":"unet","width":8},"head":{"name":"localizer","kernel":1},"in_channels":3}"#;
    assert_eq!(serde_json::to_string(&unet(8)).unwrap(), json);
    let read = |json: &str| serde_json::from_str::<Architecture>(json);
    assert_eq!(read(json).unwrap(), unet(8));
    let message = |json: &str| read(json).unwrap_err().to_string();
    // Settings that are missing have their defaults.
    let short = r#"{"encoder":{"name":"plain"},"head":{"name":"classifier","classes":4}}"#;
    assert_eq!(read(short).unwrap(), classifier(16, 4));
    for (json, said) in [
        (
            r#"{"encoder":{"name":"efficientnet-lite1"},"head":{"name":"classifier"}}"#,
            "did you mean `efficientnet-lite",
        ),
        (
            r#"{"encoder":{"name":"plain","depth":4},"head":{"name":"classifier"}}"#,
            "a setting of plain: width",
        ),
        (
            r#"{"encoder":{"name":"plain"},"head":{"name":"localizer"}}"#,
            "needs a decoder, and none is given",
        ),
        (
            r#"{"encoder":{"name":"plain"},"decoder":{"name":"unet"},"head":{"name":"classifier"}}"#,
            "leave it out",
        ),
        (
            r#"{"encoder":{"name":"plain"},"decoder":{"name":"fpn"},"head":{"name":"localizer"}}"#,
            "needs maps of stride 32, and the encoder gives 1, 2, 4, 8",
        ),
        (
            r#"{"encoder":{"name":"resnet18"},"decoder":{"name":"deeplabv3plus"},"head":{"name":"localizer"}}"#,
            "set its output_stride",
        ),
        (
            r#"{"encoder":{"name":"resnet18","output_stride":4},"head":{"name":"classifier"}}"#,
            "one of 8, 16, 32",
        ),
        (
            r#"{"encoder":{"name":"plain"},"head":{"name":"classifier"},"width":4}"#,
            "an architecture has",
        ),
    ] {
        assert!(message(json).contains(said), "{}", message(json));
    }
}

/// The two kinds of networks that there were before there were parts.
#[test]
fn architectures_of_old_checkpoints_are_read() {
    let read = |json: &str| serde_json::from_str::<Architecture>(json).map_err(|error| error.to_string());
    assert_eq!(read(r#"{"kind":"unet","width":8,"in_channels":3}"#), Ok(unet(8)));
    assert_eq!(
        read(r#"{"kind":"unet-encoder-classifier","width":8,"in_channels":3,"classes":4}"#),
        Ok(classifier(8, 4))
    );
    assert!(read(r#"{"kind":"unet","widht":8}"#).unwrap_err().contains("widht"));
    assert!(read(r#"{"kind":"vit"}"#).unwrap_err().contains("vit"));
}

/// The loss falls, and the weights that pruning removed are zero after every step, in the optimiser's momentum too.
#[test]
fn a_masked_network_learns_and_stays_sparse() {
    let network = build(&unet(4), 1);
    let vars = network.parameters().trainable();
    let x = images(4, 16, 16);
    let target = x
        .narrow(1, 0, 1)
        .unwrap()
        .gt(0.0)
        .unwrap()
        .to_dtype(DType::F32)
        .unwrap();
    let masks = PruneParams::new(Criterion::GLOBAL_MAGNITUDE)
        .sparsity(0.8)
        .check()
        .unwrap();
    let masks = masks.masks(&WeightSet::from_vars(vars)).unwrap();
    assert_eq!(masks.zeros(), (0.8 * masks.weights() as f64).round() as usize);
    assert_eq!(masks.iter().count(), 15, "14 convolutions of the blocks and the head");
    masks.apply(vars).unwrap();
    let mut optimiser = AdamW::new(vars.to_vec(), AdamWParams::default()).unwrap();
    let mut losses = Vec::new();
    for _ in 0..30 {
        let logits = network.forward(&x, Mode::Train).unwrap();
        let loss = htl_ops::bce_with_logits(&logits, &target, None)
            .unwrap()
            .mean_all()
            .unwrap();
        optimiser.step(&loss.backward().unwrap(), 1e-2).unwrap();
        masks.apply(vars).unwrap();
        let zeros = MaskSet::from_zeros(&WeightSet::from_vars(vars)).unwrap();
        let kept = |masks: &MaskSet| -> Vec<Vec<u8>> {
            let flat = masks.iter().map(|(_, mask)| mask.as_tensor().flatten_all().unwrap());
            flat.map(|mask| mask.to_vec1().unwrap()).collect()
        };
        let pairs = kept(&zeros).concat().into_iter().zip(kept(&masks).concat());
        assert!(
            pairs.into_iter().all(|(found, made)| found <= made),
            "what is masked is zero"
        );
        assert!(zeros.zeros() >= masks.zeros());
        losses.push(loss.to_scalar::<f32>().unwrap());
    }
    assert!(losses[29] < 0.5 * losses[0], "{losses:?}");
}

/// The precision is taken along by copies, is no part of the architecture, and the CPU has one only.
#[test]
fn a_precision_that_the_device_lacks_is_named() {
    for architecture in [unet(2), classifier(2, 3)] {
        let mut network = build(&architecture, 0);
        assert_eq!(network.precision(), Precision::F32);
        network.set_precision(Precision::Bf16);
        assert_eq!(*network.architecture(), architecture);
        let copy = network.duplicate().unwrap();
        assert_eq!(copy.precision(), Precision::Bf16);
        let said = copy
            .forward(&images(1, 16, 16), Mode::Evaluate)
            .unwrap_err()
            .to_string();
        assert!(said.contains("precision") && said.contains("bf16"), "{said}");
    }
}
