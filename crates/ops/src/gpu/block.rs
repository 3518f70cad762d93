//! Convolution, batch normalisation and activation.

use candle_core::{Result, Tensor};

use super::conv::Convolution;
use super::map::Map;
use super::norm::{Affine, Normalised};
use super::shape::Shape;
use crate::norm::BatchStatistics;

/// What the backward pass needs.
pub(crate) struct Block {
    convolution: Convolution,
    normalised: Normalised,
}

/// Gradients of a [`Block`]; of the input and the weight only if asked for.
pub(crate) struct Gradients {
    pub input: Option<Tensor>,
    pub weight: Option<Tensor>,
    pub gamma: Tensor,
    pub beta: Tensor,
}

impl Block {
    pub(crate) fn forward(
        x: &Map,
        weight: &Tensor,
        shape: Shape,
        affine: &Affine<'_>,
    ) -> Result<(Self, Map, Option<BatchStatistics>)> {
        let convolution = Convolution::new(x, weight, shape)?;
        let dims = [shape.batch, shape.cout, shape.oh, shape.ow].map(|d| d as usize);
        let y = x.beside(dims, convolution.forward(x)?);
        let (normalised, z, statistics) = Normalised::forward(y, affine)?;
        let block = Self {
            convolution,
            normalised,
        };
        Ok((block, z, statistics))
    }

    /// `grad` is written over.
    pub(crate) fn backward(&self, x: &Map, weight: &Tensor, grad: &Tensor, wanted: [bool; 2]) -> Result<Gradients> {
        let [gamma, beta] = self.normalised.backward(grad)?;
        let [input, weighed] = wanted;
        Ok(Gradients {
            input: input.then(|| self.convolution.backward_input(x, grad)).transpose()?,
            weight: weighed
                .then(|| self.convolution.backward_weight(x, grad, weight))
                .transpose()?,
            gamma,
            beta,
        })
    }
}
