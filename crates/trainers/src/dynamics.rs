use std::{collections::BTreeMap, path::Path, sync::Arc};

use candle_core::{Device, Tensor};
use htl_datasets::ImageSet;
use htl_inference::{NetworkPredictor, for_each_output};
use htl_models::{Network, Preprocessing};
use htl_vocabulary::{DynamicsRow, write_dynamics};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    TrainError,
    fit::EpochPlace,
    judge::{Judgement, judge_classes, judge_masks},
};

/// How often a training judges its images for `dynamics.csv`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DynamicsParams {
    /// Epochs between two judgements, at least 1; the last epoch is always judged.
    pub every: usize,
}

impl Default for DynamicsParams {
    fn default() -> Self {
        Self { every: 1 }
    }
}

impl DynamicsParams {
    /// Whether an epoch is judged.
    pub(crate) fn includes(self, epoch: usize, place: EpochPlace) -> bool {
        place == EpochPlace::Last || epoch.is_multiple_of(self.every.max(1))
    }
}

/// What a training saw of each of its samples, epoch by epoch: the rows of a `dynamics.csv`.
#[derive(Debug, Clone, PartialEq)]
pub struct Dynamics {
    ids: Vec<String>,
    rows: Vec<DynamicsRow>,
}

impl Dynamics {
    /// No judgement yet of the samples with these ids.
    pub fn new(ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            ids: ids.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// The rows, epoch by epoch, each in the order of the ids.
    pub fn rows(&self) -> &[DynamicsRow] {
        &self.rows
    }

    /// Adds the judgements of an epoch, in the order of the ids.
    ///
    /// # Errors
    /// [`TrainError::Judgements`] if there is not one for each id, [`TrainError::NotJudged`] for numbers that are not
    /// finite: a broken network.
    pub fn add(&mut self, epoch: usize, judgements: &[Judgement]) -> Result<(), TrainError> {
        if judgements.len() != self.ids.len() {
            return Err(TrainError::Judgements {
                found: judgements.len(),
                expected: self.ids.len(),
            });
        }
        for (image_id, judged) in self.ids.iter().zip(judgements) {
            if ![judged.loss, judged.margin, judged.el2n]
                .iter()
                .all(|value| value.is_finite())
            {
                return Err(TrainError::NotJudged {
                    image_id: image_id.clone(),
                    epoch,
                });
            }
            self.rows.push(DynamicsRow {
                image_id: image_id.clone(),
                epoch,
                loss: judged.loss,
                margin: judged.margin,
                el2n: judged.el2n,
                correct: judged.correct,
            });
        }
        Ok(())
    }

    /// Writes a `dynamics.csv`, whole.
    ///
    /// # Errors
    /// [`TrainError::Format`] if it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), TrainError> {
        Ok(write_dynamics(path, &self.rows)?)
    }

    /// The rows as tensors: `ids` (bytes, ids parted by 0), `epoch` `[epochs]`, and `loss`, `margin`, `el2n` and `correct`
    /// `[epochs, ids]`.
    fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        let count = self.ids.len();
        if self.rows.is_empty() {
            return Ok(BTreeMap::new());
        }
        let shape = (self.rows.len() / count, count);
        let numbers = |of: fn(&DynamicsRow) -> f64| {
            Tensor::from_vec(self.rows.iter().map(of).collect::<Vec<f64>>(), shape, &Device::Cpu)
        };
        let epochs: Vec<u32> = self.rows.iter().step_by(count).map(|row| row.epoch as u32).collect();
        let correct: Vec<u8> = self.rows.iter().map(|row| u8::from(row.correct)).collect();
        let ids = self.ids.join("\0").into_bytes();
        Ok(BTreeMap::from([
            ("ids".to_owned(), Tensor::new(ids, &Device::Cpu)?),
            ("epoch".to_owned(), Tensor::new(epochs, &Device::Cpu)?),
            ("loss".to_owned(), numbers(|row| row.loss)?),
            ("margin".to_owned(), numbers(|row| row.margin)?),
            ("el2n".to_owned(), numbers(|row| row.el2n)?),
            ("correct".to_owned(), Tensor::from_vec(correct, shape, &Device::Cpu)?),
        ]))
    }

    /// The inverse of [`Self::state`]; `None` if the tensors are no such state. No tensors are no judgement of no sample.
    pub(crate) fn restored(state: &BTreeMap<String, Tensor>) -> Result<Option<Self>, TrainError> {
        if state.is_empty() {
            return Ok(Some(Self::new(Vec::<String>::new())));
        }
        let get = |name: &str| state.get(name);
        let parts = (
            get("ids"),
            get("epoch"),
            get("loss"),
            get("margin"),
            get("el2n"),
            get("correct"),
        );
        let (Some(ids), Some(epoch), Some(loss), Some(margin), Some(el2n), Some(correct)) = parts else {
            return Ok(None);
        };
        let Ok(ids) = String::from_utf8(ids.to_vec1()?) else {
            return Ok(None);
        };
        let mut dynamics = Self::new(ids.split('\0'));
        let count = dynamics.ids.len();
        let shape = [epoch.elem_count(), count];
        if [loss, margin, el2n, correct]
            .iter()
            .any(|tensor| tensor.dims() != shape)
        {
            return Ok(None);
        }
        let flat = |tensor: &Tensor| tensor.flatten_all()?.to_vec1::<f64>();
        let (loss, margin, el2n) = (flat(loss)?, flat(margin)?, flat(el2n)?);
        let correct: Vec<u8> = correct.flatten_all()?.to_vec1()?;
        let judgements: Vec<Judgement> = (loss.iter().zip(&margin).zip(&el2n).zip(&correct))
            .map(|(((&loss, &margin), &el2n), &correct)| Judgement {
                loss,
                margin,
                el2n,
                correct: correct == 1,
            })
            .collect();
        let epochs: Vec<u32> = epoch.to_vec1()?;
        for (epoch, judgements) in epochs.into_iter().zip(judgements.chunks(count)) {
            dynamics.add(epoch as usize, judgements)?;
        }
        Ok(Some(dynamics))
    }
}

/// The labels that images are judged against.
pub(crate) enum Given {
    /// A mask per image, `[size * size]`.
    Masks(Vec<Vec<f32>>),
    /// A class per image.
    Classes(Vec<u32>),
}

/// Judges the labelled images of a training, not augmented.
pub(crate) struct Recorder {
    params: DynamicsParams,
    images: Arc<ImageSet>,
    given: Given,
    dynamics: Dynamics,
}

impl Recorder {
    pub fn new(params: DynamicsParams, images: &Arc<ImageSet>, given: Given) -> Self {
        Self {
            params,
            images: images.clone(),
            given,
            dynamics: Dynamics::new(images.ids()),
        }
    }

    pub fn dynamics(&self) -> &Dynamics {
        &self.dynamics
    }

    /// Judges the images if the epoch is one that is judged: one forward pass each.
    pub fn judge(
        &mut self,
        epoch: usize,
        place: EpochPlace,
        network: &Network,
        preprocessing: &Preprocessing,
        device: &Device,
    ) -> Result<(), TrainError> {
        if !self.params.includes(epoch, place) {
            return Ok(());
        }
        let predictor = NetworkPredictor::new(network, preprocessing.clone(), device);
        let mut judgements = Vec::with_capacity(self.images.len());
        for_each_output(&predictor, &self.images, |range, outputs| -> Result<(), TrainError> {
            let batch = match &self.given {
                Given::Masks(masks) => {
                    let masks: Vec<f32> = masks
                        .iter()
                        .skip(range.start)
                        .take(range.len())
                        .flatten()
                        .copied()
                        .collect();
                    judge_masks(outputs, &Tensor::from_vec(masks, outputs.dims(), &Device::Cpu)?)
                }
                Given::Classes(labels) => {
                    let labels: Vec<u32> = labels.iter().skip(range.start).take(range.len()).copied().collect();
                    judge_classes(outputs, &Tensor::new(labels, &Device::Cpu)?)
                }
            };
            judgements.extend(batch?);
            Ok(())
        })?;
        self.dynamics.add(epoch, &judgements)
    }

    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        self.dynamics.state()
    }

    /// The inverse of [`Self::state`]; false if the tensors are not those of these images.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<bool, TrainError> {
        match Dynamics::restored(state)? {
            Some(restored) if restored.ids == self.dynamics.ids => self.dynamics = restored,
            Some(restored) if restored.ids.is_empty() => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}
