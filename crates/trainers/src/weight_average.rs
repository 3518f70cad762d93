use std::collections::BTreeMap;

use candle_core::Tensor;
use htl_models::Network;
use htl_ops::optim::Ema;

use crate::TrainError;

/// A network whose weights and running statistics are the moving average of another's (Polyak & Juditsky 1992).
pub(crate) struct WeightAverage {
    average: Ema,
    network: Network,
    decay: f64,
}

impl WeightAverage {
    /// The average of a network that has not been trained yet; `None` if there is to be none.
    pub fn of(network: &Network, decay: f64) -> Result<Option<Self>, TrainError> {
        if decay == 0.0 {
            return Ok(None);
        }
        Ok(Some(Self {
            average: Ema::new(&network.parameters().all(), decay)?,
            network: network.duplicate()?,
            decay,
        }))
    }

    /// Takes in the network after a step. At first the average follows closely: it would still be mostly the initial weights.
    pub fn follow(&mut self, network: &Network, step: usize) -> Result<(), TrainError> {
        let decay = self.decay.min((step + 1) as f64 / (step + 10) as f64);
        Ok(self.average.update_with(&network.parameters().all(), decay)?)
    }

    /// The averaged network as it is now.
    pub fn network(&self) -> Result<&Network, TrainError> {
        self.average.copy_to(&self.network.parameters().all())?;
        Ok(&self.network)
    }

    /// Tensors that a resumed training needs.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        Ok(self.average.state()?)
    }

    /// The inverse of [`Self::state`].
    pub fn load_state(&mut self, state: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        let device = self
            .network
            .parameters()
            .trainable()
            .first()
            .map(|(_, var)| var.device().clone());
        let moved = |(name, tensor): (&String, &Tensor)| {
            let tensor = match &device {
                Some(device) => tensor.to_device(device)?,
                None => tensor.clone(),
            };
            Ok((name.clone(), tensor))
        };
        Ok(self
            .average
            .load_state(&state.iter().map(moved).collect::<candle_core::Result<_>>()?)?)
    }
}
