use htl_datasets::{DataFolder, ImageSet, PixelBox};
use htl_inference::Validator;
use htl_vocabulary::{Setting, setting};

use super::base::{Objective, Parts, Training, images_with_masks};
use crate::{TrainError, box_targets::box_targets, dynamics::Given, samples};

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
        let tight = |i| images.mask(i).and_then(|m| PixelBox::tight(&m, size));
        let boxes = (0..images.len()).map(tight).collect();
        Ok(Some((images, Validator::Boxes(boxes))))
    }

    fn given(&self, parts: &Parts<'_>) -> Result<Given, TrainError> {
        Ok(Given::Masks(targets(parts)))
    }

    fn start(&self, parts: &Parts<'_>) -> Result<Box<dyn Training>, TrainError> {
        Ok(Box::new(parts.mask_training(targets(parts))?))
    }
}

/// The pseudo-mask of each image.
fn targets(parts: &Parts<'_>) -> Vec<Vec<f32>> {
    let images = &parts.samples.labelled;
    box_targets(images, &samples::boxes(images), parts.boxes.targets)
}
