use candle_core::Tensor;
use htl_datasets::Sampler;
use htl_models::{Mode, Network};

use super::{Objective, weighted_mean};
use crate::{TrainError, attention::SampleWeights, batches::Batches};

/// Cross entropy against the diagnosis, classes drawn equally often in expectation.
pub(crate) struct ImageLabelObjective<'a> {
    batches: Batches<'a>,
    labels: Vec<u32>,
    weights: SampleWeights,
    sampler: Sampler,
    batch: usize,
}

impl<'a> ImageLabelObjective<'a> {
    /// `labels`: the class of each image of `batches`, below `classes`.
    pub fn new(
        batches: Batches<'a>,
        labels: Vec<u32>,
        classes: usize,
        weights: SampleWeights,
        batch: usize,
    ) -> Result<Self, TrainError> {
        let mut counts = vec![0usize; classes];
        labels.iter().for_each(|&label| counts[label as usize] += 1);
        let attention = weights.sampling.clone().unwrap_or_else(|| vec![1.0; labels.len()]);
        let balanced: Vec<f64> = labels
            .iter()
            .zip(attention)
            .map(|(&label, a)| a / counts[label as usize] as f64)
            .collect();
        let sampler = Sampler::weighted(&balanced, batches.seed)?;
        Ok(Self {
            batches,
            labels,
            weights,
            sampler,
            batch,
        })
    }
}

impl Objective for ImageLabelObjective<'_> {
    fn loss(&self, network: &Network, step: usize) -> Result<Tensor, TrainError> {
        let indices = self.sampler.batch(step as u64, self.batch);
        let images = self.batches.weak(&indices, step)?;
        let labels: Vec<u32> = indices.iter().map(|&i| self.labels[i]).collect();
        let weights: Vec<f32> = indices.iter().map(|&i| self.weights.loss[i]).collect();
        weighted_mean(
            &htl_ops::cross_entropy(
                &network.forward(&images, Mode::Train)?,
                &Tensor::new(labels, images.device())?,
            )?,
            &weights,
        )
    }

    fn epoch(&self) -> usize {
        self.labels.len()
    }
}
