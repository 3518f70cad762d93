use std::{collections::BTreeMap, sync::Arc};

use candle_core::{Device, Tensor};
use htl_datasets::{DataFolder, ImageSet, MaskUse, Sample, Split};
use htl_inference::{Validator, stored_masks};
use htl_models::{Architecture, Mode, ModelError, Network, Preprocessing};
use htl_vocabulary::Setting;

use super::params::{Boxes, MeanTeacher};
use crate::{
    TrainError,
    attention::{self, Attention, BatchChange, ExtraTerm, ImageAttention, LiveAttention, View},
    batches::{Batches, Maps, MaskBatches},
    config::TrainConfig,
    dynamics::Given,
    mask_loss::MaskLoss,
    pseudo::{PseudoMasks, PseudoTargets, product},
    recipe::Recipe,
    samples::{self, Label, TrainingSamples, Unlisted},
};

/// Everything specific to a setting. The defaults describe a localizer that is trained and validated with masks.
pub(crate) trait Objective: Sync {
    /// The setting.
    fn setting(&self) -> Setting;

    /// The label that a sample is trained with.
    fn label(&self) -> Label {
        Label::Mask
    }

    /// Treatment of training samples that `labelled` does not list. If they are used, the list is required.
    fn unlisted(&self) -> Unlisted {
        Unlisted::LeftOut
    }

    /// The classes that the network tells apart; none for a localizer.
    fn classes(&self, _data: &DataFolder) -> Vec<String> {
        Vec::new()
    }

    /// The network to train; `classes` as above.
    fn architecture(&self, config: &TrainConfig, _classes: &[String]) -> Result<Architecture, ModelError> {
        config.network.localizer(config.width)
    }

    /// The validation images at this size, and what validates a network on them; `None` if the split holds no label of
    /// the setting's kind.
    fn validation(&self, size: usize, data: &DataFolder) -> Result<Option<(ImageSet, Validator)>, TrainError> {
        let Some(images) = images_with_masks(size, data)? else {
            return Ok(None);
        };
        let masks = stored_masks(&images)?;
        Ok(Some((images, Validator::Masks(masks))))
    }

    /// The labels that the training images are judged against for `dynamics.csv`: those that they are trained with.
    fn given(&self, parts: &Parts<'_>) -> Result<Given, TrainError> {
        Ok(Given::Masks(samples::mask_targets(&parts.samples.labelled)))
    }

    /// Prepares a training.
    fn start(&self, parts: &Parts<'_>) -> Result<Box<dyn Training>, TrainError>;
}

/// An objective at work: a loss per step, and what has to happen between steps.
pub(crate) trait Training {
    /// The loss of a step, a scalar that depends on the network's parameters; `extra` has been added.
    fn loss(&mut self, network: &Network, step: usize, extra: &mut ExtraTerm) -> Result<Tensor, TrainError>;

    /// Called after each optimiser step.
    fn after_step(&mut self, _network: &Network, _step: usize) -> Result<(), TrainError> {
        Ok(())
    }

    /// The network that is validated and saved: the trained one, or its teacher.
    fn final_model<'a>(&'a self, trained: &'a Network) -> &'a Network {
        trained
    }

    /// Samples in an epoch.
    fn samples(&self) -> usize;

    /// Tensors that a resumed training needs besides network and optimiser.
    fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        Ok(BTreeMap::new())
    }

    /// The inverse of [`Self::state`].
    fn load_state(&mut self, _state: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        Ok(())
    }
}

/// Everything an objective may need to start.
pub(crate) struct Parts<'a> {
    pub seed: u64,
    /// Labelled images per step.
    pub batch: usize,
    /// Steps in all.
    pub steps: usize,
    pub recipe: Recipe,
    pub attention: Option<&'a Attention>,
    pub mean_teacher: MeanTeacher,
    pub boxes: Boxes,
    pub pseudo: &'a PseudoMasks,
    pub data: &'a DataFolder,
    pub samples: &'a TrainingSamples,
    pub classes: &'a [String],
    /// The initial network.
    pub network: &'a Network,
    pub preprocessing: &'a Preprocessing,
    pub device: &'a Device,
}

impl Parts<'_> {
    /// Batches of a set.
    pub fn batches(&self, images: &Arc<ImageSet>) -> Batches {
        Batches::new(images.clone(), self.preprocessing, self.seed, self.device).augmented(&self.recipe)
    }

    /// The configured attention to the images of a set.
    pub fn image_attention(&self, images: &ImageSet) -> Result<ImageAttention, TrainError> {
        attention::of_images(self.attention, &images.ids(), self.seed)
    }

    /// The training of the labelled images with a target map each.
    pub(super) fn mask_training(&self, targets: Vec<Vec<f32>>) -> Result<MaskTraining, TrainError> {
        let images = &self.samples.labelled;
        let rescoring = self.attention.map(attention::rescoring).transpose()?.flatten();
        let live = self.attention.zip(rescoring).map(|(attention, rescoring)| {
            let every = rescoring.every * images.len() as f64 / self.batch as f64;
            LiveAttention::new(
                attention,
                images,
                targets.clone(),
                self.preprocessing,
                self.seed,
                every.round() as usize,
                self.device,
            )
        });
        let batches = self.labelled(targets, self.image_attention(images)?)?;
        let change = self.change()?;
        let loss = self.recipe.loss;
        Ok(MaskTraining {
            batches,
            loss,
            live,
            change,
        })
    }

    /// The same with pseudo-masks, of which images or pixels may be left out.
    pub(super) fn pseudo_training(&self, pseudo: PseudoTargets) -> Result<MaskTraining, TrainError> {
        if pseudo.pixels.is_none() && pseudo.kept.iter().all(|kept| *kept) {
            return self.mask_training(pseudo.targets);
        }
        self.no_live_attention()?;
        let images = &self.samples.labelled;
        let attention = self.image_attention(images)?.only(&pseudo.kept);
        let attended = attention.pixel_masks(Some(&pseudo.targets), images.size());
        let maps = Maps {
            pixels: product(pseudo.pixels, attended),
            targets: Some(pseudo.targets),
        };
        Ok(MaskTraining {
            batches: MaskBatches::with_maps(self.batches(images), maps, attention, self.batch, self.steps)?,
            loss: self.recipe.loss,
            live: None,
            change: self.change()?,
        })
    }

    fn change(&self) -> Result<Option<Box<dyn BatchChange>>, TrainError> {
        attention::change(self.attention, self.preprocessing, self.seed)
    }

    /// # Errors
    /// [`TrainError::Parameter`] for a form of attention that needs a target map for every image it attends to.
    pub fn no_attention_by_targets(&self) -> Result<(), TrainError> {
        self.no_live_attention()?;
        match (self.change()?, self.attention) {
            (Some(_), Some(attention)) => Err(TrainError::Parameter {
                key: "attention.form",
                message: "one that leaves batches as they are: this setting attends to images without target maps"
                    .into(),
                found: attention.form.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// # Errors
    /// [`TrainError::Parameter`] for a form of attention that scores images by the masks of the network in training.
    fn no_live_attention(&self) -> Result<(), TrainError> {
        let live = self.attention.map(attention::rescoring).transpose()?.flatten();
        match (live, self.attention) {
            (Some(_), Some(attention)) => Err(TrainError::Parameter {
                key: "attention.form",
                message: "one with a score table: only trainings with a whole target map for every image score while they train".into(),
                found: attention.form.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Batches of the labelled images with a target map each.
    pub fn labelled(&self, targets: Vec<Vec<f32>>, attention: ImageAttention) -> Result<MaskBatches, TrainError> {
        let batches = self.batches(&self.samples.labelled);
        MaskBatches::of(batches, targets, attention, self.batch, self.steps)
    }
}

/// The validation images that have masks, if there are any.
pub(super) fn images_with_masks(size: usize, data: &DataFolder) -> Result<Option<ImageSet>, TrainError> {
    let val = data.split(Split::Val);
    let samples: Vec<&Sample> = val.into_iter().filter(|s| s.mask.is_some()).collect();
    if samples.is_empty() {
        return Ok(None);
    }
    Ok(Some(ImageSet::load(&samples, size, MaskUse::Required)?))
}

/// A loss over pixels against one target map per image: masks, or what stands in for them.
pub(super) struct MaskTraining {
    pub batches: MaskBatches,
    /// What is minimised.
    pub loss: MaskLoss,
    /// Attention whose scores the network itself makes anew.
    pub live: Option<LiveAttention>,
    /// What attention makes of batches.
    pub change: Option<Box<dyn BatchChange>>,
}

impl Training for MaskTraining {
    fn loss(&mut self, network: &Network, step: usize, extra: &mut ExtraTerm) -> Result<Tensor, TrainError> {
        if let Some(live) = &mut self.live
            && let Some(attention) = live.at(step, network)?
        {
            self.batches.attend(attention)?;
        }
        let mut batch = self.batches.take(step)?;
        if let Some(change) = &self.change {
            batch = change.before(batch, step)?;
        }
        let logits = network.forward(&batch.images, Mode::Train)?;
        if let Some(change) = &self.change {
            batch = change.judged(batch, &logits)?;
        }
        let loss = self.loss.of_batch(&logits, &batch)?;
        extra.add(
            loss,
            &View {
                images: &batch.images,
                second: batch.strong.as_ref(),
                outputs: &logits,
                attended: &batch.attended,
            },
        )
    }

    fn samples(&self) -> usize {
        self.batches.samples()
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        self.live
            .as_ref()
            .map_or_else(|| Ok(BTreeMap::new()), LiveAttention::state)
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        match self
            .live
            .as_mut()
            .map(|live| live.load_state(state))
            .transpose()?
            .flatten()
        {
            Some(attention) => self.batches.attend(attention),
            None => Ok(()),
        }
    }
}
