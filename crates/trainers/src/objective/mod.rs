//! What a training minimises: one file per setting, one interface for the loop in `fit`.

mod image_labels;
mod masks;
mod mean_teacher;

use std::collections::BTreeMap;

use candle_core::Tensor;
use htl_models::Network;

pub(crate) use image_labels::ImageLabelObjective;
pub(crate) use masks::MaskObjective;
pub(crate) use mean_teacher::MeanTeacherObjective;

use crate::TrainError;

/// A loss per step, and what has to happen between steps.
pub(crate) trait Objective {
    /// The loss of a step, a scalar that depends on the network's parameters.
    fn loss(&mut self, network: &Network, step: usize) -> Result<Tensor, TrainError>;

    /// Called after each optimiser step.
    fn after_step(&mut self, _network: &Network, _step: usize) -> Result<(), TrainError> {
        Ok(())
    }

    /// The network that is validated and saved: the trained one, or its teacher.
    fn product<'a>(&'a self, trained: &'a Network) -> &'a Network {
        trained
    }

    /// Samples in an epoch.
    fn epoch(&self) -> usize;

    /// Tensors that a resumed training needs besides network and optimiser.
    fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        Ok(BTreeMap::new())
    }

    /// The inverse of [`Self::state`].
    fn load_state(&mut self, _state: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        Ok(())
    }
}

/// Mean of per-image losses `[batch]` with weights `[batch]` whose sum is 1.
fn weighted_mean(losses: &Tensor, weights: &Tensor) -> Result<Tensor, TrainError> {
    Ok((losses * weights)?.sum_all()?)
}
