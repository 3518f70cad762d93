use htl_vocabulary::HistoryRow;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{TrainError, mask_loss::MaskLoss, schedule::Schedule};

/// How a network is trained, beyond what it is trained on: everything that may be the best choice for one network and not for
/// another. The defaults are those that the reference U-Net is trained with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Recipe {
    /// What is minimised over pixels.
    pub loss: MaskLoss,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Factor of the learning rate for the encoder, in [0, 1]; below 1 where it is pretrained.
    pub encoder_rate: f64,
    /// Epochs at first in which the encoder's weights stay as they are; its running statistics follow the images all the same.
    pub frozen_epochs: usize,
    /// Decay of a moving average of the weights, which is validated and kept in place of the last ones, in [0, 1); 0: none.
    pub average: f64,
    /// Validations without a better one after which a training ends early; 0: it does not.
    pub patience: usize,
    /// Factor of the range of every change of place: turns, scales, shifts. In [0, 4].
    pub geometry: f64,
    /// Factor of the range of every change of colour. In [0, 4].
    pub colours: f64,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            loss: MaskLoss::default(),
            schedule: Schedule::default(),
            encoder_rate: 1.0,
            frozen_epochs: 0,
            average: 0.0,
            patience: 0,
            geometry: 1.0,
            colours: 1.0,
        }
    }
}

impl Recipe {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`TrainError::Parameter`] naming the first key outside its range.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let ranges = [
            ("recipe.encoder_rate", self.encoder_rate, 0.0..=1.0, "in [0, 1]"),
            ("recipe.average", self.average, 0.0..=0.999_999, "in [0, 1)"),
            ("recipe.geometry", self.geometry, 0.0..=4.0, "in [0, 4]"),
            ("recipe.colours", self.colours, 0.0..=4.0, "in [0, 4]"),
        ];
        for (key, found, range, message) in ranges {
            if !range.contains(&found) {
                return Err(TrainError::Parameter {
                    key,
                    message: message.into(),
                    found: found.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Whether a training ends early: the last validations, as many as it has patience for, were no better than one before.
    pub(crate) fn ends_after(&self, history: &[HistoryRow]) -> bool {
        let qualities: Vec<f64> = history.iter().filter_map(|row| row.val_quality).collect();
        let best = qualities
            .iter()
            .enumerate()
            .rev()
            .max_by(|(_, a), (_, b)| a.total_cmp(b));
        self.patience > 0 && best.is_some_and(|(at, _)| qualities.len() - 1 - at >= self.patience)
    }

    /// The factor of the learning rate of a parameter in an epoch, counted from 0.
    pub(crate) fn rate_factor(&self, name: &str, epoch: usize) -> f64 {
        match name.starts_with("encoder.") {
            true if epoch < self.frozen_epochs => 0.0,
            true => self.encoder_rate,
            false => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoders_have_rates_of_their_own() {
        let recipe = Recipe {
            encoder_rate: 0.1,
            frozen_epochs: 2,
            ..Recipe::default()
        };
        let rates = |name: &str| [0, 1, 2].map(|epoch| recipe.rate_factor(name, epoch));
        assert_eq!(rates("encoder.conv1.weight"), [0.0, 0.0, 0.1]);
        assert_eq!(rates("decoder.0.0.weight"), [1.0; 3]);
    }

    #[test]
    fn patience_counts_from_the_first_best() {
        let recipe = Recipe {
            patience: 2,
            ..Recipe::default()
        };
        let ends = |recipe: Recipe, qualities: &[Option<f64>]| {
            let row = |val_quality: &Option<f64>| HistoryRow {
                epoch: 1,
                step: 1,
                learning_rate: 0.1,
                train_loss: 0.1,
                val_quality: *val_quality,
            };
            recipe.ends_after(&qualities.iter().map(row).collect::<Vec<_>>())
        };
        assert!(!ends(recipe, &[]) && !ends(recipe, &[None, Some(0.5), None, Some(0.4)]));
        assert!(ends(recipe, &[Some(0.5), Some(0.5), Some(0.4)]));
        assert!(!ends(recipe, &[Some(0.5), Some(0.4), Some(0.6), Some(0.1)]));
        assert!(!ends(Recipe::default(), &[Some(0.5), Some(0.4), Some(0.3), Some(0.1)]));
    }

    #[test]
    fn numbers_out_of_range_are_named() {
        let message = |recipe: Recipe| recipe.check().unwrap_err().to_string();
        let recipe = Recipe::default();
        assert!(message(Recipe { average: 1.0, ..recipe }).contains("recipe.average"));
        assert!(
            message(Recipe {
                encoder_rate: f64::NAN,
                ..recipe
            })
            .contains("recipe.encoder_rate")
        );
        assert!(message(Recipe { colours: 5.0, ..recipe }).contains("recipe.colours"));
        assert!(
            message(Recipe {
                geometry: -1.0,
                ..recipe
            })
            .contains("recipe.geometry")
        );
        assert!(recipe.check().is_ok());
    }
}
