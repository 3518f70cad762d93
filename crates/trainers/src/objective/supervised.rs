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
        let batches = parts.labelled(samples::mask_targets(images), parts.image_attention(images)?)?;
        Ok(Box::new(MaskTraining { batches }))
    }
}
