use std::collections::BTreeMap;

use candle_core::Tensor;
use htl_datasets::generator;
use htl_metrics::Mask;
use htl_models::{Mode, Network};
use rand::seq::SliceRandom;

use super::params::{FilterRule, Labeller, Leaves, TeacherFilter};
use crate::{TrainError, pruned_copy::PrunedCopy, pseudo::without_outline};

/// A second opinion on a teacher's masks: that of a pruned copy of it, or, for the controls, of another network. Pixels on which
/// it differs, or as many others, are not believed.
///
/// A copy sees each batch with statistics of its own, as pruning shifts those of the teacher.
pub(super) struct Doubt {
    filter: TeacherFilter,
    seed: u64,
    copy: PrunedCopy,
}

/// The teacher's masks after a second opinion.
pub(super) struct Opinion {
    /// Masks to learn, `[batch, 1, size, size]`, 0 or 1.
    pub labels: Tensor,
    /// 1 for pixels that count in the loss; `None`: all do.
    pub counted: Option<Tensor>,
    /// 1 for pixels that the student sees; `None`: it sees all.
    pub seen: Option<Tensor>,
}

impl Opinion {
    /// The teacher's masks as they are. `map`: its probabilities.
    pub fn none(map: &Tensor) -> Result<Self, TrainError> {
        Ok(Self {
            labels: map.ge(0.5)?.to_dtype(map.dtype())?,
            counted: None,
            seen: None,
        })
    }
}

/// Names of the copy's tensors in a saved state begin so.
const STATE: &str = "doubt.";

impl Doubt {
    pub fn new(filter: TeacherFilter, seed: u64) -> Self {
        Self {
            filter,
            seed,
            copy: match filter.by {
                FilterRule::Weights => PrunedCopy::at_random(filter.sparsity, seed),
                _ => PrunedCopy::new(filter.sparsity),
            },
        }
    }

    /// The opinion on the teacher's masks of `images`. `map`: its probabilities.
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, size, size]`; `map`: `[batch, 1, size, size]`
    pub fn opinion(
        &mut self,
        teacher: &Network,
        student: &Network,
        images: &Tensor,
        map: &Tensor,
        step: usize,
    ) -> Result<Opinion, TrainError> {
        let logits = match self.filter.by {
            FilterRule::Student => student.forward(images, Mode::Evaluate)?,
            _ => {
                if !self.copy.is_there() || step.is_multiple_of(self.filter.every.max(1)) {
                    self.copy.refresh(teacher, step)?;
                }
                self.copy.network()?.forward(images, Mode::Train)?
            }
        };
        let theirs = logits.detach().ge(0.0)?;
        let agreed = theirs.eq(&map.ge(0.5)?)?;
        let believed = match self.filter.by {
            FilterRule::Pruned | FilterRule::Weights | FilterRule::Student => agreed.to_dtype(map.dtype())?,
            FilterRule::Outline | FilterRule::Random => self.control(map, &agreed, step)?,
        };
        let labels = match self.filter.labels {
            Labeller::Teacher => Opinion::none(map)?.labels,
            Labeller::Copy => theirs.to_dtype(map.dtype())?,
        };
        let (counted, seen) = match self.filter.leaves {
            Leaves::Nothing => (None, None),
            Leaves::Loss => (Some(believed), None),
            Leaves::LossAndInput => (Some(believed.clone()), Some(believed)),
        };
        Ok(Opinion { labels, counted, seen })
    }

    /// As many pixels of each image, others.
    fn control(&self, map: &Tensor, agreed: &Tensor, step: usize) -> Result<Tensor, TrainError> {
        let (batch, _, height, width) = map.dims4()?;
        let maps: Vec<Vec<f32>> = map.to_dtype(candle_core::DType::F32)?.flatten_from(1)?.to_vec2()?;
        let agreed: Vec<Vec<u8>> = agreed.flatten_from(1)?.to_vec2()?;
        let mut weights = Vec::with_capacity(batch * height * width);
        for (image, (map, agreed)) in maps.iter().zip(&agreed).enumerate() {
            let left_out = agreed.iter().filter(|agreed| **agreed == 0).count();
            if self.filter.by == FilterRule::Outline {
                let pixels = map.iter().map(|p| u8::from(*p >= 0.5)).collect();
                let mask = Mask::new(height, width, pixels).map_err(candle_core::Error::wrap)?;
                weights.extend(without_outline(&mask, left_out));
                continue;
            }
            let mut rng = generator(self.seed, "doubt at random", (step * batch + image) as u64);
            let mut random: Vec<f32> = (0..map.len()).map(|at| if at < left_out { 0.0 } else { 1.0 }).collect();
            random.shuffle(&mut rng);
            weights.extend(random);
        }
        let weights = Tensor::from_vec(weights, (batch, 1, height, width), map.device())?;
        Ok(weights.to_dtype(map.dtype())?)
    }

    /// Tensors that a resumed training needs.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        let state = self.copy.state()?.into_iter();
        Ok(state.map(|(name, tensor)| (format!("{STATE}{name}"), tensor)).collect())
    }

    /// Takes its own tensors out of a saved state.
    pub fn load_state(&mut self, teacher: &Network, state: &mut BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        let others = state.split_off(STATE);
        let mut own = BTreeMap::new();
        for (name, tensor) in others {
            match name.strip_prefix(STATE) {
                Some(own_name) => own.insert(own_name.to_owned(), tensor),
                None => state.insert(name, tensor),
            };
        }
        if own.is_empty() {
            return Ok(());
        }
        self.copy.load_state(teacher, &own)
    }
}

/// Blanks the pixels of images that are not to be seen: 0 is the mean colour of normalised images.
pub(super) fn blanked(images: &Tensor, seen: &Tensor) -> Result<Tensor, TrainError> {
    Ok(images.broadcast_mul(&seen.to_dtype(images.dtype())?)?)
}
