use std::collections::BTreeMap;

use candle_core::{Device, Tensor};
use htl_models::{Mode, Network};
use htl_ops::optim::Ema;

use super::{Objective, masks::mask_loss, weighted_mean};
use crate::{
    TrainError,
    attention::SampleWeights,
    batches::{Batches, MaskBatch, MaskBatches, TwoViews},
    config::MeanTeacher,
    feed::Feed,
    predict::localization_map,
    schedule::ramp_up,
};

/// The supervised loss on labelled images, plus agreement of the student's strong view with the confident pixels of a
/// teacher's weak view on unlabelled ones; the teacher is the student's moving average.
pub(crate) struct MeanTeacherObjective {
    labelled: MaskBatches,
    unlabelled: Feed<Unlabelled>,
    params: MeanTeacher,
    steps: usize,
    average: Ema,
    teacher: Network,
    device: Device,
}

struct Unlabelled {
    views: TwoViews,
    weights: Vec<f32>,
}

impl MeanTeacherObjective {
    /// `weights` belong to the images of `unlabelled`.
    pub fn new(
        labelled: MaskBatches,
        unlabelled: Batches,
        weights: SampleWeights,
        params: MeanTeacher,
        steps: usize,
        student: &Network,
    ) -> Result<Self, TrainError> {
        let unlabelled = unlabelled.maker(None)?;
        let sampler = weights.sampler(unlabelled.seed)?;
        let average = Ema::new(&student.parameters().all(), params.decay)?;
        let (pace, device) = (unlabelled.pace(), unlabelled.device.clone());
        let make = move |step: usize| {
            let indices = sampler.batch(step as u64, params.unlabelled_batch);
            Ok(Unlabelled {
                views: unlabelled.two_views(&indices, step)?,
                weights: weights.of_batch(&indices),
            })
        };
        Ok(Self {
            labelled,
            unlabelled: Feed::new(make, steps, pace),
            params,
            steps,
            average,
            teacher: student.duplicate()?,
            device,
        })
    }
}

impl Objective for MeanTeacherObjective {
    fn loss(&mut self, network: &Network, step: usize) -> Result<Tensor, TrainError> {
        let MaskBatch {
            images,
            targets,
            weights,
        } = self.labelled.take(step)?;
        let unlabelled = self.unlabelled.take(step)?;
        let (weak, strong) = (unlabelled.views.weak.tensor()?, unlabelled.views.strong.tensor()?);
        let labelled = images.dim(0)?;

        // One pass through the student, so that batch norm sees labelled and unlabelled images together.
        let logits = network.forward(&Tensor::cat(&[&images, &strong], 0)?, Mode::Train)?;
        let supervised = mask_loss(&logits.narrow(0, 0, labelled)?, &targets, &weights)?;

        let teacher = localization_map(&self.teacher, &weak)?;
        let dtype = teacher.dtype();
        let pseudo = teacher.ge(0.5)?.to_dtype(dtype)?;
        let sure = teacher
            .affine(2.0, -1.0)?
            .abs()?
            .ge(2.0 * self.params.confidence - 1.0)?
            .to_dtype(dtype)?;
        let per_image = htl_ops::bce_with_logits(&logits.narrow(0, labelled, weak.dim(0)?)?, &pseudo, Some(&sure))?;
        let weights = Tensor::new(unlabelled.weights, &self.device)?;
        let unsupervised = weighted_mean(&per_image, &weights)?;
        let factor = self.params.weight * ramp_up(step, self.steps, self.params.ramp);
        Ok((supervised + (unsupervised * factor)?)?)
    }

    fn after_step(&mut self, network: &Network, step: usize) -> Result<(), TrainError> {
        // The teacher follows closely at first, when its average would still be mostly the initial weights.
        let decay = self.params.decay.min((step + 1) as f64 / (step + 10) as f64);
        self.average.update_with(&network.parameters().all(), decay)?;
        self.average.copy_to(&self.teacher.parameters().all())?;
        Ok(())
    }

    fn product<'b>(&'b self, _trained: &'b Network) -> &'b Network {
        &self.teacher
    }

    fn epoch(&self) -> usize {
        self.labelled.samples()
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        Ok(self.average.state()?)
    }

    fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        self.average.load_state(state)?;
        self.average.copy_to(&self.teacher.parameters().all())?;
        Ok(())
    }
}
