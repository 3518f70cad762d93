use candle_core::{Tensor, Var};
use htl_ops::{BatchStatistics, Features, Norm};

use super::{ConvShape, Mode};
use crate::error::ModelError;
use crate::parameters::ParameterBuilder;

/// As PyTorch's `BatchNorm2d` has it by default.
const MOMENTUM: f64 = 0.1;

/// Convolution without bias, batch normalisation (momentum 0.1), activation: the layer of most networks.
#[derive(Debug)]
pub struct ConvNorm {
    shape: ConvShape,
    weight: Var,
    gamma: Var,
    beta: Var,
    running_mean: Var,
    running_var: Var,
    names: [String; 2],
    channels: [usize; 2],
}

impl ConvNorm {
    /// A layer of [inputs, outputs] channels. Names are those of an `nn.Sequential` at `prefix` with the convolution at
    /// `index` and the normalisation after it.
    ///
    /// # Errors
    /// Those of candle.
    pub fn new(
        builder: &mut ParameterBuilder,
        prefix: &str,
        index: usize,
        channels: [usize; 2],
        shape: ConvShape,
    ) -> Result<Self, ModelError> {
        let names = [index, index + 1].map(|index| format!("{prefix}.{index}"));
        Self::named(builder, names.each_ref().map(String::as_str), channels, shape)
    }

    /// The same with the names of the convolution and of the normalisation, without `weight` and so on.
    ///
    /// # Errors
    /// Those of candle.
    pub fn named(
        builder: &mut ParameterBuilder,
        [conv, norm]: [&str; 2],
        channels: [usize; 2],
        shape: ConvShape,
    ) -> Result<Self, ModelError> {
        let dims = shape.weight(channels);
        let fan_in = dims[1..].iter().product();
        let outputs = channels[1];
        Ok(Self {
            shape,
            weight: builder.uniform_fan_in(&format!("{conv}.weight"), &dims, fan_in)?,
            gamma: builder.constant(&format!("{norm}.weight"), outputs, 1.0)?,
            beta: builder.constant(&format!("{norm}.bias"), outputs, 0.0)?,
            running_mean: builder.buffer(&format!("{norm}.running_mean"), outputs, 0.0)?,
            running_var: builder.buffer(&format!("{norm}.running_var"), outputs, 1.0)?,
            names: [conv, norm].map(str::to_owned),
            channels,
        })
    }

    /// # Shapes
    /// - `input`: `[batch, inputs, height, width]`
    /// - result: `[batch, outputs, ceil(height / stride), ceil(width / stride)]`
    ///
    /// # Errors
    /// Those of [`Features::conv_norm`].
    pub fn forward(&self, input: &Features, mode: Mode) -> Result<Features, ModelError> {
        let [weight, gamma, beta] = self.tensors(mode);
        let weight = self.shape.place(&weight)?;
        let (norm, shape) = (self.norm(mode), &self.shape);
        let (output, statistics) = input.conv_norm(&weight, &gamma, &beta, &norm, shape.params(), shape.activation)?;
        self.follow(statistics, mode)?;
        Ok(output)
    }

    /// On `input`, every pixel repeated twice along both axes, and `skip` behind it: for kernels of stride 1 and ReLU only.
    pub(crate) fn forward_doubled(
        &self,
        input: &Features,
        skip: Option<&Features>,
        mode: Mode,
    ) -> Result<Features, ModelError> {
        let [weight, gamma, beta] = self.tensors(mode);
        let (output, statistics) =
            input.upsample_concat_conv_norm_relu(skip, &weight, &gamma, &beta, &self.norm(mode))?;
        self.follow(statistics, mode)?;
        Ok(output)
    }

    fn tensors(&self, mode: Mode) -> [Tensor; 3] {
        [&self.weight, &self.gamma, &self.beta].map(|var| mode.tensor(var))
    }

    fn norm(&self, mode: Mode) -> Norm {
        match mode {
            Mode::Train | Mode::Recalibrate { .. } => Norm::Batch { eps: self.shape.eps },
            Mode::Gradients | Mode::Evaluate => Norm::Running {
                mean: self.running_mean.as_detached_tensor(),
                var: self.running_var.as_detached_tensor(),
                eps: self.shape.eps,
            },
        }
    }

    fn follow(&self, statistics: Option<BatchStatistics>, mode: Mode) -> Result<(), ModelError> {
        if let Some(statistics) = statistics {
            let momentum = match mode {
                Mode::Recalibrate { before } => 1.0 / (f64::from(before) + 1.0),
                _ => MOMENTUM,
            };
            statistics.update_running(&self.running_mean, &self.running_var, momentum)?;
        }
        Ok(())
    }

    /// Its kernel, steps and activation.
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

    /// What the names of the convolution's parameters begin with, and those of the normalisation's.
    #[must_use]
    pub fn names(&self) -> [&str; 2] {
        self.names.each_ref().map(String::as_str)
    }

    /// `[outputs, inputs / groups, kernel, kernel]`.
    #[must_use]
    pub fn weight(&self) -> &Var {
        &self.weight
    }

    /// Scale, shift, running mean and running variance of the normalisation, `[outputs]` each.
    #[must_use]
    pub fn normalisation(&self) -> [&Var; 4] {
        [&self.gamma, &self.beta, &self.running_mean, &self.running_var]
    }

    /// Products for each number of the result.
    pub(crate) fn products(&self) -> u64 {
        self.shape.weight(self.channels)[1..].iter().product::<usize>() as u64
    }
}
