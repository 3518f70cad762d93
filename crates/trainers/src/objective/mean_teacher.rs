use std::collections::BTreeMap;

use candle_core::Tensor;
use htl_datasets::Sampler;
use htl_models::{Mode, Network};
use htl_ops::optim::Ema;

use super::{MaskObjective, Objective, masks::mask_loss, weighted_mean};
use crate::{
    TrainError, attention::SampleWeights, batches::Batches, config::MeanTeacher, predict::localization_map,
    schedule::ramp_up,
};

/// The supervised loss on labelled images, plus agreement of the student's strong view with the confident pixels of a
/// teacher's weak view on unlabelled ones; the teacher is the student's moving average.
pub(crate) struct MeanTeacherObjective<'a> {
    labelled: MaskObjective<'a>,
    unlabelled: Batches<'a>,
    weights: SampleWeights,
    sampler: Sampler,
    params: MeanTeacher,
    steps: usize,
    average: Ema,
    teacher: Network,
}

impl<'a> MeanTeacherObjective<'a> {
    /// `weights` belong to the images of `unlabelled`.
    pub fn new(
        labelled: MaskObjective<'a>,
        unlabelled: Batches<'a>,
        weights: SampleWeights,
        params: MeanTeacher,
        steps: usize,
        student: &Network,
    ) -> Result<Self, TrainError> {
        let sampler = weights.sampler(unlabelled.seed)?;
        let average = Ema::new(&student.parameters().all(), params.decay)?;
        Ok(Self {
            labelled,
            unlabelled,
            weights,
            sampler,
            params,
            steps,
            average,
            teacher: student.duplicate()?,
        })
    }
}

impl Objective for MeanTeacherObjective<'_> {
    fn loss(&self, network: &Network, step: usize) -> Result<Tensor, TrainError> {
        let (images, targets, weights) = self.labelled.draw(step)?;
        let indices = self.sampler.batch(step as u64, self.params.unlabelled_batch);
        let views = self.unlabelled.two_views(&indices, step)?;
        let labelled = images.dim(0)?;

        // One pass through the student, so that batch norm sees labelled and unlabelled images together.
        let logits = network.forward(&Tensor::cat(&[&images, &views.strong], 0)?, Mode::Train)?;
        let supervised = mask_loss(&logits.narrow(0, 0, labelled)?, &targets, &weights)?;

        let teacher = localization_map(&self.teacher, &views.weak)?;
        let dtype = teacher.dtype();
        let pseudo = teacher.ge(0.5)?.to_dtype(dtype)?;
        let sure = teacher
            .affine(2.0, -1.0)?
            .abs()?
            .ge(2.0 * self.params.confidence - 1.0)?
            .to_dtype(dtype)?;
        let per_image = htl_ops::bce_with_logits(&logits.narrow(0, labelled, indices.len())?, &pseudo, Some(&sure))?;
        let weights: Vec<f32> = indices.iter().map(|&i| self.weights.loss[i]).collect();
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
        self.labelled.epoch()
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
