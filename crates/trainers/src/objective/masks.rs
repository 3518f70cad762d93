use candle_core::Tensor;
use htl_datasets::Sampler;
use htl_models::{Mode, Network};

use super::{Objective, weighted_mean};
use crate::{TrainError, attention::SampleWeights, batches::Batches};

/// Binary cross entropy plus soft Dice against one target map per image: masks, or what stands in for them.
pub(crate) struct MaskObjective<'a> {
    batches: Batches<'a>,
    targets: Vec<Vec<f32>>,
    weights: SampleWeights,
    sampler: Sampler,
    batch: usize,
}

impl<'a> MaskObjective<'a> {
    /// `targets`: one map per image of `batches`, values in [0, 1].
    pub fn new(
        batches: Batches<'a>,
        targets: Vec<Vec<f32>>,
        weights: SampleWeights,
        batch: usize,
    ) -> Result<Self, TrainError> {
        let sampler = weights.sampler(batches.seed)?;
        Ok(Self {
            batches,
            targets,
            weights,
            sampler,
            batch,
        })
    }

    /// The augmented images, targets and loss weights of a step.
    pub fn draw(&self, step: usize) -> Result<(Tensor, Tensor, Vec<f32>), TrainError> {
        let indices = self.sampler.batch(step as u64, self.batch);
        let (images, targets) = self.batches.weak_with_targets(&indices, &self.targets, step)?;
        Ok((images, targets, indices.iter().map(|&i| self.weights.loss[i]).collect()))
    }
}

/// Binary cross entropy plus soft Dice of logits `[batch, 1, h, w]`, averaged with the weights.
pub(super) fn mask_loss(logits: &Tensor, targets: &Tensor, weights: &[f32]) -> Result<Tensor, TrainError> {
    let cross_entropy = htl_ops::bce_with_logits(logits, targets, None)?;
    let dice = htl_ops::soft_dice(logits, targets, None)?;
    weighted_mean(&(cross_entropy + dice)?, weights)
}

impl Objective for MaskObjective<'_> {
    fn loss(&self, network: &Network, step: usize) -> Result<Tensor, TrainError> {
        let (images, targets, weights) = self.draw(step)?;
        mask_loss(&network.forward(&images, Mode::Train)?, &targets, &weights)
    }

    fn epoch(&self) -> usize {
        self.targets.len()
    }
}
