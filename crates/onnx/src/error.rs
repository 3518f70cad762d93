/// What can go wrong when a network is exported, each with what a person needs to put it right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// A threshold that is no probability, or that every or no pixel would exceed.
    #[error("the threshold must be above 0 and below 1, found {found}")]
    Threshold {
        /// The threshold given.
        found: f32,
    },
    /// A threshold for a network that gives no probability per pixel.
    #[error("a classifier gives no probability for each pixel that a threshold could cut: leave the threshold out")]
    NoProbability,
    /// Images of a size that the network cannot take.
    #[error(
        "images must have from {least} (the network's stride) to {most} pixels a side, found {found}: choose another size"
    )]
    Size {
        /// The side asked for, or the checkpoint's.
        found: usize,
        /// The network's stride.
        least: usize,
        /// The largest side that networks see.
        most: usize,
    },
    /// An operation that this crate cannot write.
    #[error("{found} cannot be written as ONNX yet")]
    Operation {
        /// The node's operation.
        found: String,
    },
    /// A weight that is too large once the batch normalisation behind it is multiplied in.
    #[error(
        "the weights of {layer} are too large for 32 bits with their normalisation: the training diverged; use another checkpoint"
    )]
    TooLargeWeight {
        /// What the names of the convolution's parameters begin with.
        layer: String,
    },
    /// A model that one file of ONNX cannot hold.
    #[error("the model has {bytes} bytes, and a file of ONNX holds at most {most}: export a smaller network", most = i32::MAX)]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The file cannot be written; the reason names it.
    #[error(transparent)]
    Write(std::io::Error),
    /// Checkpoint and network do not fit.
    #[error(transparent)]
    Model(#[from] htl_models::ModelError),
    /// An error of candle itself.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
