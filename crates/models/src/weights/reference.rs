//! Pretrained weights give the activations that another program had of them, stage by stage.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{Device, Tensor};
use serde::Deserialize;

use super::{Scope, identify, read};
use crate::architecture::{Architecture, Part};
use crate::graph::{Operation, Value};
use crate::layers::Mode;
use crate::network::Network;

#[derive(Deserialize)]
struct Reference {
    models: BTreeMap<String, BTreeMap<String, Stage>>,
}

#[derive(Deserialize)]
struct Stage {
    #[serde(default)]
    shape: Vec<usize>,
    mean: f64,
    std: f64,
    first8_of_flattened: Vec<f64>,
}

/// The folder beside the repository, or `$HTL_SHARED`.
fn shared() -> PathBuf {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    std::env::var_os("HTL_SHARED").map_or_else(beside, PathBuf::from)
}

/// The last value before the layers of another stage begin.
fn end_of(network: &Network, stage: &str) -> Value {
    let prefix = match stage {
        "stem" => "encoder.conv_stem".to_owned(),
        stage => format!("encoder.{stage}."),
    };
    let nodes = network.graph().nodes();
    let of_stage = |at: usize| match &nodes[at].operation {
        Operation::ConvNorm(layer) => Some(layer.names()[0].starts_with(&prefix)),
        Operation::Add(_) => None,
        _ => Some(false),
    };
    let begin = (0..nodes.len()).find(|at| of_stage(*at) == Some(true)).unwrap();
    let end = (begin..nodes.len())
        .take_while(|at| of_stage(*at) != Some(false))
        .last()
        .unwrap();
    nodes[end].value
}

/// The 1280 channels behind the last stage (`head`), their mean and the ImageNet classifier are no part of the encoders here, so
/// they are not compared.
#[test]
fn pretrained_encoders_give_the_reference_activations() {
    let folder = shared().join("weights");
    let Ok(text) = std::fs::read_to_string(folder.join("reference.json")) else {
        println!("skipped: no pretrained weights in {}", folder.display());
        return;
    };
    let reference: Reference = serde_json::from_str(&text).unwrap();
    let pixel = |at: usize| {
        let (channel, row, column) = (at / 4096, at / 64 % 64, at % 64);
        ((3 * row + 5 * column + 7 * channel) % 32) as f32 / 16.0 - 1.0
    };
    let images: Vec<f32> = (0..3 * 4096).map(pixel).collect();
    let images = Tensor::from_vec(images, (1, 3, 64, 64), &Device::Cpu).unwrap();
    for (file, encoder, others) in [
        ("efficientnet_lite0", "efficientnet-lite0", 7),
        ("efficientnet_lite2", "efficientnet-lite2", 7),
        ("mobilenetv2_100", "mobilenet-v2", 5),
    ] {
        let architecture = Architecture::classifier(Part::new(encoder), 2).unwrap();
        let network = Network::build(&architecture, 0, &Device::Cpu).unwrap();
        let tensors = read(&folder.join(format!("{file}.safetensors"))).unwrap();
        assert_eq!(identify(&tensors).unwrap().unwrap().encoder, Part::new(encoder));
        let adopted = network.adopt(&tensors, Scope::Encoder).unwrap();
        assert_eq!(adopted.left.len(), others, "{adopted}");
        let stages = &reference.models[file];
        let names: Vec<String> = (0..7).map(|stage| format!("blocks.{stage}")).collect();
        for name in std::iter::once("stem").chain(names.iter().map(String::as_str)) {
            let stage = &stages[name];
            let value = end_of(&network, name);
            let maps = network.values(&images, &[value], Mode::Evaluate).unwrap().remove(0);
            assert_eq!(maps.dims(), stage.shape, "{file} {name}");
            let maps: Vec<f64> = maps
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
                .into_iter()
                .map(f64::from)
                .collect();
            let mean = maps.iter().sum::<f64>() / maps.len() as f64;
            let variance = maps.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / maps.len() as f64;
            let expected = [stage.mean, stage.std]
                .into_iter()
                .chain(stage.first8_of_flattened.iter().copied());
            let found = [mean, variance.sqrt()].into_iter().chain(maps.iter().copied());
            for (found, expected) in found.zip(expected) {
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{file} {name}: {found}, expected {expected}"
                );
            }
        }
    }
}
