use candle_core::{DType, Device, Tensor, Var};
use htl_ops::{Activation, BatchStatistics, Conv2dParams, Features, Norm, Precision};

use crate::error::ModelError;
use crate::parameters::ParameterBuilder;

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Batch statistics, running statistics updated (momentum 0.1, unbiased variance), gradients tracked.
    Train,
    /// Running statistics, gradients tracked: for saliency, or for scores from gradients of a finished network.
    Gradients,
    /// Running statistics, nothing tracked: the result carries no graph, and memory is freed as the pass goes on.
    Evaluate,
    /// Batch statistics, nothing tracked; the running statistics become the mean of those of the batches so far, which is how
    /// they are estimated anew for a network whose weights were changed (PyTorch: reset, then `momentum=None`).
    Recalibrate {
        /// Batches that came before this one.
        before: u32,
    },
}

impl Mode {
    /// The mode of [`candle_core::ModuleT`]'s flag.
    #[must_use]
    pub fn from_train(train: bool) -> Self {
        if train { Self::Train } else { Self::Evaluate }
    }

    /// The variable as this mode uses it.
    pub(crate) fn tensor(self, var: &Var) -> Tensor {
        match self {
            Self::Train | Self::Gradients => var.as_tensor().clone(),
            Self::Evaluate | Self::Recalibrate { .. } => var.as_detached_tensor(),
        }
    }

    /// The network's input as this mode uses it: tracked or not.
    #[must_use]
    pub fn input(self, input: &Tensor) -> Tensor {
        match self {
            Self::Train | Self::Gradients => input.clone(),
            Self::Evaluate | Self::Recalibrate { .. } => input.detach(),
        }
    }
}

/// As PyTorch's `BatchNorm2d` has them by default.
const EPS: f64 = 1e-5;
const MOMENTUM: f64 = 0.1;

/// A convolution that keeps its input's size but for the stride, and what follows its normalisation.
#[derive(Clone, Copy, Debug)]
pub struct ConvShape {
    /// Side of the kernel, odd.
    pub kernel: usize,
    /// Step between output positions.
    pub stride: usize,
    /// Groups of channels.
    pub groups: usize,
    /// After the normalisation.
    pub activation: Activation,
}

impl ConvShape {
    /// 3x3 and ReLU: the U-Net's only one.
    const UNET: Self = Self {
        kernel: 3,
        stride: 1,
        groups: 1,
        activation: Activation::Relu,
    };
}

/// Convolution without bias, batch normalisation (momentum 0.1), activation: the layer of most networks.
#[derive(Debug)]
pub struct ConvNorm {
    params: Conv2dParams,
    activation: Activation,
    weight: Var,
    gamma: Var,
    beta: Var,
    running_mean: Var,
    running_var: Var,
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
        [inputs, outputs]: [usize; 2],
        shape: ConvShape,
    ) -> Result<Self, ModelError> {
        let norm = format!("{prefix}.{}", index + 1);
        let ConvShape { kernel, groups, .. } = shape;
        let fan_in = inputs / groups * kernel * kernel;
        let dims = [outputs, inputs / groups, kernel, kernel];
        Ok(Self {
            params: Conv2dParams {
                stride: shape.stride,
                groups,
                ..Conv2dParams::same(kernel)
            },
            activation: shape.activation,
            weight: builder.uniform_fan_in(&format!("{prefix}.{index}.weight"), &dims, fan_in)?,
            gamma: builder.constant(&format!("{norm}.weight"), outputs, 1.0)?,
            beta: builder.constant(&format!("{norm}.bias"), outputs, 0.0)?,
            running_mean: builder.buffer(&format!("{norm}.running_mean"), outputs, 0.0)?,
            running_var: builder.buffer(&format!("{norm}.running_var"), outputs, 1.0)?,
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
        let norm = self.norm(mode);
        let (output, statistics) = input.conv_norm(&weight, &gamma, &beta, &norm, self.params, self.activation)?;
        self.follow(statistics, mode)?;
        Ok(output)
    }

    /// On `input`, upsampled to twice its size, and `skip` together: for [`ConvShape::UNET`] only.
    fn forward_joined(&self, input: &Features, skip: &Features, mode: Mode) -> Result<Features, ModelError> {
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
            Mode::Train | Mode::Recalibrate { .. } => Norm::Batch { eps: EPS },
            Mode::Gradients | Mode::Evaluate => Norm::Running {
                mean: self.running_mean.as_detached_tensor(),
                var: self.running_var.as_detached_tensor(),
                eps: EPS,
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
}

/// Two times (3x3 convolution, batch normalisation, ReLU); `nn.Sequential` indices 0, 1, 3 and 4.
#[derive(Debug)]
pub(crate) struct Block {
    first: ConvNorm,
    second: ConvNorm,
}

impl Block {
    pub(crate) fn new(
        builder: &mut ParameterBuilder,
        prefix: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, ModelError> {
        let first = ConvNorm::new(builder, prefix, 0, [inputs, outputs], ConvShape::UNET)?;
        let second = ConvNorm::new(builder, prefix, 3, [outputs, outputs], ConvShape::UNET)?;
        Ok(Self { first, second })
    }

    pub(crate) fn forward(&self, input: &Features, mode: Mode) -> Result<Features, ModelError> {
        self.second.forward(&self.first.forward(input, mode)?, mode)
    }

    /// The block on `input`, upsampled to twice its size, and `skip` together.
    pub(crate) fn forward_joined(&self, input: &Features, skip: &Features, mode: Mode) -> Result<Features, ModelError> {
        self.second
            .forward(&self.first.forward_joined(input, skip, mode)?, mode)
    }
}

/// How often the encoder halves its input.
pub(crate) const HALVINGS: u32 = 3;

/// Four blocks of `w`, `2w`, `4w`, `8w` channels with 2x2 max pooling between them; names `encoder.0` to `encoder.3`.
#[derive(Debug)]
pub(crate) struct Encoder {
    in_channels: usize,
    first: Block,
    deeper: Vec<Block>,
    pub(crate) precision: Precision,
}

impl Encoder {
    pub(crate) fn new(builder: &mut ParameterBuilder, in_channels: usize, width: usize) -> Result<Self, ModelError> {
        let first = Block::new(builder, "encoder.0", in_channels, width)?;
        let deeper = (1..=HALVINGS)
            .map(|level| {
                Block::new(
                    builder,
                    &format!("encoder.{level}"),
                    width << (level - 1),
                    width << level,
                )
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            in_channels,
            first,
            deeper,
            precision: Precision::F32,
        })
    }

    /// The output of the last block, `[batch, 8w, height / 8, width / 8]`, and those of the blocks before it, in order:
    /// `[batch, w << level, height >> level, width >> level]`.
    pub(crate) fn forward(&self, images: &Tensor, mode: Mode) -> Result<(Features, Vec<Features>), ModelError> {
        self.check_shape(images)?;
        let mut features = self
            .first
            .forward(&Features::with_precision(&mode.input(images), self.precision)?, mode)?;
        let mut skips = Vec::with_capacity(self.deeper.len());
        for block in &self.deeper {
            let pooled = features.max_pool(2, 2, 0)?;
            skips.push(features);
            features = block.forward(&pooled, mode)?;
        }
        Ok((features, skips))
    }

    fn check_shape(&self, images: &Tensor) -> Result<(), ModelError> {
        let multiple = 1 << HALVINGS;
        let hint = match *images.dims() {
            [batch, channels, height, width] => {
                if batch == 0 {
                    "the batch is empty"
                } else if channels != self.in_channels {
                    "the number of channels differs"
                } else if height == 0 || width == 0 || height % multiple != 0 || width % multiple != 0 {
                    "resize or pad the images so that height and width are multiples of 8"
                } else {
                    return Ok(());
                }
            }
            _ => "give a batch, also of a single image",
        };
        let expected = format!(
            "[batch, {}, height, width] with height and width divisible by {multiple}",
            self.in_channels
        );
        Err(ModelError::ImageShape {
            expected,
            found: images.dims().to_vec(),
            hint,
        })
    }
}

/// 1x1 convolution with bias; names `{prefix}.weight` and `{prefix}.bias`.
#[derive(Debug)]
pub(crate) struct Pointwise {
    weight: Var,
    bias: Var,
}

impl Pointwise {
    pub(crate) fn new(
        builder: &mut ParameterBuilder,
        prefix: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            weight: builder.uniform_fan_in(&format!("{prefix}.weight"), &[outputs, inputs, 1, 1], inputs)?,
            bias: builder.uniform_fan_in(&format!("{prefix}.bias"), &[outputs], inputs)?,
        })
    }

    pub(crate) fn forward(&self, input: &Features, mode: Mode) -> Result<Tensor, ModelError> {
        let (weight, bias) = (mode.tensor(&self.weight), mode.tensor(&self.bias));
        Ok(input
            .conv(&weight, Some(&bias), Conv2dParams::default())?
            .into_tensor()?)
    }
}

/// `x Wᵀ + b`; names `{prefix}.weight` and `{prefix}.bias`.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Var,
    bias: Var,
}

impl Linear {
    pub(crate) fn new(
        builder: &mut ParameterBuilder,
        prefix: &str,
        inputs: usize,
        outputs: usize,
    ) -> Result<Self, ModelError> {
        Ok(Self {
            weight: builder.uniform_fan_in(&format!("{prefix}.weight"), &[outputs, inputs], inputs)?,
            bias: builder.uniform_fan_in(&format!("{prefix}.bias"), &[outputs], inputs)?,
        })
    }

    pub(crate) fn weight(&self) -> &Var {
        &self.weight
    }

    pub(crate) fn forward(&self, input: &Tensor, mode: Mode) -> Result<Tensor, ModelError> {
        let (weight, bias) = (mode.tensor(&self.weight), mode.tensor(&self.bias));
        Ok(input.matmul(&weight.t()?)?.broadcast_add(&bias)?)
    }
}

/// A builder for networks of 32-bit or, in tests of gradients, 64-bit floats.
pub(crate) fn builder(seed: u64, dtype: DType, device: &Device) -> Result<ParameterBuilder, ModelError> {
    if matches!(dtype, DType::F32 | DType::F64) {
        return Ok(ParameterBuilder::new(seed, dtype, device));
    }
    Err(ModelError::Config {
        key: "dtype",
        expected: "f32 or f64",
        found: format!("{dtype:?}"),
    })
}
