use std::path::Path;

use anyhow::ensure;
use candle_core::Device;
use htl_datasets::{DataFolder, ImageSet, MaskUse, Split};
use htl_inference::with_masks;
use htl_models::{Architecture, Checkpoint, Network, Preprocessing};
use htl_ops::Precision;
use htl_trainers::{MaskBatches, Trainer, TrainerParams, ValidTrainConfig};
use htl_vocabulary::setting;

use crate::{
    Fault,
    unet::{Pooling, UNet},
};

/// Trains the supervised localizer that `config` describes, on the CPU, with a fault if there is one, and writes its
/// checkpoint. It is not validated on the way, which `htl train` does and which decides nothing.
///
/// # Errors
/// For other settings, attention, a list of labelled images, a network to start from or another precision; and those of
/// reading, training and writing.
pub fn train(config: &ValidTrainConfig, fault: Option<Fault>, checkpoint: &Path) -> anyhow::Result<()> {
    ensure!(
        config.setting == setting::SUPERVISED.key
            && config.attention.is_none()
            && config.labelled.is_none()
            && config.init.is_none()
            && config.precision == Precision::F32,
        "only supervised trainings from all masks, without attention and from new weights, can have a fault"
    );
    let device = Device::Cpu;
    let data = DataFolder::open(&config.data)?;
    let images = ImageSet::load(&with_masks(&data, Split::Train)?, config.size, MaskUse::Required)?;
    let masks: Vec<Vec<f32>> = (0..images.len()).filter_map(|index| images.mask(index)).collect();
    let samples = images.len();

    let architecture = Architecture::unet(config.width).unwrap();
    let network = Network::build(&architecture, config.seed, &device)?;
    let preprocessing = Preprocessing {
        size: config.size,
        ..Preprocessing::default()
    };
    let (pooling, targets, seen) = match fault {
        None => (Pooling::Right, masks, preprocessing.clone()),
        Some(fault) => (
            fault.pooling(),
            fault.targets(masks),
            fault.preprocessing(&preprocessing),
        ),
    };
    let unet = UNet::over(network.parameters(), pooling)?;
    let params = TrainerParams {
        steps: config.steps(),
        batch: config.batch,
        learning_rate: config.learning_rate,
        weight_decay: config.weight_decay,
        seed: config.seed,
        ..TrainerParams::default()
    };
    let mut batches = MaskBatches::with_targets(
        images,
        targets,
        &seen,
        config.batch,
        config.steps(),
        config.seed,
        &device,
    )?;
    Trainer::new(params.check()?).minimise(network.parameters().trainable(), samples, |step| {
        let batch = batches.take(step)?;
        let logits = unet.forward(&batch.images)?;
        let cross_entropy = htl_ops::bce_with_logits(&logits, &batch.targets, None)?;
        let dice = htl_ops::soft_dice(&logits, &batch.targets, None)?;
        Ok(((cross_entropy + dice)? * &batch.weights)?.sum_all()?)
    })?;
    Checkpoint {
        preprocessing,
        training: serde_json::to_value(&**config)?,
        ..Checkpoint::new(architecture)
    }
    .save(&network, checkpoint)?;
    Ok(())
}
