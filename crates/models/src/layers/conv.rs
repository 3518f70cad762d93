use candle_core::Var;
use htl_ops::Features;

use super::{ConvShape, Mode};
use crate::error::ModelError;
use crate::graph::Bias;
use crate::parameters::ParameterBuilder;

/// Convolution alone; names `{name}.weight` and `{name}.bias`.
#[derive(Debug)]
pub struct Conv {
    shape: ConvShape,
    weight: Var,
    bias: Option<Var>,
    name: String,
    channels: [usize; 2],
}

impl Conv {
    pub(crate) fn new(
        builder: &mut ParameterBuilder,
        name: &str,
        channels: [usize; 2],
        shape: ConvShape,
        bias: Bias,
    ) -> Result<Self, ModelError> {
        let dims = shape.weight(channels);
        let fan_in = dims[1..].iter().product();
        Ok(Self {
            shape,
            weight: builder.uniform_fan_in(&format!("{name}.weight"), &dims, fan_in)?,
            bias: match bias {
                Bias::Added => Some(builder.uniform_fan_in(&format!("{name}.bias"), &dims[..1], fan_in)?),
                Bias::Absent => None,
            },
            name: name.to_owned(),
            channels,
        })
    }

    pub(crate) fn forward(&self, input: &Features, mode: Mode) -> Result<Features, ModelError> {
        let weight = self.shape.place(&mode.tensor(&self.weight))?;
        let bias = self.bias.as_ref().map(|bias| mode.tensor(bias));
        Ok(input.conv(&weight, bias.as_ref(), self.shape.params())?)
    }

    /// Its kernel and steps.
    #[must_use]
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// Whether it filters every channel by itself.
    #[must_use]
    pub fn is_depthwise(&self) -> bool {
        self.shape.is_depthwise(self.channels)
    }

    /// Channels in and out.
    #[must_use]
    pub fn channels(&self) -> [usize; 2] {
        self.channels
    }

    /// What its parameters' names begin with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `[outputs, inputs / groups, kernel, kernel]`.
    #[must_use]
    pub fn weight(&self) -> &Var {
        &self.weight
    }

    /// `[outputs]`.
    #[must_use]
    pub fn bias(&self) -> Option<&Var> {
        self.bias.as_ref()
    }

    /// Products for each number of the result.
    pub(crate) fn products(&self) -> u64 {
        self.shape.weight(self.channels)[1..].iter().product::<usize>() as u64
    }
}
