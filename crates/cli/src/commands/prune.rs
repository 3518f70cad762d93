use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::Device;
use clap::Args;
use htl_models::{Checkpoint, Network, PruningRecord};
use htl_pruning::{Criterion, MaskSet, PruneParams, WeightSet};

use super::{choices, print};

/// `htl prune`.
#[derive(Args)]
pub struct Prune {
    /// The dense checkpoint
    #[arg(long)]
    checkpoint: PathBuf,
    /// Which weights go first
    #[arg(long, default_value = Criterion::GLOBAL_MAGNITUDE.name, value_parser = choices::criterion())]
    method: &'static Criterion,
    /// Share of the prunable weights that become zero, in [0, 1); of a network that was pruned before, zeros stay zero
    #[arg(long)]
    sparsity: f64,
    /// Seed of the random methods
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The sparse checkpoint
    #[arg(long)]
    out: PathBuf,
}

impl Prune {
    pub fn run(self) -> anyhow::Result<()> {
        let sparsity = prune_checkpoint(&self.checkpoint, self.method, self.sparsity, self.seed, &self.out)?;
        print(&format!("sparsity {sparsity:.4} in {}", self.out.display()))
    }
}

/// Prunes a checkpoint into another, and warns of what one might not expect of it. Returns the sparsity counted in the
/// result: more than asked for where the network had been pruned before.
pub fn prune_checkpoint(
    checkpoint: &Path,
    criterion: &'static Criterion,
    sparsity: f64,
    seed: u64,
    out: &Path,
) -> anyhow::Result<f64> {
    let (meta, network): (Checkpoint, Network) = Checkpoint::load(checkpoint, &Device::Cpu)?;
    let trainable = network.parameters().trainable();
    let zeros = || MaskSet::from_zeros(&WeightSet::from_vars(trainable));
    let before = zeros().with_context(|| checkpoint.display().to_string())?.sparsity();
    let masks = PruneParams::new(criterion)
        .sparsity(sparsity)
        .seed(seed)
        .check()?
        .masks(&WeightSet::from_vars(trainable))
        .with_context(|| format!("pruning {}", checkpoint.display()))?;
    masks.apply(trainable)?;
    let left = zeros()?;
    let achieved = left.sparsity();
    if meta.pruning.is_some() {
        tracing::warn!(
            "{} has been pruned before, to sparsity {before:.4}: asked for {sparsity}, the result has {achieved:.4}",
            checkpoint.display()
        );
    }
    let emptied = emptied(&left);
    if !emptied.is_empty() {
        tracing::warn!(
            "no weight is left in {}: the network cannot tell images apart through it; choose a lower --sparsity{}",
            emptied.join(", "),
            match criterion.name {
                name if name.starts_with("layer") => "",
                _ => ", or a method that prunes each layer alike",
            }
        );
    }
    let meta = Checkpoint {
        pruning: Some(PruningRecord {
            method: criterion.name.into(),
            sparsity: achieved,
        }),
        ..meta
    };
    meta.save(&network, out)?;
    Ok(achieved)
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
    use htl_models::Architecture;

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
        let first = prune_checkpoint(&path("dense"), Criterion::GLOBAL_MAGNITUDE, 0.8, 0, &path("sparse")).unwrap();
        assert!((first - 0.8).abs() < 1e-3, "{first}");
        for (name, least) in [
            ("global-magnitude", first),
            ("layer-magnitude", first),
            ("random", 0.85),
        ] {
            let criterion = Criterion::named(name).unwrap();
            let told = prune_checkpoint(&path("sparse"), criterion, 0.5, 0, &path("again")).unwrap();
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
            prune_checkpoint(
                &path("dense"),
                Criterion::GLOBAL_MAGNITUDE,
                sparsity,
                0,
                &path("sparse"),
            )
            .unwrap();
            let (_, network) = Checkpoint::load(&path("sparse"), &Device::Cpu).unwrap();
            let weights = WeightSet::from_vars(network.parameters().trainable());
            emptied(&MaskSet::from_zeros(&weights).unwrap())
        };
        assert!(of(0.5).is_empty());
        // Wide layers start with the smallest weights.
        assert!(of(0.999).contains(&"encoder.3.3.weight".to_owned()));
    }
}
