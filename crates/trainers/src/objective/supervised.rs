use htl_vocabulary::{Setting, setting};

use super::base::{MaskTraining, Objective, Parts, Training};
use crate::{TrainError, samples};

/// The masks of all training images, or of those listed.
pub(super) struct Supervised;

impl Objective for Supervised {
    fn setting(&self) -> Setting {
        setting::SUPERVISED
    }

    fn start(&self, parts: &Parts<'_>) -> Result<Box<dyn Training>, TrainError> {
        let images = &parts.samples.labelled;
        let mut targets = samples::mask_targets(images);
        if let Some(plant) = parts.plant {
            plant.in_targets(&mut targets);
        }
        let batches = parts.labelled(targets, parts.image_attention(images)?)?;
        Ok(Box::new(MaskTraining { batches }))
    }
}
