use htl_ops::{Activation, Corners};

use crate::layers::{Conv, ConvNorm, GroupNorm, Linear};

/// What a node does to its inputs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Operation {
    /// The normalised images: no inputs.
    Images,
    /// Convolution, batch normalisation, activation.
    ConvNorm(ConvNorm),
    /// The same on the first input, every pixel repeated twice along both axes, and behind it the second, if there is one.
    DoubledConvNorm(ConvNorm),
    /// Convolution alone, with or without a bias.
    Conv(Conv),
    /// Group normalisation and ReLU.
    GroupNorm(GroupNorm),
    /// The sum of two inputs, and an activation.
    Add(Activation),
    /// Maxima of windows.
    MaxPool {
        /// Side of a window.
        kernel: usize,
        /// Step between windows.
        stride: usize,
        /// Rows and columns added on every side.
        padding: usize,
    },
    /// All inputs, one behind the other along the channels.
    Concat,
    /// Every pixel repeated `factor` times along both axes.
    Nearest {
        /// How often.
        factor: usize,
    },
    /// Linear interpolation along both axes, to `factor` times the size.
    Bilinear {
        /// How many times.
        factor: usize,
        /// What positions are compared by.
        corners: Corners,
    },
    /// The mean of every channel.
    Mean,
    /// The first input, one number per channel, at every position of the second.
    Spread,
    /// The first input times the sigmoid of the second, one number per channel.
    Gate,
    /// A linear layer on one number per channel.
    Linear(Linear),
}

impl Operation {
    /// The layer that makes channels of its own, by what its parameters' names begin with: a convolution or a linear layer.
    #[must_use]
    pub fn layer(&self) -> Option<&str> {
        match self {
            Self::ConvNorm(layer) | Self::DoubledConvNorm(layer) => Some(layer.names()[0]),
            Self::Conv(layer) => Some(layer.name()),
            Self::Linear(layer) => Some(layer.name()),
            _ => None,
        }
    }
}
