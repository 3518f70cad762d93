use std::{collections::BTreeMap, sync::Arc};

use candle_core::{Device, Tensor};
use htl_datasets::ImageSet;
use htl_inference::{NetworkPredictor, forgetting_of, localization_maps};
use htl_metrics::{Confusion, Mask};
use htl_mining::{ScoreRow, ScoreTable, column};
use htl_models::{Network, Preprocessing};

use super::{image::ImageAttention, settings::Attention};
use crate::TrainError;

/// Sparsities of the copies that the network is compared with.
const SPARSITIES: [f64; 3] = [0.5, 0.7, 0.9];
/// The columns of the scores that are made, in order.
const COLUMNS: [&str; 2] = [column::FORGETTING_RAW, column::DENSE_ERROR];
/// Name of the scores among the tensors of a saved state.
const STATE: &str = "attention.scores";

/// Attention whose scores are made anew every so many steps, by the network in training: how soon it forgets an image when it
/// is pruned, and how far it is from the image's target.
pub(crate) struct LiveAttention {
    attention: Attention,
    images: Arc<ImageSet>,
    targets: Vec<Vec<f32>>,
    preprocessing: Preprocessing,
    seed: u64,
    every: usize,
    device: Device,
    /// `[images][columns]` of the last scoring.
    scores: Option<Vec<[f64; 2]>>,
}

impl LiveAttention {
    /// Attention to these images, by their targets of one map each; `every`: steps between two scorings.
    pub fn new(
        attention: &Attention,
        images: &Arc<ImageSet>,
        targets: Vec<Vec<f32>>,
        preprocessing: &Preprocessing,
        seed: u64,
        every: usize,
        device: &Device,
    ) -> Self {
        Self {
            attention: attention.clone(),
            images: images.clone(),
            targets,
            preprocessing: preprocessing.clone(),
            seed,
            every: every.max(1),
            device: device.clone(),
            scores: None,
        }
    }

    /// The attention that holds from this step on, if it is another than before.
    pub fn at(&mut self, step: usize, network: &Network) -> Result<Option<ImageAttention>, TrainError> {
        if step == 0 || !step.is_multiple_of(self.every) {
            return Ok(None);
        }
        let predictor = NetworkPredictor::new(network, self.preprocessing.clone(), &self.device);
        let maps = localization_maps(&predictor, &self.images)?;
        let (images, preprocessing) = (&self.images, &self.preprocessing);
        let forgotten = forgetting_of(network, &maps, images, preprocessing, &SPARSITIES, &self.device)?;
        let maps: Vec<Vec<f32>> = maps.flatten_from(1)?.to_vec2()?;
        let size = self.images.size();
        let scores = forgotten.into_iter().zip(maps.iter().zip(&self.targets));
        let scores = scores.map(|(forgotten, (map, target))| Ok([forgotten, error(size, map, target)?]));
        self.scores = Some(scores.collect::<Result<_, TrainError>>()?);
        self.attention().map(Some)
    }

    /// The attention by the last scores; none before there are any.
    fn attention(&self) -> Result<ImageAttention, TrainError> {
        let Some(scores) = &self.scores else {
            return Ok(ImageAttention::uniform(self.images.len()));
        };
        let mut table = ScoreTable::new(COLUMNS);
        for (image_id, scores) in self.images.ids().into_iter().zip(scores) {
            table.push(ScoreRow {
                image_id: image_id.to_owned(),
                setting: String::new(),
                fold: None,
                scores: scores.iter().map(|score| Some(*score)).collect(),
                htl: false,
            })?;
        }
        let form = super::form(&self.attention)?;
        match ImageAttention::from_table(&self.attention, form, &table, &self.images.ids(), self.seed) {
            // A network that forgets nothing yet, or everything, tells nobody apart.
            Err(TrainError::NobodyAttended { .. }) => Ok(ImageAttention::uniform(self.images.len())),
            other => other,
        }
    }

    /// The scores, for a saved state.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        let Some(scores) = &self.scores else {
            return Ok(BTreeMap::new());
        };
        let values: Vec<f64> = scores.iter().flatten().copied().collect();
        let tensor = Tensor::from_vec(values, (scores.len(), COLUMNS.len()), &Device::Cpu)?;
        Ok(BTreeMap::from([(STATE.to_owned(), tensor)]))
    }

    /// The attention of a saved state; `None` where it was saved before the first scoring.
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<Option<ImageAttention>, TrainError> {
        let Some(tensor) = state.get(STATE) else {
            return Ok(None);
        };
        let rows: Vec<Vec<f64>> = tensor.to_vec2()?;
        self.scores = Some(
            rows.iter()
                .filter_map(|row| Some([*row.first()?, *row.get(1)?]))
                .collect(),
        );
        self.attention().map(Some)
    }
}

/// 1 - IoU of a map's mask with its target's.
fn error(size: usize, map: &[f32], target: &[f32]) -> Result<f64, TrainError> {
    let [map, target] = [map, target].map(|map| Mask::above(size, size, map, 0.5));
    Ok(1.0 - Confusion::of(&map?, &target?)?.jaccard())
}
