use candle_core::{Tensor, Var};
use htl_ops::Activation;

use super::Mode;
use crate::error::ModelError;
use crate::parameters::ParameterBuilder;

/// Groups, where they go into the channels: the paper's number (Wu & He 2018).
const GROUPS: usize = 32;

/// As PyTorch's `GroupNorm` has it by default.
const EPS: f64 = 1e-5;

/// Group normalisation and ReLU; names `{name}.weight` and `{name}.bias`.
#[derive(Debug)]
pub struct GroupNorm {
    name: String,
    groups: usize,
    gamma: Var,
    beta: Var,
}

impl GroupNorm {
    /// How many groups go into the channels.
    pub(crate) fn most_groups(channels: usize) -> usize {
        let groups = (1..=GROUPS).rev().find(|groups| channels.is_multiple_of(*groups));
        groups.unwrap_or(1)
    }

    pub(crate) fn new(
        builder: &mut ParameterBuilder,
        name: &str,
        channels: usize,
        groups: usize,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            name: name.to_owned(),
            groups,
            gamma: builder.constant(&format!("{name}.weight"), channels, 1.0)?,
            beta: builder.constant(&format!("{name}.bias"), channels, 0.0)?,
        })
    }

    /// What its parameters' names begin with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many groups of channels.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Scale and shift, `[channels]` each.
    #[must_use]
    pub fn affine(&self) -> [&Var; 2] {
        [&self.gamma, &self.beta]
    }

    /// What is added to the variance.
    #[must_use]
    pub fn eps(&self) -> f64 {
        EPS
    }

    pub(crate) fn forward(&self, input: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        let (gamma, beta) = (mode.tensor(&self.gamma), mode.tensor(&self.beta));
        let (gamma, beta) = (Some(&gamma), Some(&beta));
        Ok(htl_ops::group_norm(
            input,
            self.groups,
            gamma,
            beta,
            EPS,
            Activation::Relu,
        )?)
    }
}
