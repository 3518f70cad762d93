use candle_core::Tensor;
use htl_ops::{FocalParams, TverskyParams};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{TrainError, batches::MaskBatch};

/// What a localizer minimises, of each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MaskLoss {
    /// Binary cross entropy plus the soft Dice loss.
    #[default]
    BceDice,
    /// Binary cross entropy.
    Bce,
    /// The soft Dice loss.
    Dice,
    /// Binary cross entropy plus the Tversky loss, missed pixels weighing .7 and false ones .3 (Salehi et al. 2017).
    BceTversky,
    /// The focal loss with an exponent of 2 and without class weights (Lin et al. 2017), plus the soft Dice loss.
    FocalDice,
}

impl MaskLoss {
    /// The loss of each image.
    ///
    /// # Shapes
    /// - `logits`, `targets` (in [0, 1]), `pixels` (weights): `[batch, 1, height, width]`; result `[batch]`
    pub(crate) fn of_images(
        self,
        logits: &Tensor,
        targets: &Tensor,
        pixels: Option<&Tensor>,
    ) -> Result<Tensor, TrainError> {
        let bce = || htl_ops::bce_with_logits(logits, targets, pixels);
        let dice = || htl_ops::soft_dice(logits, targets, pixels);
        Ok(match self {
            Self::BceDice => (bce()? + dice()?)?,
            Self::Bce => bce()?,
            Self::Dice => dice()?,
            Self::BceTversky => (bce()? + htl_ops::tversky(logits, targets, pixels, TverskyParams::default())?)?,
            Self::FocalDice => {
                let params = FocalParams {
                    alpha: None,
                    ..FocalParams::default()
                };
                (htl_ops::focal_with_logits(logits, targets, pixels, params)? + dice()?)?
            }
        })
    }

    /// The mean over a batch, with its weights.
    pub(crate) fn of_batch(self, logits: &Tensor, batch: &MaskBatch) -> Result<Tensor, TrainError> {
        let losses = self.of_images(logits, &batch.targets, batch.pixels.as_ref())?;
        weighted_mean(&losses, &batch.weights)
    }
}

/// Mean of per-image losses `[batch]` with weights `[batch]` whose sum is 1.
pub(crate) fn weighted_mean(losses: &Tensor, weights: &Tensor) -> Result<Tensor, TrainError> {
    Ok((losses * weights)?.sum_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Every loss is smaller for a better map, and leaves out pixels of weight 0.
    #[test]
    fn better_maps_cost_less() {
        let tensor = |values: [f32; 4]| {
            Tensor::new(&values, &Device::Cpu)
                .unwrap()
                .reshape((1, 1, 2, 2))
                .unwrap()
        };
        let (targets, left_out) = (tensor([1., 1., 0., 0.]), tensor([1., 1., 1., 0.]));
        for loss in [
            MaskLoss::BceDice,
            MaskLoss::Bce,
            MaskLoss::Dice,
            MaskLoss::BceTversky,
            MaskLoss::FocalDice,
        ] {
            let of = |logits: [f32; 4], pixels: Option<&Tensor>| {
                let found = loss.of_images(&tensor(logits), &targets, pixels).unwrap();
                found.to_vec1::<f32>().unwrap()[0]
            };
            let (good, bad) = (of([3., 3., -3., -3.], None), of([3., -3., -3., -3.], None));
            assert!(0.0 < good && good < bad, "{loss:?}: {good} {bad}");
            let wrong_there = [3., 3., -3., 9.];
            assert_eq!(
                of(wrong_there, Some(&left_out)),
                of([3., 3., -3., -9.], Some(&left_out)),
                "{loss:?}"
            );
        }
    }
}
