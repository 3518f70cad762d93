use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use htl_models::Network;
use htl_pruning::{Criterion, PruneParams, WeightSet};

use crate::TrainError;

/// A pruned copy of a network (global magnitude), as it was when it was last made anew.
pub(crate) struct PrunedCopy {
    sparsity: f64,
    copy: Option<Network>,
}

impl PrunedCopy {
    /// None yet; `sparsity`: share of its weights that will be zero.
    pub fn new(sparsity: f64) -> Self {
        Self { sparsity, copy: None }
    }

    /// Whether it was ever made.
    pub fn is_there(&self) -> bool {
        self.copy.is_some()
    }

    /// The copy.
    pub fn network(&self) -> Result<&Network, TrainError> {
        let none = || candle_core::Error::Msg("no pruned copy yet".into());
        Ok(self.copy.as_ref().ok_or_else(none)?)
    }

    /// Makes it anew from the network.
    pub fn refresh(&mut self, network: &Network) -> Result<(), TrainError> {
        let sparsity = self.sparsity;
        let copy = self.copy_of(network)?;
        let variables = copy.parameters().trainable();
        let params = PruneParams::new(Criterion::GLOBAL_MAGNITUDE)
            .sparsity(sparsity)
            .check()?;
        params.masks(&WeightSet::from_vars(variables))?.apply(variables)?;
        Ok(())
    }

    /// Tensors that a resumed training needs.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        let all = self
            .copy
            .as_ref()
            .map(|copy| copy.parameters().all())
            .unwrap_or_default();
        // Not `copy`, which shares the memory on Metal.
        let copied = |(name, var): (String, Var)| Ok((name, var.as_detached_tensor().force_contiguous()?));
        all.into_iter().map(copied).collect()
    }

    /// The inverse of [`Self::state`], for a network built alike.
    pub fn load_state(&mut self, network: &Network, state: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        self.copy_of(network)?.parameters().load(state)?;
        Ok(())
    }

    fn copy_of(&mut self, network: &Network) -> Result<&Network, TrainError> {
        match self.copy.take() {
            Some(copy) => {
                copy.copy_from(network)?;
                Ok(self.copy.insert(copy))
            }
            None => Ok(self.copy.insert(network.duplicate()?)),
        }
    }
}
