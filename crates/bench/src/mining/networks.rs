use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use htl_datasets::{DataFolder, ImageSet, MaskUse, Sample};
use htl_mining::gradient_norms;
use htl_models::{Checkpoint, Mode, PruningRecord};
use htl_pruning::{Criterion, PruneParams, WeightSet};
use htl_trainers::{DynamicsParams, DynamicsRow, Outcome, StopFlag, TrainConfig, read_dynamics, train};
use htl_vocabulary::{file, read_json, write_whole};

use super::settings::Settings;

/// The trained networks of a scenario, one of each kind per seed.
pub struct Networks {
    /// Dense networks.
    pub dense: Vec<PathBuf>,
    /// Pruned and fine-tuned.
    pub sparse: Vec<PathBuf>,
    /// Fine-tuned alike without pruning.
    pub sham: Vec<PathBuf>,
    /// What the dense trainings saw of their images.
    pub histories: Vec<Vec<DynamicsRow>>,
    /// Norms of the gradient of each training image's loss early in training, in the order of the images.
    pub gradients: Vec<Vec<f64>>,
}

impl Networks {
    /// Trains what is not trained yet.
    pub fn trained(data: &DataFolder, folder: &Path, settings: &Settings, device: &Device) -> Result<Self> {
        let mut networks = Self {
            dense: Vec::new(),
            sparse: Vec::new(),
            sham: Vec::new(),
            histories: Vec::new(),
            gradients: Vec::new(),
        };
        for seed in 0..settings.seeds {
            let folder = folder.join(format!("seed-{seed}"));
            let fit = |name: &str, config: TrainConfig| fit(config, &folder.join(name), device);
            let plain = |image_steps, learning_rate| TrainConfig {
                data: data.root().to_owned(),
                seed,
                size: settings.size,
                width: settings.width,
                batch: settings.batch,
                image_steps,
                learning_rate,
                // Nothing is chosen by validation: only after the last epoch.
                validate_every: 1_000_000,
                ..TrainConfig::default()
            };
            let dense = fit(
                "dense",
                TrainConfig {
                    dynamics: Some(DynamicsParams {
                        every: settings.judge_every,
                    }),
                    ..plain(settings.image_steps, settings.learning_rate)
                },
            )?;
            let pruned = folder.join("pruned.safetensors");
            if !pruned.exists() {
                prune(&dense, settings.sparsity, &pruned)?;
            }
            let from = |init: &Path| TrainConfig {
                init: Some(init.to_owned()),
                ..plain(settings.fine_tune_steps, settings.fine_tune_rate)
            };
            networks.sparse.push(fit("sparse", from(&pruned))?);
            networks.sham.push(fit("sham", from(&dense))?);
            networks
                .histories
                .push(read_dynamics(&folder.join("dense").join(file::DYNAMICS))?);
            let early = fit("early", plain(settings.early_steps, settings.learning_rate))?;
            networks.gradients.push(early_gradients(
                &early,
                &data.split(htl_datasets::Split::Train),
                &folder.join("gradients.json"),
            )?);
            networks.dense.push(dense);
        }
        Ok(networks)
    }
}

/// The checkpoint of a training, finished now or before.
fn fit(config: TrainConfig, out: &Path, device: &Device) -> Result<PathBuf> {
    let outcome = train(&config.check()?, device, out, &mut (), &StopFlag::default())
        .with_context(|| format!("training {}", out.display()))?;
    match outcome {
        Outcome::Stopped { step, .. } => bail!("{}: stopped at step {step}", out.display()),
        _ => Ok(out.join(file::CHECKPOINT)),
    }
}

fn prune(dense: &Path, sparsity: f64, out: &Path) -> Result<()> {
    let (checkpoint, network) = Checkpoint::load(dense, &Device::Cpu)?;
    let trainable = network.parameters().trainable();
    let masks = PruneParams::new(Criterion::GLOBAL_MAGNITUDE)
        .sparsity(sparsity)
        .check()?
        .masks(&WeightSet::from_vars(trainable))?;
    masks.apply(trainable)?;
    let pruning = Some(PruningRecord {
        method: Criterion::GLOBAL_MAGNITUDE.name.into(),
        sparsity: masks.sparsity(),
    });
    Ok(Checkpoint { pruning, ..checkpoint }.save(&network, out)?)
}

/// GraNd of the training loss, image by image; kept in a file, since it takes as long as a training.
fn early_gradients(checkpoint: &Path, samples: &[&Sample], kept: &Path) -> Result<Vec<f64>> {
    if kept.exists() {
        return Ok(read_json(kept, "gradients.json")?);
    }
    let (checkpoint, network) = Checkpoint::load(checkpoint, &Device::Cpu)?;
    let preprocessing = checkpoint.preprocessing;
    let size = preprocessing.size;
    let images = ImageSet::load(samples, size, MaskUse::Required)?;
    let variables: Vec<_> = network
        .parameters()
        .trainable()
        .iter()
        .map(|(_, var)| var.clone())
        .collect();
    let norms = gradient_norms(images.len(), &variables, |image| {
        let mut pixels = vec![0.0; 3 * size * size];
        preprocessing.normalise_planes(&images.image(image), &mut pixels);
        let pixels = Tensor::from_vec(pixels, (1, 3, size, size), &Device::Cpu)?;
        let mask = images.mask(image).unwrap_or_default();
        let mask = Tensor::from_vec(mask, (1, 1, size, size), &Device::Cpu)?;
        let logits = network
            .forward(&pixels, Mode::Gradients)
            .map_err(candle_core::Error::wrap)?;
        let loss = htl_ops::bce_with_logits(&logits, &mask, None)? + htl_ops::soft_dice(&logits, &mask, None)?;
        loss?.sum_all()
    })?;
    write_whole(kept, serde_json::to_string(&norms)?)?;
    Ok(norms)
}
