use candle_core::{Device, Tensor};
use htl_datasets::Sampler;
use htl_models::{Mode, Network};

use super::{Objective, weighted_mean};
use crate::{TrainError, attention::SampleWeights, batches::Batches, feed::Feed, upload::Staged};

/// Cross entropy against the diagnosis, classes drawn equally often in expectation.
pub(crate) struct ImageLabelObjective {
    feed: Feed<Diagnosed>,
    samples: usize,
    device: Device,
}

struct Diagnosed {
    images: Staged,
    labels: Vec<u32>,
    weights: Vec<f32>,
}

impl ImageLabelObjective {
    /// `labels`: the class of each image of `batches`, below `classes`.
    pub fn new(
        batches: Batches,
        labels: Vec<u32>,
        classes: usize,
        weights: SampleWeights,
        batch: usize,
        steps: usize,
    ) -> Result<Self, TrainError> {
        let mut counts = vec![0usize; classes];
        labels.iter().for_each(|&label| counts[label as usize] += 1);
        let attention = weights.sampling.clone().unwrap_or_else(|| vec![1.0; labels.len()]);
        let balanced: Vec<f64> = labels
            .iter()
            .zip(attention)
            .map(|(&label, a)| a / counts[label as usize] as f64)
            .collect();
        let batches = batches.maker(None)?;
        let sampler = Sampler::weighted(&balanced, batches.seed)?;
        let (samples, pace, device) = (labels.len(), batches.pace(), batches.device.clone());
        let make = move |step: usize| {
            let indices = sampler.batch(step as u64, batch);
            Ok(Diagnosed {
                images: batches.weak(&indices, step)?,
                labels: indices.iter().map(|&i| labels[i]).collect(),
                weights: weights.of_batch(&indices),
            })
        };
        Ok(Self {
            feed: Feed::new(make, steps, pace),
            samples,
            device,
        })
    }
}

impl Objective for ImageLabelObjective {
    fn loss(&mut self, network: &Network, step: usize) -> Result<Tensor, TrainError> {
        let batch = self.feed.take(step)?;
        let labels = Tensor::new(batch.labels, &Device::Cpu)?;
        let weights = Tensor::new(batch.weights, &self.device)?;
        let logits = network.forward(&batch.images.tensor()?, Mode::Train)?;
        weighted_mean(&htl_ops::cross_entropy(&logits, &labels)?, &weights)
    }

    fn epoch(&self) -> usize {
        self.samples
    }
}
