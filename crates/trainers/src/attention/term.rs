use std::collections::BTreeMap;

use candle_core::Tensor;
use htl_models::Network;

use crate::TrainError;

/// A batch as the network in training saw it.
pub(crate) struct View<'a> {
    /// Images that the loss is computed on, `[batch, 3, size, size]`.
    pub images: &'a Tensor,
    /// The same images augmented otherwise, in the same geometry, where they were made.
    // Read by forms to come.
    #[allow(dead_code)]
    pub second: Option<&'a Tensor>,
    /// The network's logits of `images`: `[batch, 1, size, size]`, or `[batch, classes]`.
    pub outputs: &'a Tensor,
    /// How much each image is attended to: 1 fully, 0 not at all.
    pub attended: &'a [f32],
}

/// An extra term of the loss.
pub(crate) trait Term {
    /// The term for a batch, a scalar.
    fn loss(&mut self, view: &View<'_>) -> Result<Tensor, TrainError>;

    /// Steps between two calls of [`refresh`](Self::refresh); `None`: never.
    fn every(&self) -> Option<usize> {
        None
    }

    /// Called before the first step (0) and then every k steps, with the network in training.
    fn refresh(&mut self, _network: &Network, _step: usize) -> Result<(), TrainError> {
        Ok(())
    }

    /// Tensors that a resumed training needs.
    fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        Ok(BTreeMap::new())
    }

    /// The inverse of [`Self::state`].
    fn load_state(&mut self, _network: &Network, _state: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        Ok(())
    }
}

/// The terms that attention adds to the loss of a training: at most one [`Term`].
#[derive(Default)]
pub(crate) struct ExtraTerm(Option<Box<dyn Term>>);

impl ExtraTerm {
    /// With this term, if there is one.
    pub fn new(term: Option<Box<dyn Term>>) -> Self {
        Self(term)
    }

    /// Refreshes the term if its turn has come.
    pub fn before_step(&mut self, network: &Network, step: usize) -> Result<(), TrainError> {
        match &mut self.0 {
            Some(term) if term.every().is_some_and(|k| step.is_multiple_of(k.max(1))) => term.refresh(network, step),
            _ => Ok(()),
        }
    }

    /// The objective's loss with the term.
    pub fn add(&mut self, loss: Tensor, view: &View<'_>) -> Result<Tensor, TrainError> {
        match &mut self.0 {
            Some(term) => Ok((loss + term.loss(view)?)?),
            None => Ok(loss),
        }
    }

    /// Tensors that a resumed training needs.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        self.0.as_ref().map_or_else(|| Ok(BTreeMap::new()), |term| term.state())
    }

    /// The inverse of [`Self::state`].
    pub fn load_state(&mut self, network: &Network, state: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        self.0.as_mut().map_or(Ok(()), |term| term.load_state(network, state))
    }
}
