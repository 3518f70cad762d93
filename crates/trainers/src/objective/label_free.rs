use htl_datasets::{DataFolder, ImageSet, MaskUse, Split};
use htl_inference::Validator;
use htl_vocabulary::{Setting, setting};

use super::base::{Objective, Parts, Training};
use crate::{
    TrainError,
    dynamics::Given,
    pseudo::{Prior, PseudoTargets, by_colour},
    samples::Label,
};

/// Pseudo-masks from colours, or from the networks of an earlier cycle; no label is read, not even for validation.
pub(super) struct LabelFree;

impl Objective for LabelFree {
    fn setting(&self) -> Setting {
        setting::LABEL_FREE
    }

    fn label(&self) -> Label {
        Label::None
    }

    /// Agreement with the masks from colours.
    fn validation(&self, size: usize, data: &DataFolder) -> Result<Option<(ImageSet, Validator)>, TrainError> {
        let val = data.split(Split::Val);
        if val.is_empty() {
            return Ok(None);
        }
        let images = ImageSet::load(&val, size, MaskUse::Ignore)?;
        let masks = by_colour(&images)?;
        Ok(Some((images, Validator::Masks(masks))))
    }

    fn given(&self, parts: &Parts<'_>) -> Result<Given, TrainError> {
        let pseudo = PseudoTargets::of(parts.pseudo, Prior::Colours, &parts.samples.labelled, parts.seed)?;
        Ok(Given::Masks(pseudo.targets))
    }

    fn start(&self, parts: &Parts<'_>) -> Result<Box<dyn Training>, TrainError> {
        let pseudo = PseudoTargets::of(parts.pseudo, Prior::Colours, &parts.samples.labelled, parts.seed)?;
        Ok(Box::new(parts.pseudo_training(pseudo)?))
    }
}
