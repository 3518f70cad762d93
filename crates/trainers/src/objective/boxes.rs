use htl_datasets::{DataFolder, ImageSet};
use htl_inference::Validator;
use htl_vocabulary::{Setting, setting};

use super::base::{Objective, Parts, Training, images_with_masks};
use crate::{
    TrainError,
    dynamics::Given,
    pseudo::{Prior, PseudoTargets},
    samples,
};

/// Masks made from tight boxes; validated by boxes, too.
pub(super) struct BoxSupervision;

impl Objective for BoxSupervision {
    fn setting(&self) -> Setting {
        setting::WEAKLY_SUPERVISED_BOXES
    }

    fn validation(&self, size: usize, data: &DataFolder) -> Result<Option<(ImageSet, Validator)>, TrainError> {
        let Some(images) = images_with_masks(size, data)? else {
            return Ok(None);
        };
        let boxes = samples::boxes(&images)?;
        Ok(Some((images, Validator::Boxes(boxes))))
    }

    fn given(&self, parts: &Parts<'_>) -> Result<Given, TrainError> {
        Ok(Given::Masks(pseudo(parts)?.targets))
    }

    fn start(&self, parts: &Parts<'_>) -> Result<Box<dyn Training>, TrainError> {
        Ok(Box::new(parts.pseudo_training(pseudo(parts)?)?))
    }
}

/// The pseudo-mask of each image: of its box, or what networks of an earlier cycle see in it.
fn pseudo(parts: &Parts<'_>) -> Result<PseudoTargets, TrainError> {
    let images = &parts.samples.labelled;
    let boxes = samples::boxes(images)?;
    let prior = Prior::Boxes {
        boxes: &boxes,
        targets: parts.boxes.targets,
    };
    PseudoTargets::of(parts.pseudo, prior, images, parts.seed)
}
