use htl_datasets::{DataFolder, ImageSet, MaskUse, Split};
use htl_inference::Validator;
use htl_vocabulary::{Setting, setting};

use super::base::{MaskTraining, Objective, Parts, Training};
use crate::{
    TrainError,
    batches::{Maps, MaskBatches},
    dynamics::Given,
    pseudo::{PseudoTargets, by_colour},
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
        let pseudo = PseudoTargets::of(parts.pseudo, &parts.samples.labelled, parts.seed)?;
        Ok(Given::Masks(pseudo.targets))
    }

    fn start(&self, parts: &Parts<'_>) -> Result<Box<dyn Training>, TrainError> {
        parts.no_live_attention()?;
        let images = &parts.samples.labelled;
        let pseudo = PseudoTargets::of(parts.pseudo, images, parts.seed)?;
        let attention = parts.image_attention(images)?.only(&pseudo.kept);
        let attended = attention.pixel_masks(Some(&pseudo.targets), images.size());
        let maps = Maps {
            pixels: product(pseudo.pixels, attended),
            targets: Some(pseudo.targets),
        };
        let batches = MaskBatches::with_maps(parts.batches(images), maps, attention, parts.batch, parts.steps)?;
        Ok(Box::new(MaskTraining { batches, live: None }))
    }
}

/// Weights of pixels by two rules, either of which may have none.
fn product(a: Option<Vec<Vec<f32>>>, b: Option<Vec<Vec<f32>>>) -> Option<Vec<Vec<f32>>> {
    match (a, b) {
        (Some(a), Some(b)) => {
            let image = |(a, b): (Vec<f32>, Vec<f32>)| a.iter().zip(b).map(|(a, b)| a * b).collect();
            Some(a.into_iter().zip(b).map(image).collect())
        }
        (a, b) => a.or(b),
    }
}
