//! How far pruning moves what an encoder with pretrained weights sees: the relative change of its deep features, before any
//! fine-tuning, by method, sparsity and what is done with depthwise convolutions.
//!
//! ```sh
//! cargo run --release -p htl-inference --example pruned_features -- \
//!     efficientnet_lite0.safetensors data-manifest/embedded 64
//! ```
//!
//! The weights are timm's `tf_efficientnet_lite0`, as safetensors; the images are those of the training split.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use htl_datasets::{DataFolder, ImageSet, MaskUse, Sample, Split};
use htl_models::{Architecture, ENCODERS, Network, Part, Preprocessing};
use htl_pruning::{Criterion, PruneParams, WeightSet};

type AnyError = Box<dyn std::error::Error>;

/// Side of the images, as the network was trained.
const SIDE: usize = 224;
const BATCH: usize = 16;
const SPARSITIES: [f64; 6] = [0.1, 0.2, 0.3, 0.5, 0.8, 0.9];

/// Methods, and what share of the sparsity depthwise convolutions get.
const METHODS: [(&str, f64); 8] = [
    ("global-magnitude", 1.0),
    ("global-magnitude", 0.0),
    ("layer-magnitude", 1.0),
    ("layer-magnitude", 0.0),
    ("erk-magnitude", 1.0),
    ("erk-magnitude", 0.0),
    ("lamp", 1.0),
    ("lamp", 0.0),
];

fn main() -> Result<(), AnyError> {
    let mut arguments = std::env::args().skip(1);
    let (Some(weights), Some(data)) = (arguments.next(), arguments.next()) else {
        return Err("give the file of weights, a data folder and, if you like, how many images".into());
    };
    let count: usize = arguments.next().map_or(Ok(64), |count| count.parse())?;
    let network = network(&PathBuf::from(weights))?;
    let batches = batches(&PathBuf::from(data), count)?;
    let dense = features(&network, &batches)?;
    let columns = SPARSITIES.map(|sparsity| format!(" {sparsity} |")).concat();
    println!(
        "| method | depthwise |{columns}\n| --- | --- |{}",
        " --- |".repeat(SPARSITIES.len())
    );
    for (method, share) in METHODS {
        let mut row = format!("| `{method}` | {}", if share > 0.0 { "pruned" } else { "dense" });
        for sparsity in SPARSITIES {
            let pruned = network.duplicate()?;
            let trainable = pruned.parameters().trainable();
            PruneParams::new(Criterion::named(method)?)
                .sparsity(sparsity)
                .depthwise_share(share)
                .exclude(["decoder", "head"])
                .check()?
                .masks(&WeightSet::from_vars(trainable))?
                .apply(trainable)?;
            let change = change(&features(&pruned, &batches)?, &dense)?;
            row += &format!(" | {change:.2}");
        }
        println!("{row} |");
    }
    Ok(())
}

/// An EfficientNet-Lite0 with these weights, and a decoder that is not looked at.
fn network(weights: &PathBuf) -> Result<Network, AnyError> {
    let unet = Part::new("unet").with("width", 4);
    let architecture = Architecture::localizer(Part::new("efficientnet-lite0"), unet)?;
    let network = Network::build(&architecture, 0, &Device::Cpu)?;
    let loaded = candle_core::safetensors::load(weights, &Device::Cpu)?;
    let mut tensors: BTreeMap<String, Tensor> = network
        .parameters()
        .all()
        .into_iter()
        .filter(|(name, _)| !name.starts_with("encoder."))
        .map(|(name, var)| Ok((name, var.as_detached_tensor().copy()?)))
        .collect::<Result<_, AnyError>>()?;
    let unused = ["conv_head.", "bn2.", "classifier."];
    for (name, tensor) in loaded {
        if !unused.iter().any(|part| name.starts_with(part)) {
            tensors.insert(format!("encoder.{name}"), tensor);
        }
    }
    network.parameters().load(&tensors)?;
    Ok(network)
}

fn batches(data: &PathBuf, count: usize) -> Result<Vec<Tensor>, AnyError> {
    let data = DataFolder::open(data)?;
    let samples: Vec<&Sample> = data.split(Split::Train).into_iter().take(count).collect();
    let images = ImageSet::load(&samples, SIDE, MaskUse::Ignore)?;
    let normalisation = ENCODERS.iter().find(|row| row.name == "efficientnet-lite0");
    let normalisation = normalisation.and_then(|row| row.pretrained).ok_or("no normalisation")?;
    let preprocessing = Preprocessing {
        size: SIDE,
        mean: normalisation.mean.to_vec(),
        std: normalisation.std.to_vec(),
    };
    let all: Vec<usize> = (0..images.len()).collect();
    all.chunks(BATCH)
        .map(|batch| {
            let mut pixels = vec![0.0; batch.len() * 3 * SIDE * SIDE];
            for (pixels, index) in pixels.chunks_exact_mut(3 * SIDE * SIDE).zip(batch) {
                preprocessing.normalise_planes(&images.image(*index), pixels);
            }
            Ok(Tensor::from_vec(pixels, (batch.len(), 3, SIDE, SIDE), &Device::Cpu)?)
        })
        .collect()
}

fn features(network: &Network, batches: &[Tensor]) -> Result<Tensor, AnyError> {
    let features: Vec<Tensor> = batches
        .iter()
        .map(|images| network.deep_features(images))
        .collect::<Result<_, _>>()?;
    Ok(Tensor::cat(&features, 0)?.to_dtype(DType::F64)?)
}

/// The mean over images of the distance from the dense network's features, over their length.
fn change(pruned: &Tensor, dense: &Tensor) -> Result<f64, AnyError> {
    let length = |features: &Tensor| features.sqr()?.sum(1)?.sqrt();
    let relative = (length(&(pruned - dense)?)? / length(dense)?)?;
    Ok(relative.mean_all()?.to_scalar::<f64>()?)
}
