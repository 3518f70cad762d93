mod how;

use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::Device;
use clap::Args;
use htl_models::{Checkpoint, Network, PruningRecord};
use htl_pruning::MaskSet;
use htl_trainers::network_sparsity;

pub use how::{How, Method};

use super::print;

/// `htl prune`.
#[derive(Args)]
pub struct Prune {
    /// The dense checkpoint
    #[arg(long)]
    checkpoint: PathBuf,
    #[command(flatten)]
    how: How,
    /// Share of the prunable weights that become zero, or of the channels that are removed, in [0, 1); of a network that was
    /// pruned before, zeros stay zero
    #[arg(long)]
    sparsity: f64,
    /// The sparse checkpoint
    #[arg(long)]
    out: PathBuf,
}

impl Prune {
    pub fn run(self) -> anyhow::Result<()> {
        let pruned = prune_checkpoint(&self.checkpoint, &self.how, self.sparsity, &self.out)?;
        let out = self.out.display();
        match self.how.method {
            Method::Weights(_) => print(&format!("sparsity {:.4} in {out}", pruned.sparsity)),
            Method::Channels(_) => {
                let [before, after] = pruned.sizes;
                print(&format!(
                    "sparsity {:.4} in {out}: {} of {} parameters, {} of {} million multiply-adds for an image of {} pixels",
                    pruned.sparsity,
                    after.parameters,
                    before.parameters,
                    after.multiply_adds / 1_000_000,
                    before.multiply_adds / 1_000_000,
                    pruned.side,
                ))
            }
        }
    }
}

/// What pruning did.
pub struct Pruned {
    /// The share of the architecture's weights that the result does without: more than asked for where the network had been
    /// pruned before.
    pub sparsity: f64,
    /// Before and after.
    sizes: [Size; 2],
    /// Of the images that multiply-adds are of.
    side: usize,
}

struct Size {
    parameters: usize,
    multiply_adds: u64,
}

impl Size {
    fn of(network: &Network, side: usize) -> Self {
        Self {
            parameters: network.parameters().trainable_count(),
            multiply_adds: network.graph().cost(side).multiply_adds,
        }
    }
}

/// Prunes a checkpoint into another, and warns of what one might not expect of it.
pub fn prune_checkpoint(checkpoint: &Path, how: &How, sparsity: f64, out: &Path) -> anyhow::Result<Pruned> {
    let (meta, network): (Checkpoint, Network) = Checkpoint::load(checkpoint, &Device::Cpu)?;
    let named = || checkpoint.display().to_string();
    let before = network_sparsity(&network).with_context(named)?;
    let side = meta.preprocessing.size;
    let whole = Size::of(&network, side);
    let network = how
        .prune(network, sparsity)
        .with_context(|| format!("pruning {}", named()))?;
    let left = how::zeros(&network)?;
    let achieved = network_sparsity(&network)?;
    if meta.pruning.is_some() {
        tracing::warn!(
            "{} has been pruned before, to sparsity {before:.4}: asked for {sparsity}, the result has {achieved:.4}",
            checkpoint.display()
        );
    }
    if sparsity > 0.0 && achieved <= before && matches!(how.method, Method::Channels(_)) {
        tracing::warn!("no channel was removed: choose a higher --sparsity, or a smaller --multiple");
    }
    let emptied = emptied(&left);
    if !emptied.is_empty() {
        tracing::warn!(
            "no weight is left in {}: the network cannot tell images apart through it; choose a lower --sparsity{}",
            emptied.join(", "),
            match how.method.name() {
                name if name.starts_with("layer") || name.starts_with("structured") => "",
                _ => ", or a method that prunes each layer alike",
            }
        );
    }
    let meta = Checkpoint {
        architecture: network.architecture().clone(),
        pruning: Some(PruningRecord {
            method: how.method.name().into(),
            sparsity: achieved,
        }),
        ..meta
    };
    meta.save(&network, out)?;
    Ok(Pruned {
        sparsity: achieved,
        sizes: [whole, Size::of(&network, side)],
        side,
    })
}

/// Names of the tensors of which nothing is left.
fn emptied(left: &MaskSet) -> Vec<String> {
    let all = left.table().into_iter();
    all.filter(|layer| layer.zeros == layer.weights)
        .map(|layer| layer.name)
        .collect()
}

#[cfg(test)]
mod tests {
    use htl_models::{Architecture, Mode, Part};
    use htl_pruning::WeightSet;

    use super::*;

    fn dense(path: &Path) {
        let architecture = Architecture::unet(2).unwrap();
        let network = Network::build(&architecture, 5, &Device::Cpu).unwrap();
        Checkpoint::new(architecture).save(&network, path).unwrap();
    }

    /// What is recorded is what is in the weights, also where they had been pruned before.
    #[test]
    fn sparsity_is_counted_in_the_weights() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        dense(&path("dense"));
        let prune = |from: &str, method: &str, sparsity: f64, to: &str| {
            prune_checkpoint(&path(from), &How::by(method), sparsity, &path(to))
                .unwrap()
                .sparsity
        };
        let first = prune("dense", "global-magnitude", 0.8, "sparse");
        assert!((first - 0.8).abs() < 1e-3, "{first}");
        for (name, least) in [
            ("global-magnitude", first),
            ("layer-magnitude", first),
            ("random", 0.85),
        ] {
            let told = prune("sparse", name, 0.5, "again");
            let (checkpoint, network) = Checkpoint::load(&path("again"), &Device::Cpu).unwrap();
            let weights = WeightSet::from_vars(network.parameters().trainable());
            let counted = MaskSet::from_zeros(&weights).unwrap().sparsity();
            assert_eq!(checkpoint.pruning.unwrap().sparsity, counted, "{name}");
            assert!(told == counted && counted >= least, "{name}: {told}, {counted}");
        }
    }

    #[test]
    fn layers_without_weights_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        dense(&path("dense"));
        let of = |sparsity: f64| {
            prune_checkpoint(&path("dense"), &How::by("global-magnitude"), sparsity, &path("sparse")).unwrap();
            let (_, network) = Checkpoint::load(&path("sparse"), &Device::Cpu).unwrap();
            let weights = WeightSet::from_vars(network.parameters().trainable());
            emptied(&MaskSet::from_zeros(&weights).unwrap())
        };
        assert!(of(0.5).is_empty());
        // Wide layers start with the smallest weights.
        assert!(of(0.999).contains(&"encoder.3.3.weight".to_owned()));
    }

    fn lite(path: &Path) -> Network {
        let unet = Part::new("unet").with("width", 2);
        let architecture = Architecture::localizer(Part::new("efficientnet-lite0"), unet).unwrap();
        let network = Network::build(&architecture, 5, &Device::Cpu).unwrap();
        Checkpoint::new(architecture).save(&network, path).unwrap();
        network
    }

    /// Layers of before stay as they are, by name, by a word, or by being depthwise.
    #[test]
    fn what_is_excluded_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let dense = lite(&path("dense"));
        let how = How {
            exclude: ["first", "last", "decoder.4"].map(str::to_owned).to_vec(),
            depthwise: Some(0.0),
            ..How::by("layer-magnitude")
        };
        prune_checkpoint(&path("dense"), &how, 0.5, &path("sparse")).unwrap();
        let (_, sparse) = Checkpoint::load(&path("sparse"), &Device::Cpu).unwrap();
        let table = how::zeros(&sparse).unwrap().table();
        assert_eq!(
            table.len(),
            WeightSet::from_vars(dense.parameters().trainable()).prunable().count()
        );
        for layer in table {
            let stays = ["encoder.conv_stem.weight", "head.weight"].contains(&layer.name.as_str())
                || layer.name.contains("conv_dw")
                || layer.name.starts_with("decoder.4.");
            assert_eq!(layer.zeros == 0, stays, "{}", layer.name);
        }
        let how = How {
            exclude: ["first", "last", "encoder.blocks.6"].map(str::to_owned).to_vec(),
            multiple: Some(8),
            ..How::by("structured-l2")
        };
        let pruned = prune_checkpoint(&path("dense"), &how, 0.5, &path("small")).unwrap();
        assert!(pruned.sizes[1].multiply_adds < pruned.sizes[0].multiply_adds);
        let (checkpoint, small) = Checkpoint::load(&path("small"), &Device::Cpu).unwrap();
        let dims = |name: &str| small.parameters().get(name).unwrap().dims().to_vec();
        assert_eq!(dims("encoder.conv_stem.weight")[0], 32);
        assert_eq!(dims("encoder.blocks.6.0.conv_pwl.weight")[0], 320);
        assert_eq!(dims("encoder.blocks.5.0.conv_pw.weight"), [336, 56, 1, 1]);
        assert_eq!(checkpoint.architecture.whole(), *dense.architecture());
        let record = checkpoint.pruning.unwrap();
        assert_eq!(
            (record.method.as_str(), record.sparsity),
            ("structured-l2", pruned.sparsity)
        );
        let images = candle_core::Tensor::ones((1, 3, 32, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert_eq!(small.forward(&images, Mode::Evaluate).unwrap().dims(), [1, 1, 32, 32]);
    }

    /// Channels first, then weights: what is recorded is the share of the whole architecture.
    #[test]
    fn both_kinds_of_pruning_add_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        dense(&path("dense"));
        let first = prune_checkpoint(&path("dense"), &How::by("structured-l1"), 0.5, &path("small")).unwrap();
        assert!((0.6..0.8).contains(&first.sparsity), "{}", first.sparsity);
        let second = prune_checkpoint(&path("small"), &How::by("lamp"), 0.5, &path("sparse")).unwrap();
        assert!(
            (second.sparsity - (1.0 + first.sparsity) / 2.0).abs() < 1e-3,
            "{}",
            second.sparsity
        );
    }

    #[test]
    fn options_of_the_other_kind_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        dense(&path("dense"));
        let message = |how: How, sparsity: f64| {
            let error = prune_checkpoint(&path("dense"), &how, sparsity, &path("sparse"))
                .err()
                .unwrap();
            assert!(!path("sparse").exists());
            format!("{error:#}")
        };
        let multiple = How {
            multiple: Some(8),
            ..How::by("lamp")
        };
        assert!(message(multiple, 0.5).contains("--multiple is for methods that remove whole channels"));
        let depthwise = How {
            depthwise: Some(0.5),
            ..How::by("structured-l2")
        };
        assert!(message(depthwise, 0.5).contains("--depthwise is for methods that remove single weights"));
        assert!(message(How::by("structured-l2"), 1.0).contains("sparsity must be in [0, 1)"));
        let nowhere = How {
            exclude: vec!["encoder.9".into()],
            ..How::by("structured-l2")
        };
        assert!(message(nowhere, 0.5).contains("`encoder.9`"));
        let none = How {
            exclude: vec!["encoder".into(), "decoder".into()],
            ..How::by("structured-l2")
        };
        assert!(message(none, 0.5).contains("no channel can go"));
        let zero = How {
            multiple: Some(0),
            ..How::by("structured-l2")
        };
        assert!(message(zero, 0.5).contains("multiples of 1 or more"));
    }
}
