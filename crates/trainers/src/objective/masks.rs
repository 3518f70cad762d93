use candle_core::Tensor;
use htl_models::{Mode, Network};

use super::{Objective, weighted_mean};
use crate::{
    TrainError,
    batches::{MaskBatch, MaskBatches},
};

/// Binary cross entropy plus soft Dice against one target map per image: masks, or what stands in for them.
pub(crate) struct MaskObjective {
    pub batches: MaskBatches,
}

/// Binary cross entropy plus soft Dice of logits `[batch, 1, h, w]`, averaged with the weights.
pub(super) fn mask_loss(logits: &Tensor, targets: &Tensor, weights: &Tensor) -> Result<Tensor, TrainError> {
    let cross_entropy = htl_ops::bce_with_logits(logits, targets, None)?;
    let dice = htl_ops::soft_dice(logits, targets, None)?;
    weighted_mean(&(cross_entropy + dice)?, weights)
}

impl Objective for MaskObjective {
    fn loss(&mut self, network: &Network, step: usize) -> Result<Tensor, TrainError> {
        let MaskBatch {
            images,
            targets,
            weights,
        } = self.batches.take(step)?;
        mask_loss(&network.forward(&images, Mode::Train)?, &targets, &weights)
    }

    fn epoch(&self) -> usize {
        self.batches.samples()
    }
}
