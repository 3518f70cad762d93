use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use htl_inference::localization_map;
use htl_models::{Mode, Network};
use htl_ops::optim::Ema;
use htl_vocabulary::{Setting, setting};

use super::{
    base::{Objective, Parts, Training},
    doubt::{Doubt, Opinion, blanked},
    params::MeanTeacher,
};
use crate::{
    TrainError,
    attention::{Draws, ExtraTerm, ImageAttention, View},
    batches::{Batch, Maps, MaskBatches},
    feed::Feed,
    mask_loss::{MaskLoss, weighted_mean},
    samples::{self, Unlisted},
    schedule::ramp_up,
    upload::Staged,
};

/// The masks of the images listed, the others without: mean teacher with confident pseudo-labels. Attention is to the
/// unlabelled images.
pub(super) struct SemiSupervised;

impl Objective for SemiSupervised {
    fn setting(&self) -> Setting {
        setting::SEMI_SUPERVISED
    }

    fn unlisted(&self) -> Unlisted {
        Unlisted::Unlabelled
    }

    fn start(&self, parts: &Parts<'_>) -> Result<Box<dyn Training>, TrainError> {
        Ok(Box::new(MeanTeacherTraining::new(parts)?))
    }
}

/// The supervised loss on labelled images, plus agreement of the student's strong view with the confident pixels of a
/// teacher's weak view on unlabelled ones; the teacher is the student's moving average.
struct MeanTeacherTraining {
    labelled: MaskBatches,
    loss: MaskLoss,
    unlabelled: Feed<Unlabelled>,
    params: MeanTeacher,
    steps: usize,
    average: Ema,
    teacher: Network,
    doubt: Option<Doubt>,
    device: Device,
}

struct Unlabelled {
    batch: Batch,
    weights: Vec<f32>,
    attended: Vec<f32>,
}

impl MeanTeacherTraining {
    fn new(parts: &Parts<'_>) -> Result<Self, TrainError> {
        parts.no_attention_by_targets()?;
        if parts.recipe.average > 0.0 {
            return Err(TrainError::Parameter {
                key: "recipe.average",
                message: "0: the teacher is the moving average of this setting, and has its own decay".into(),
                found: parts.recipe.average.to_string(),
            });
        }
        let (params, steps, student) = (parts.mean_teacher, parts.steps, parts.network);
        let images = &parts.samples.labelled;
        let labelled = parts.labelled(samples::mask_targets(images), ImageAttention::uniform(images.len()))?;
        let images = parts.samples.unlabelled.as_ref().unwrap_or(images);
        let attention = parts.image_attention(images)?;
        let maker = parts.batches(images).maker(Maps {
            pixels: attention.pixel_masks(None, images.size()),
            targets: None,
        })?;
        let draws = Draws::new(attention, maker.seed, steps)?;
        let average = Ema::new(&student.parameters().all(), params.decay)?;
        let (pace, device) = (maker.pace(), maker.device.clone());
        let make = move |step: usize| {
            let (indices, attention) = draws.at(step, params.unlabelled_batch);
            Ok(Unlabelled {
                batch: maker.unlabelled(&indices, attention, step)?,
                weights: attention.loss_weights(&indices),
                attended: attention.attended(&indices),
            })
        };
        Ok(Self {
            labelled,
            loss: parts.recipe.loss,
            unlabelled: Feed::new(make, steps, pace),
            params,
            steps,
            average,
            teacher: student.duplicate()?,
            doubt: params.filter.map(|filter| Doubt::new(filter, parts.seed)),
            device,
        })
    }
}

impl Training for MeanTeacherTraining {
    fn loss(&mut self, network: &Network, step: usize, extra: &mut ExtraTerm) -> Result<Tensor, TrainError> {
        let batch = self.labelled.take(step)?;
        let Unlabelled {
            batch: unlabelled,
            weights,
            attended,
        } = self.unlabelled.take(step)?;
        let none = || candle_core::Error::Msg("an unlabelled batch has two views".into());
        let weak = unlabelled.images.tensor()?;
        let strong = unlabelled.strong.ok_or_else(none)?.tensor()?;
        let pixels = unlabelled.pixels.map(Staged::tensor).transpose()?;
        let labelled = batch.images.dim(0)?;

        let teacher = localization_map(&self.teacher, &weak)?;
        let opinion = match &mut self.doubt {
            Some(doubt) => doubt.opinion(&self.teacher, network, &weak, &teacher, step)?,
            None => Opinion::none(&teacher)?,
        };
        let strong = match &opinion.seen {
            Some(seen) => blanked(&strong, seen)?,
            None => strong,
        };
        // One pass through the student, so that batch norm sees labelled and unlabelled images together.
        let logits = network.forward(&Tensor::cat(&[&batch.images, &strong], 0)?, Mode::Train)?;
        let supervised = self.loss.of_batch(&logits.narrow(0, 0, labelled)?, &batch)?;

        let dtype = teacher.dtype();
        let mut sure = teacher
            .affine(2.0, -1.0)?
            .abs()?
            .ge(2.0 * self.params.confidence - 1.0)?
            .to_dtype(dtype)?;
        for pixels in pixels.into_iter().chain(opinion.counted) {
            sure = (sure * pixels.to_dtype(dtype)?)?;
        }
        let outputs = logits.narrow(0, labelled, weak.dim(0)?)?;
        let per_image = htl_ops::bce_with_logits(&outputs, &opinion.labels, Some(&sure))?;
        let weights = Tensor::new(weights, &self.device)?;
        let unsupervised = weighted_mean(&per_image, &weights)?;
        let factor = self.params.weight * ramp_up(step, self.steps, self.params.ramp);
        let loss = (supervised + (unsupervised * factor)?)?;
        extra.add(
            loss,
            &View {
                images: &strong,
                second: Some(&weak),
                outputs: &outputs,
                attended: &attended,
            },
        )
    }

    fn after_step(&mut self, network: &Network, step: usize) -> Result<(), TrainError> {
        // The teacher follows closely at first, when its average would still be mostly the initial weights.
        let decay = self.params.decay.min((step + 1) as f64 / (step + 10) as f64);
        self.average.update_with(&network.parameters().all(), decay)?;
        self.average.copy_to(&self.teacher.parameters().all())?;
        Ok(())
    }

    fn final_model<'b>(&'b self, _trained: &'b Network) -> &'b Network {
        &self.teacher
    }

    fn samples(&self) -> usize {
        self.labelled.samples()
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        let mut state = self.average.state()?;
        if let Some(doubt) = &self.doubt {
            state.extend(doubt.state()?);
        }
        Ok(state)
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        let moved = |(name, tensor): (&String, &Tensor)| Ok((name.clone(), tensor.to_device(&self.device)?));
        let mut state: BTreeMap<String, Tensor> = state.iter().map(moved).collect::<candle_core::Result<_>>()?;
        if let Some(doubt) = &mut self.doubt {
            doubt.load_state(&self.teacher, &mut state)?;
        }
        self.average.load_state(&state)?;
        self.average.copy_to(&self.teacher.parameters().all())?;
        Ok(())
    }
}
