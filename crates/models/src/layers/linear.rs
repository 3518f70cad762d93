use candle_core::{Tensor, Var};

use super::Mode;
use crate::error::ModelError;
use crate::parameters::ParameterBuilder;

/// `x Wᵀ + b`; names `{name}.weight` and `{name}.bias`.
#[derive(Debug)]
pub struct Linear {
    weight: Var,
    bias: Var,
    name: String,
    inputs: usize,
}

impl Linear {
    pub(crate) fn new(
        builder: &mut ParameterBuilder,
        name: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            weight: builder.uniform_fan_in(&format!("{name}.weight"), &[outputs, inputs], inputs)?,
            bias: builder.uniform_fan_in(&format!("{name}.bias"), &[outputs], inputs)?,
            name: name.to_owned(),
            inputs,
        })
    }

    /// `[outputs, inputs]`.
    #[must_use]
    pub fn weight(&self) -> &Var {
        &self.weight
    }

    /// `[outputs]`.
    #[must_use]
    pub fn bias(&self) -> &Var {
        &self.bias
    }

    /// What its parameters' names begin with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn forward(&self, input: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        let (weight, bias) = (mode.tensor(&self.weight), mode.tensor(&self.bias));
        Ok(input.matmul(&weight.t()?)?.broadcast_add(&bias)?)
    }

    /// Products for each number of the result.
    pub(crate) fn products(&self) -> u64 {
        self.inputs as u64
    }
}
