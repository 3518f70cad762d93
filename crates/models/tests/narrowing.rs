//! Networks without some of their channels: every encoder with every decoder and head, in evaluation and in training.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use htl_models::graph::ChannelGroup;
use htl_models::{Architecture, Channels, Checkpoint, DECODERS, ENCODERS, Mode, ModelError, Network, Part};
use proptest::prelude::*;

/// Numbers in [0, 1) that look random.
fn spread(seed: u64, count: usize) -> impl Iterator<Item = f64> {
    (0..count).map(move |at| ((at as f64 + 1.0) * 0.618_033_988_749_894_9 + seed as f64 * 0.414_213_562_373).fract())
}

/// A network in 64 bits whose normalisations are no longer those of a new one.
fn network(architecture: &Architecture, seed: u64) -> Network {
    let network = Network::build_with_dtype(architecture, seed, DType::F64, &Device::Cpu).unwrap();
    for (at, (name, var)) in network.parameters().all().into_iter().enumerate() {
        if var.rank() == 1 {
            // Shifts above 0, so that narrow layers are not silent of themselves.
            let centre = match name.rsplit('.').next() {
                Some("weight" | "running_var") => 1.0,
                Some("bias") => 0.5,
                _ => -0.2,
            };
            let values: Vec<f64> = spread(seed + at as u64, var.elem_count())
                .map(|x| centre + x - 0.5)
                .collect();
            var.set(&Tensor::from_vec(values, var.dims(), &Device::Cpu).unwrap())
                .unwrap();
        }
    }
    network
}

fn images(channels: usize, side: usize) -> Tensor {
    let values: Vec<f64> = spread(7, 2 * channels * side * side).map(|x| 2.0 * x - 1.0).collect();
    Tensor::from_vec(values, (2, channels, side, side), &Device::Cpu).unwrap()
}

fn logits(network: &Network, images: &Tensor, mode: Mode) -> Vec<f64> {
    let outputs = network.outputs(images, mode).unwrap();
    let parts = [outputs.pixels, outputs.classes].into_iter().flatten();
    parts
        .flat_map(|part| part.flatten_all().unwrap().to_vec1::<f64>().unwrap())
        .collect()
}

/// The largest difference, relative to the largest value.
fn difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(1e-12, |largest: f64, value| largest.max(value.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest
}

/// Makes channels zero after their activation: their weights, biases, scales and shifts. What sees them stays as it is.
fn silence(network: &Network, removed: &[(&ChannelGroup, &[usize])]) {
    for (group, channels) in removed {
        for member in group.members.iter().filter(|member| member.axis == 0) {
            if member.parameter.contains("running") {
                continue;
            }
            let var = network.parameters().get(&member.parameter).unwrap();
            let mut keep = vec![1f64; var.dims()[0]];
            for channel in *channels {
                keep[member.offset + channel * member.width..][..member.width].fill(0.0);
            }
            let mut shape = vec![1; var.rank()];
            shape[0] = keep.len();
            let keep = Tensor::from_vec(keep, shape, &Device::Cpu).unwrap();
            var.set(&var.as_detached_tensor().broadcast_mul(&keep).unwrap())
                .unwrap();
        }
    }
}

/// A share of every group's channels, at least one left.
fn some(groups: &[ChannelGroup], share: f64, seed: u64) -> Vec<Vec<usize>> {
    let of = |(at, group): (usize, &ChannelGroup)| {
        let draws = spread(seed + at as u64, group.channels).enumerate();
        let mut gone: Vec<usize> = draws
            .filter(|(_, draw)| *draw < share)
            .map(|(channel, _)| channel)
            .collect();
        if gone.len() == group.channels {
            gone.pop();
        }
        gone
    };
    groups.iter().enumerate().map(of).collect()
}

fn pairs<'a>(groups: &'a [ChannelGroup], removed: &'a [Vec<usize>]) -> Vec<(&'a ChannelGroup, &'a [usize])> {
    groups.iter().zip(removed.iter().map(Vec::as_slice)).collect()
}

/// The network without these channels gives what it gives with them silenced; how many numbers of it are left.
fn check(network: &Network, removed: &[(&ChannelGroup, &[usize])], side: usize) -> (Network, f64) {
    let name = network.architecture().to_string();
    let small = network.without_channels(removed).unwrap();
    let images = images(network.architecture().in_channels(), side);
    let dense = logits(network, &images, Mode::Evaluate);
    let silent = network.duplicate().unwrap();
    silence(&silent, removed);
    let expected = logits(&silent, &images, Mode::Evaluate);
    assert!(
        difference(&dense, &expected) > 1e-4,
        "{name}: the channels made no difference"
    );
    let varied = expected.iter().any(|value| (value - expected[0]).abs() > 1e-3);
    assert!(varied, "{name}: equal logits test nothing");
    let found = logits(&small, &images, Mode::Evaluate);
    assert!(
        difference(&found, &expected) < 1e-9,
        "{name}: {}",
        difference(&found, &expected)
    );
    let trained = logits(&silent, &images, Mode::Train);
    let found = logits(&small, &images, Mode::Train);
    assert!(
        difference(&found, &trained) < 1e-6,
        "{name} in training: {}",
        difference(&found, &trained)
    );
    // Running statistics of what is left went the same way.
    let (small_again, silent) = (
        logits(&small, &images, Mode::Evaluate),
        logits(&silent, &images, Mode::Evaluate),
    );
    assert!(
        difference(&silent, &expected) > 1e-9,
        "{name}: training changed nothing"
    );
    assert!(difference(&small_again, &silent) < 1e-6, "{name} after training");
    let share = small.parameters().trainable_count() as f64 / network.parameters().trainable_count() as f64;
    (small, share)
}

fn side(architecture: &Architecture) -> usize {
    match architecture.to_string().contains("output_stride=32") {
        true => 64,
        false => 32,
    }
}

fn halved(architecture: &Architecture) {
    let network = network(architecture, 3);
    let groups = network.graph().channel_groups();
    let removed = some(&groups, 0.5, 5);
    let (small, share) = check(&network, &pairs(&groups, &removed), side(architecture));
    let cost = |network: &Network| network.graph().cost(64).multiply_adds as f64;
    assert!(share < 0.5, "{architecture}: {share} of the parameters are left");
    assert!(cost(&small) < 0.55 * cost(&network), "{architecture}");
    assert_eq!(small.architecture().whole(), *architecture);
    assert_eq!(small.graph().channel_groups().len(), groups.len(), "{architecture}");
}

/// Decoders as small as they may be, of several sizes.
fn decoder(name: &str) -> Part {
    match name {
        "unet" => Part::new("unet").with("width", 6),
        "fpn" => Part::new("fpn").with("pyramid", 12).with("width", 40),
        "deeplabv3plus" => Part::new("deeplabv3plus").with("width", 10),
        other => Part::new(other).with("width", 9),
    }
}

fn every_decoder(encoder: &str) {
    let mut decoded = Vec::new();
    for row in DECODERS {
        let stride = if row.name == "deeplabv3plus" { 16 } else { 32 };
        let encoder = match encoder {
            "plain" => Part::new("plain").with("width", 4),
            encoder => Part::new(encoder).with("output_stride", stride),
        };
        match Architecture::localizer(encoder, decoder(row.name)) {
            Ok(architecture) => {
                halved(&architecture);
                decoded.push(row.name);
            }
            Err(error) => assert!(matches!(error, ModelError::Parts { .. }), "{error}"),
        }
    }
    match encoder {
        "plain" => assert_eq!(decoded, ["unet", "deeplabv3plus", "lraspp"]),
        _ => assert_eq!(decoded, ["unet", "fpn", "deeplabv3plus", "lraspp"]),
    }
}

#[test]
fn plain_encoders() {
    every_decoder("plain");
}

#[test]
fn mobilenet() {
    every_decoder("mobilenet-v2");
}

#[test]
fn efficientnet_lite0() {
    every_decoder("efficientnet-lite0");
}

#[test]
fn efficientnet_lite2() {
    every_decoder("efficientnet-lite2");
}

#[test]
fn resnet18() {
    every_decoder("resnet18");
}

#[test]
fn resnet34() {
    every_decoder("resnet34");
}

#[test]
fn resnet50() {
    every_decoder("resnet50");
}

/// The tests above are one for each encoder: a new one needs another.
#[test]
fn every_encoder_is_tested() {
    let names: Vec<&str> = ENCODERS.iter().map(|row| row.name).collect();
    let tested = [
        "plain",
        "mobilenet-v2",
        "efficientnet-lite0",
        "efficientnet-lite2",
        "resnet18",
        "resnet34",
        "resnet50",
    ];
    assert_eq!(names, tested);
}

#[test]
fn every_head() {
    let classifier = Architecture::classifier(Part::new("resnet18").with("output_stride", 16), 3).unwrap();
    halved(&classifier);
    let head = Part::new("localizer-and-classifier")
        .with("classes", 3)
        .with("kernel", 3);
    let unet = Part::new("unet").with("width", 2);
    halved(&Architecture::new(Part::new("plain").with("width", 4), Some(unet), head, 1).unwrap());
}

fn unet() -> Network {
    network(&Architecture::unet(4).unwrap(), 1)
}

/// What goes together in a residual network: sums tie blocks, depthwise layers follow, skips see both.
#[test]
fn groups_are_those_of_the_layers() {
    let names = |group: &ChannelGroup, axis: usize| -> Vec<(String, usize)> {
        let of = group
            .members
            .iter()
            .filter(|member| member.axis == axis && member.parameter.ends_with("weight"));
        of.map(|member| (member.parameter.clone(), member.offset)).collect()
    };
    let pair = |name: &str, offset: usize| (name.to_owned(), offset);
    let groups = unet().graph().channel_groups();
    assert_eq!(groups.len(), 14);
    let level = groups.iter().find(|group| group.name() == "encoder.2.3").unwrap();
    assert_eq!(
        (level.channels, names(level, 0)),
        (16, vec![pair("encoder.2.3.weight", 0), pair("encoder.2.4.weight", 0)])
    );
    assert_eq!(
        names(level, 1),
        [pair("encoder.3.0.weight", 0), pair("decoder.0.0.weight", 32)]
    );

    let lite = Architecture::localizer(Part::new("efficientnet-lite0"), Part::new("unet").with("width", 2)).unwrap();
    let groups = Network::build(&lite, 0, &Device::Cpu).unwrap().graph().channel_groups();
    let of = |name: &str| groups.iter().find(|group| group.name() == name).unwrap();
    let wide = of("encoder.blocks.1.0.conv_pw");
    assert_eq!(wide.channels, 96);
    let depthwise = pair("encoder.blocks.1.0.conv_dw.weight", 0);
    assert!(names(wide, 0).contains(&depthwise));
    assert_eq!(names(wide, 1), [pair("encoder.blocks.1.0.conv_pwl.weight", 0)]);
    let sum = of("encoder.blocks.1.0.conv_pwl");
    assert!(names(sum, 0).contains(&pair("encoder.blocks.1.1.conv_pwl.weight", 0)));
    assert!(names(sum, 1).contains(&pair("encoder.blocks.2.0.conv_pw.weight", 0)));
    // Neither images nor logits.
    assert!(groups.iter().flat_map(|group| &group.members).all(|member| {
        (member.parameter.as_str(), member.axis) != ("encoder.conv_stem.weight", 1)
            && (member.parameter.as_str(), member.axis) != ("head.weight", 0)
            && member.parameter != "head.bias"
    }));
    // Group normalisation of 40 channels, two at a time or not, ties what it normalises.
    let fpn = Architecture::localizer(Part::new("resnet18"), Part::new("fpn").with("width", 96)).unwrap();
    let groups = Network::build(&fpn, 0, &Device::Cpu).unwrap().graph().channel_groups();
    let summed = groups
        .iter()
        .find(|group| group.name() == "decoder.seg_blocks.0.block.2.block.0")
        .unwrap();
    assert_eq!((summed.channels, summed.members[0].width), (32, 3));
    assert!(
        summed
            .members
            .iter()
            .any(|member| member.parameter == "decoder.seg_blocks.3.block.0.block.1.bias")
    );
}

/// A checkpoint of a narrowed network loads as any other; that of a whole one has no word of it.
#[test]
fn checkpoints_keep_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.safetensors");
    let network = unet();
    let groups = network.graph().channel_groups();
    let small = network
        .without_channels(&pairs(&groups, &some(&groups, 0.6, 2)))
        .unwrap();
    Checkpoint::new(small.architecture().clone())
        .save(&small, &path)
        .unwrap();
    let (checkpoint, loaded) = Checkpoint::load(&path, &Device::Cpu).unwrap();
    assert_eq!(checkpoint.architecture, *small.architecture());
    let images = images(3, 16);
    let as_f32 = |network: &Network| {
        let x = images.to_dtype(DType::F32).unwrap();
        network
            .forward(&x, Mode::Evaluate)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap()
    };
    let found: Vec<f64> = as_f32(&loaded).into_iter().map(f64::from).collect();
    assert!(difference(&found, &logits(&small, &images, Mode::Evaluate)) < 1e-5);
    assert!(small.architecture().to_string().contains("14 of its layers narrowed"));
    let whole = serde_json::to_string(network.architecture()).unwrap();
    assert!(
        !whole.contains("channels\":{")
            && serde_json::to_string(small.architecture())
                .unwrap()
                .contains("\"channels\":{")
    );
    // Two networks of which different channels are left are not the same.
    assert!(matches!(
        network.copy_from(&small),
        Err(ModelError::OtherNetwork { .. })
    ));
}

#[test]
fn a_record_of_whole_layers_is_none() {
    let whole = Architecture::unet(4).unwrap();
    let narrowed = whole
        .narrowed(Channels::from([("encoder.0.0".into(), 4), ("encoder.0.3".into(), 3)]))
        .unwrap();
    assert_eq!(narrowed.channels().len(), 1);
    assert_eq!(
        whole.narrowed(Channels::from([("encoder.0.0".into(), 4)])).unwrap(),
        whole
    );
    assert_eq!(narrowed.narrowed(Channels::new()).unwrap(), whole);
    assert!(narrowed.weight_count().unwrap() < whole.weight_count().unwrap());
    assert!(narrowed.trainable_count().unwrap() < whole.trainable_count().unwrap());
}

#[test]
fn what_is_wrong_is_told() {
    let network = unet();
    let groups = network.graph().channel_groups();
    let message = |removed: &[(&ChannelGroup, &[usize])]| network.without_channels(removed).unwrap_err().to_string();
    let all = message(&[(&groups[0], &[0, 1, 2, 3])]);
    assert!(
        all.contains("none of the 4 channels of encoder.0.0 would be left"),
        "{all}"
    );
    let beyond = message(&[(&groups[0], &[4])]);
    assert!(beyond.contains("has no channel 4"), "{beyond}");
    let resnet = Architecture::localizer(Part::new("resnet18"), Part::new("unet").with("width", 2)).unwrap();
    let foreign = Network::build(&resnet, 0, &Device::Cpu)
        .unwrap()
        .graph()
        .channel_groups();
    assert!(message(&[(&foreign[0], &[0])]).contains("encoder.conv1 is not a group"));

    let of = |architecture: &Architecture, name: &str, count: usize| {
        let channels = BTreeMap::from([(name.to_owned(), count)]);
        architecture.narrowed(channels).unwrap_err().to_string()
    };
    let whole = network.architecture();
    assert_eq!(
        of(whole, "encoder.0.0", 0),
        "`channels.encoder.0.0` must be in 1..=4, found 0"
    );
    assert_eq!(
        of(whole, "encoder.0.0", 5),
        "`channels.encoder.0.0` must be in 1..=4, found 5"
    );
    assert!(of(whole, "encoder.0.1", 2).contains("no such layer"));
    assert!(of(&resnet, "encoder.layer1.0.conv2", 9).contains("maps of 9 and of 64 channels"));
    let classifier = Architecture::classifier(Part::new("plain").with("width", 2), 3).unwrap();
    assert!(of(&classifier, "head", 2).contains("2 of 3 logits"));
    let lite = Architecture::classifier(Part::new("efficientnet-lite0"), 3).unwrap();
    assert!(of(&lite, "encoder.blocks.1.0.conv_dw", 9).contains("filters each of its inputs by itself"));
    let fpn = Architecture::localizer(Part::new("resnet18"), Part::new("fpn").with("width", 96)).unwrap();
    assert!(of(&fpn, "decoder.seg_blocks.0.block.0.block.0", 94).contains("normalises 3 at a time"));
    let stored = r#"{"kind": "unet", "width": 4, "channels": {"encoder.0.0": 2}}"#;
    assert!(
        serde_json::from_str::<Architecture>(stored)
            .unwrap_err()
            .to_string()
            .contains("channels")
    );
}

/// A group of one channel stays, and what is around it can still be narrowed.
#[test]
fn groups_of_one_channel_stay() {
    let network = network(&Architecture::unet(1).unwrap(), 2);
    let groups = network.graph().channel_groups();
    assert!(groups.iter().any(|group| group.channels == 1));
    let removed: Vec<Vec<usize>> = groups.iter().map(|group| (1..group.channels).collect()).collect();
    let small = network.without_channels(&pairs(&groups, &removed)).unwrap();
    let x = images(3, 16);
    let found = logits(&small, &x, Mode::Evaluate);
    silence(&network, &pairs(&groups, &removed));
    assert!(difference(&found, &logits(&network, &x, Mode::Evaluate)) < 1e-9);
    assert!(small.graph().channel_groups().iter().all(|group| group.channels == 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Small networks of any sizes, narrowed twice.
    #[test]
    fn any_channels_of_any_network(
        width in 1usize..7,
        decoder in prop_oneof![
            (1usize..7).prop_map(|width| Part::new("unet").with("width", width)),
            (1usize..7).prop_map(|width| Part::new("lraspp").with("width", width)),
            (2usize..7).prop_map(|width| Part::new("deeplabv3plus").with("width", width)),
        ],
        share in 0.1..0.9f64,
        seed in 0u64..1000,
    ) {
        let architecture = Architecture::localizer(Part::new("plain").with("width", width), decoder).unwrap();
        let dense = network(&architecture, seed);
        let groups = dense.graph().channel_groups();
        let mut removed = some(&groups, share, seed);
        if let Some(last) = groups.iter().rposition(|group| group.channels > 1) && removed[last].is_empty() {
            removed[last].push(0);
        }
        prop_assume!(removed.iter().any(|gone| !gone.is_empty()));
        let small = dense.without_channels(&pairs(&groups, &removed)).unwrap();
        let groups_left = small.graph().channel_groups();
        for (before, gone) in groups.iter().zip(&removed) {
            let left = groups_left.iter().find(|group| group.name() == before.name()).unwrap();
            prop_assert_eq!(left.channels, before.channels - gone.len());
        }
        let silent = dense.duplicate().unwrap();
        silence(&silent, &pairs(&groups, &removed));
        let x = images(3, 16);
        let (found, expected) = (logits(&small, &x, Mode::Evaluate), logits(&silent, &x, Mode::Evaluate));
        prop_assert!(difference(&found, &expected) < 1e-9);
        let again = some(&groups_left, share / 2.0, seed + 1);
        let smaller = small.without_channels(&pairs(&groups_left, &again)).unwrap();
        silence(&small, &pairs(&groups_left, &again));
        let (found, expected) = (logits(&smaller, &x, Mode::Evaluate), logits(&small, &x, Mode::Evaluate));
        prop_assert!(difference(&found, &expected) < 1e-9);
    }
}
