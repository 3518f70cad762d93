//! The operations whose speed is measured: each with its shape, the least work it takes, and its inputs.
//! `tests/peers/operations.py` has the same operations in PyTorch under the same names.

mod prepared;
mod work;

pub use prepared::Prepared;
pub use work::Work;

/// Images per batch.
pub const BATCH: usize = 8;

/// An operation and its sizes. Squares of `size` pixels come in, as many images as [`BATCH`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Convolution without bias, padded by half its kernel.
    Conv(Conv),
    /// Batch normalisation with the batch's statistics, and ReLU.
    BatchNormRelu {
        /// Of input and output.
        channels: usize,
        /// Of input and output.
        size: usize,
    },
    /// Max pooling with stride 2.
    MaxPool {
        /// Of input and output.
        channels: usize,
        /// Of the input.
        size: usize,
        /// Side of the window.
        kernel: usize,
        /// On every side.
        padding: usize,
    },
    /// Upsampling to twice the size.
    Upsample {
        /// Of input and output.
        channels: usize,
        /// Of the input.
        size: usize,
        /// How to read between pixels.
        filter: Filter,
    },
    /// Binary cross entropy on logits of one channel, mean over all.
    Bce {
        /// Of logits and target.
        size: usize,
    },
    /// Soft Dice loss on logits of one channel, mean over images.
    SoftDice {
        /// Of logits and target.
        size: usize,
    },
    /// One step of AdamW on a vector.
    AdamW {
        /// Its length.
        parameters: usize,
    },
}

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv {
    /// Channels of input and output.
    pub channels: [usize; 2],
    /// Side of the input.
    pub size: usize,
    /// Side of the kernel, odd.
    pub kernel: usize,
    /// Step between output positions.
    pub stride: usize,
    /// Groups of channels.
    pub groups: usize,
}

/// How upsampling reads between pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// The nearest one.
    Nearest,
    /// Bilinear, corners as PyTorch's `align_corners=False`.
    Bilinear,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Kind, channels and size in short.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
}

const fn conv(name: &'static str, channels: [usize; 2], size: usize, kernel: usize) -> Operation {
    grouped(name, channels, size, [kernel, 1, 1])
}

const fn grouped(
    name: &'static str,
    channels: [usize; 2],
    size: usize,
    [kernel, stride, groups]: [usize; 3],
) -> Operation {
    let sizes = Conv {
        channels,
        size,
        kernel,
        stride,
        groups,
    };
    Operation {
        name,
        kind: Kind::Conv(sizes),
    }
}

const fn row(name: &'static str, kind: Kind) -> Operation {
    Operation { name, kind }
}

const fn max_pool(name: &'static str, channels: usize, size: usize, [kernel, padding]: [usize; 2]) -> Operation {
    let kind = Kind::MaxPool {
        channels,
        size,
        kernel,
        padding,
    };
    row(name, kind)
}

const fn upsample(name: &'static str, channels: usize, size: usize, filter: Filter) -> Operation {
    let kind = Kind::Upsample { channels, size, filter };
    row(name, kind)
}

/// Every operation that is measured.
pub const OPERATIONS: [Operation; 18] = [
    conv("conv3x3-16-16-at128", [16, 16], 128, 3),
    conv("conv3x3-32-32-at64", [32, 32], 64, 3),
    conv("conv3x3-64-64-at32", [64, 64], 32, 3),
    conv("conv3x3-128-128-at16", [128, 128], 16, 3),
    conv("conv3x3-48-16-at128", [48, 16], 128, 3),
    conv("conv1x1-96-24-at32", [96, 24], 32, 1),
    grouped("conv7x7s2-3-64-at128", [3, 64], 128, [7, 2, 1]),
    grouped("depthwise3x3-96-at64", [96, 96], 64, [3, 1, 96]),
    grouped("depthwise3x3s2-144-at32", [144, 144], 32, [3, 2, 144]),
    grouped("depthwise5x5-96-at32", [96, 96], 32, [5, 1, 96]),
    row(
        "batch-norm-relu-16-at128",
        Kind::BatchNormRelu {
            channels: 16,
            size: 128,
        },
    ),
    max_pool("max-pool2x2-16-at128", 16, 128, [2, 0]),
    max_pool("max-pool3x3-64-at64", 64, 64, [3, 1]),
    upsample("upsample-nearest-32-at64", 32, 64, Filter::Nearest),
    upsample("upsample-bilinear-32-at64", 32, 64, Filter::Bilinear),
    row("bce-1-at128", Kind::Bce { size: 128 }),
    row("soft-dice-1-at128", Kind::SoftDice { size: 128 }),
    row("adamw-1m", Kind::AdamW { parameters: 1_000_000 }),
];

/// An operation by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        for operation in &OPERATIONS {
            assert_eq!(find(operation.name), Some(operation));
        }
    }

    /// Every operation runs, and has a backward pass if and only if its work says so.
    #[test]
    fn every_operation_runs_and_gives_its_gradients() {
        for operation in &OPERATIONS {
            let mut prepared = operation.prepare().unwrap();
            let output = prepared.forward().unwrap();
            let gradients = prepared.backward(&output).unwrap();
            assert_eq!(
                gradients.is_some(),
                operation.backward_work().is_some(),
                "{}",
                operation.name
            );
        }
    }
}
