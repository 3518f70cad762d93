use std::collections::BTreeMap;

use candle_core::Tensor;
use htl_datasets::generator;
use htl_metrics::Mask;
use htl_models::{Mode, Network};
use rand::seq::SliceRandom;

use super::params::{FilterRule, TeacherFilter};
use crate::{TrainError, pruned_copy::PrunedCopy, pseudo::without_outline};

/// Which of a teacher's pixels are believed: not those on which a pruned copy of it says otherwise, or, for the controls, as many
/// others.
///
/// The copy sees each batch with statistics of its own, as pruning shifts those of the teacher.
pub(super) struct Doubt {
    filter: TeacherFilter,
    seed: u64,
    copy: PrunedCopy,
}

/// Names of the copy's tensors in a saved state begin so.
const STATE: &str = "doubt.";

impl Doubt {
    pub fn new(filter: TeacherFilter, seed: u64) -> Self {
        Self {
            filter,
            seed,
            copy: PrunedCopy::new(filter.sparsity),
        }
    }

    /// What the doubted pixels leave.
    pub fn filter(&self) -> TeacherFilter {
        self.filter
    }

    /// 1 for the pixels that are believed, 0 for the others. `map`: the teacher's probabilities of `images`.
    ///
    /// # Shapes
    /// - `images`: `[batch, 3, size, size]`; `map` and the result: `[batch, 1, size, size]`
    pub fn believed(
        &mut self,
        teacher: &Network,
        images: &Tensor,
        map: &Tensor,
        step: usize,
    ) -> Result<Tensor, TrainError> {
        if !self.copy.is_there() || step.is_multiple_of(self.filter.every.max(1)) {
            self.copy.refresh(teacher)?;
        }
        let logits = self.copy.network()?.forward(images, Mode::Train)?.detach();
        let theirs = logits.ge(0.0)?;
        let agreed = theirs.eq(&map.ge(0.5)?)?;
        match self.filter.by {
            FilterRule::Pruned => Ok(agreed.to_dtype(map.dtype())?),
            FilterRule::Outline | FilterRule::Random => self.control(map, &agreed, step),
        }
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

/// Blanks the pixels of images that are not believed: 0 is the mean colour of normalised images.
pub(super) fn blanked(images: &Tensor, believed: &Tensor) -> Result<Tensor, TrainError> {
    Ok(images.broadcast_mul(&believed.to_dtype(images.dtype())?)?)
}
