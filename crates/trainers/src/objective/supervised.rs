use htl_vocabulary::{Setting, setting};

use super::base::{Objective, Parts, Training};
use crate::{TrainError, samples};

/// The masks of all training images, or of those listed.
pub(super) struct Supervised;

impl Objective for Supervised {
    fn setting(&self) -> Setting {
        setting::SUPERVISED
    }

    fn start(&self, parts: &Parts<'_>) -> Result<Box<dyn Training>, TrainError> {
        let targets = samples::mask_targets(&parts.samples.labelled);
        Ok(Box::new(parts.mask_training(targets)?))
    }
}
