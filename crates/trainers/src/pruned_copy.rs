use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use htl_models::Network;
use htl_pruning::{Criterion, PruneParams, WeightSet};

use crate::TrainError;

/// A pruned copy of a network, as it was when it was last made anew.
pub(crate) struct PrunedCopy {
    sparsity: f64,
    criterion: &'static Criterion,
    seed: u64,
    copy: Option<Network>,
}

impl PrunedCopy {
    /// None yet; `sparsity`: share of its weights that will be zero, those of least magnitude.
    pub fn new(sparsity: f64) -> Self {
        Self {
            sparsity,
            criterion: Criterion::GLOBAL_MAGNITUDE,
            seed: 0,
            copy: None,
        }
    }

    /// The same, but of weights drawn at random, each time others.
    pub fn at_random(sparsity: f64, seed: u64) -> Self {
        Self {
            criterion: Criterion::RANDOM,
            seed,
            ..Self::new(sparsity)
        }
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

    /// Makes it anew from the network; `step`: when.
    pub fn refresh(&mut self, network: &Network, step: usize) -> Result<(), TrainError> {
        let params = PruneParams::new(self.criterion)
            .sparsity(self.sparsity)
            .seed(self.seed.wrapping_add(step as u64))
            .check()?;
        let copy = self.copy_of(network)?;
        let variables = copy.parameters().trainable();
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
