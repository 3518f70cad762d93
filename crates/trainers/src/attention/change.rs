use candle_core::Tensor;
use htl_models::Preprocessing;

use super::form::Params;
use crate::{TrainError, batches::MaskBatch};

/// What attention makes of the batches of a training with a target map for every image.
pub(crate) trait BatchChange {
    /// The batch of a step, before the network sees it.
    fn before(&self, batch: MaskBatch, _step: usize) -> Result<MaskBatch, TrainError> {
        Ok(batch)
    }

    /// The same when the network has judged it, `outputs` being its logits: weights may change.
    fn judged(&self, batch: MaskBatch, _outputs: &Tensor) -> Result<MaskBatch, TrainError> {
        Ok(batch)
    }
}

/// What a change is made from.
pub(crate) struct ChangeParts<'a> {
    /// The configured weight of attention.
    pub weight: f64,
    /// The form's parameters.
    pub params: &'a Params,
    /// How images were normalised.
    pub preprocessing: &'a Preprocessing,
    /// The seed of the training.
    pub seed: u64,
}
