use candle_core::Tensor;
use htl_ops::{Activation, Conv2dParams};

use crate::error::ModelError;

/// A convolution that keeps its input's size but for the stride, and what follows it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvShape {
    /// Side of the kernel, odd.
    pub kernel: usize,
    /// Step between output positions.
    pub stride: usize,
    /// Distance between taps.
    pub dilation: usize,
    /// Groups of channels.
    pub groups: usize,
    /// What stands around the input.
    pub padding: Padding,
    /// After the normalisation.
    pub activation: Activation,
    /// What the normalisation adds to the variance.
    pub eps: f64,
}

/// Where the zeros are that keep the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// As many on every side, as PyTorch has it.
    Symmetric,
    /// Of an odd number, the larger half below and on the right, as TensorFlow's "SAME" has it. Different from
    /// [`Symmetric`](Self::Symmetric) for a stride of 2 and maps of even sides, which is what networks see here.
    TensorFlow,
}

impl Default for ConvShape {
    /// 3x3 with ReLU: the U-Net's only one.
    fn default() -> Self {
        Self {
            kernel: 3,
            stride: 1,
            dilation: 1,
            groups: 1,
            padding: Padding::Symmetric,
            activation: Activation::Relu,
            eps: 1e-5,
        }
    }
}

impl ConvShape {
    /// 1x1 with ReLU.
    #[must_use]
    pub fn pointwise() -> Self {
        Self {
            kernel: 1,
            ..Self::default()
        }
    }

    /// The shape of a weight from `inputs` to `outputs` channels.
    pub(crate) fn weight(&self, [inputs, outputs]: [usize; 2]) -> [usize; 4] {
        [outputs, inputs / self.groups, self.kernel, self.kernel]
    }

    /// Whether every channel is filtered by itself; `channels`: in and out.
    pub(crate) fn is_depthwise(&self, channels: [usize; 2]) -> bool {
        self.groups > 1 && channels == [self.groups; 2]
    }

    pub(crate) fn params(&self) -> Conv2dParams {
        Conv2dParams {
            stride: self.stride,
            padding: self.kernel / 2 * self.dilation,
            dilation: self.dilation,
            groups: self.groups,
        }
    }

    /// Rows of zeros above the input and below it, which are also the columns on its left and on its right, for a library
    /// that pads sides differently: with them, the weight as it is gives what a forward pass here gives.
    #[must_use]
    pub fn pads(&self) -> [usize; 2] {
        let behind = self.kernel / 2 * self.dilation;
        match self.begins_later() {
            true => [behind - self.dilation, behind],
            false => [behind; 2],
        }
    }

    /// Whether windows begin a pixel later than those of symmetric padding do.
    fn begins_later(&self) -> bool {
        self.padding == Padding::TensorFlow && self.stride == 2 && self.kernel > 1
    }

    /// The weight to convolve with. A window that begins a pixel later is one with a row and a column of zeros in front: so the
    /// padding of TensorFlow is a symmetric one, on any device, with the gradients of any convolution.
    pub(crate) fn place(&self, weight: &Tensor) -> Result<Tensor, ModelError> {
        match self.begins_later() {
            true => Ok(weight.pad_with_zeros(2, 1, 0)?.pad_with_zeros(3, 1, 0)?),
            false => Ok(weight.clone()),
        }
    }
}
