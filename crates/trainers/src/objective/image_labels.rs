use candle_core::{Device, Tensor};
use htl_datasets::{DataFolder, ImageSet, MaskUse, Sample, Split};
use htl_inference::Validator;
use htl_models::{Architecture, Mode, ModelError, Network};
use htl_vocabulary::{Setting, setting};

use super::base::{Objective, Parts, Training};
use crate::{
    TrainError,
    attention::{Draws, ExtraTerm, View},
    batches::{Batch, Maps},
    config::TrainConfig,
    dynamics::Given,
    feed::Feed,
    mask_loss::weighted_mean,
    samples::{Label, classes, labels},
    upload::Staged,
};

/// Diagnoses only: a classifier whose class activation map localizes.
pub(super) struct ImageLabels;

impl Objective for ImageLabels {
    fn setting(&self) -> Setting {
        setting::WEAKLY_SUPERVISED
    }

    fn label(&self) -> Label {
        Label::Diagnosis
    }

    fn classes(&self, data: &DataFolder) -> Vec<String> {
        classes(data)
    }

    fn architecture(&self, config: &TrainConfig, classes: &[String]) -> Result<Architecture, ModelError> {
        config.network.classifier(config.width, classes.len())
    }

    fn validation(&self, size: usize, data: &DataFolder) -> Result<Option<(ImageSet, Validator)>, TrainError> {
        let classes = classes(data);
        let known = |s: &&Sample| s.dx.as_ref().is_some_and(|dx| classes.contains(dx));
        let samples: Vec<&Sample> = data.split(Split::Val).into_iter().filter(known).collect();
        if samples.is_empty() {
            return Ok(None);
        }
        let images = ImageSet::load(&samples, size, MaskUse::Ignore)?;
        let labels = labels(data, &images, &classes);
        let classes = classes.len();
        Ok(Some((images, Validator::Classes { labels, classes })))
    }

    fn given(&self, parts: &Parts<'_>) -> Result<Given, TrainError> {
        Ok(Given::Classes(labels(
            parts.data,
            &parts.samples.labelled,
            parts.classes,
        )))
    }

    fn start(&self, parts: &Parts<'_>) -> Result<Box<dyn Training>, TrainError> {
        Ok(Box::new(ClassTraining::new(parts)?))
    }
}

/// Cross entropy against the diagnosis, classes drawn equally often in expectation.
struct ClassTraining {
    feed: Feed<Diagnosed>,
    samples: usize,
    device: Device,
}

struct Diagnosed {
    batch: Batch,
    labels: Vec<u32>,
    weights: Vec<f32>,
    attended: Vec<f32>,
}

impl ClassTraining {
    fn new(parts: &Parts<'_>) -> Result<Self, TrainError> {
        parts.no_attention_by_targets()?;
        let images = &parts.samples.labelled;
        let labels = labels(parts.data, images, parts.classes);
        let attention = parts.image_attention(images)?;
        if attention.pixel_masks(None, images.size()).is_some() {
            return Err(TrainError::Parameter {
                key: "attention.form",
                message: "one that does not weight pixels: image labels have none".into(),
                found: parts.attention.map_or_else(String::new, |a| a.form.clone()),
            });
        }
        let mut counts = vec![0usize; parts.classes.len()];
        labels.iter().for_each(|&label| counts[label as usize] += 1);
        let balance = |&label: &u32| 1.0 / counts[label as usize] as f64;
        let balance: Vec<f64> = labels.iter().map(balance).collect();
        let maker = parts.batches(images).maker(Maps::default())?;
        let draws = Draws::new(attention.drawn_by(&balance), maker.seed, parts.steps)?;
        let (samples, pace, device) = (labels.len(), maker.pace(), maker.device.clone());
        let batch = parts.batch;
        let make = move |step: usize| {
            let (indices, attention) = draws.at(step, batch);
            Ok(Diagnosed {
                batch: maker.labelled(&indices, attention, step)?,
                labels: indices.iter().map(|&i| labels[i]).collect(),
                weights: attention.loss_weights(&indices),
                attended: attention.attended(&indices),
            })
        };
        Ok(Self {
            feed: Feed::new(make, parts.steps, pace),
            samples,
            device,
        })
    }
}

impl Training for ClassTraining {
    fn loss(&mut self, network: &Network, step: usize, extra: &mut ExtraTerm) -> Result<Tensor, TrainError> {
        let Diagnosed {
            batch,
            labels,
            weights,
            attended,
        } = self.feed.take(step)?;
        let labels = Tensor::new(labels, &Device::Cpu)?;
        let weights = Tensor::new(weights, &self.device)?;
        let images = batch.images.tensor()?;
        let strong = batch.strong.map(Staged::tensor).transpose()?;
        let logits = network.forward(&images, Mode::Train)?;
        let loss = weighted_mean(&htl_ops::cross_entropy(&logits, &labels)?, &weights)?;
        extra.add(
            loss,
            &View {
                images: &images,
                second: strong.as_ref(),
                outputs: &logits,
                attended: &attended,
            },
        )
    }

    fn samples(&self) -> usize {
        self.samples
    }
}
