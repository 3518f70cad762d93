use crate::needs::Needs;

/// What can go wrong while pruning, each with what a person needs to put it right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The sparsity asked for is outside [0, 1) or not a number.
    #[error("sparsity must be in [0, 1), found {found}")]
    Sparsity {
        /// The value given.
        found: f64,
    },
    /// A search of a sparsity without candidates.
    #[error("there is no candidate sparsity to try: name at least one, in [0, 1)")]
    NoCandidate,
    /// The loss of quality that a search allows is outside [0, 1] or not a number.
    #[error("tolerance must be in [0, 1], found {found}")]
    Tolerance {
        /// The value given.
        found: f64,
    },
    /// The share of depthwise convolutions is outside [0, 1] or not a number.
    #[error("the share of depthwise convolutions must be in [0, 1], found {found}")]
    DepthwiseShare {
        /// The value given.
        found: f64,
    },
    /// Channels cannot be kept in multiples of 0.
    #[error("channels can be kept in multiples of 1 or more, found {found}")]
    Multiple {
        /// The value given.
        found: usize,
    },
    /// No group of channels can lose any.
    #[error("no channel can go: of {groups} groups of channels, none has more than one and is not excluded")]
    NoChannels {
        /// How many groups were given.
        groups: usize,
    },
    /// A place of channels that is not in its tensor.
    #[error("the channels of `{name}` are said to be at {first}..{last} of axis {axis}, but its shape is {shape:?}")]
    ChannelPlace {
        /// The tensor's name.
        name: String,
        /// The axis.
        axis: usize,
        /// First position.
        first: usize,
        /// Behind the last position.
        last: usize,
        /// Shape of the tensor.
        shape: Vec<usize>,
    },
    /// A criterion of an unknown name.
    #[error("unknown pruning method `{found}`: choose one of {known}")]
    UnknownCriterion {
        /// The name given.
        found: String,
        /// All names, separated by commas.
        known: String,
    },
    /// A criterion needs gradients or activations that were not given.
    #[error("pruning method `{criterion}` needs {needs}, and there are none for `{name}`")]
    Unmeasured {
        /// The criterion's name.
        criterion: &'static str,
        /// What it needs.
        needs: Needs,
        /// The first tensor without it.
        name: String,
    },
    /// A mask of another shape than its weight.
    #[error("mask for `{name}` has shape {mask:?} but the weight has {weight:?}: was it made for another network?")]
    MaskShape {
        /// The weight's name.
        name: String,
        /// Shape of the mask.
        mask: Vec<usize>,
        /// Shape of the weight.
        weight: Vec<usize>,
    },
    /// A mask without its weight.
    #[error("there is a mask for `{name}` but no such weight: was it made for another network?")]
    MissingWeight {
        /// The mask's name.
        name: String,
    },
    /// Nothing in the list can be pruned.
    #[error(
        "no prunable weight: none of the {count} tensors is a convolution or linear weight (rank 4 or 2, named `weight`)"
    )]
    NothingToPrune {
        /// How many tensors were given.
        count: usize,
    },
    /// An excluded name that is not there, probably a misspelling.
    #[error("cannot exclude `{name}`: no prunable weight has that name or prefix; there are {known}")]
    UnknownExclusion {
        /// The name given.
        name: String,
        /// The names of the prunable weights, separated by commas.
        known: String,
    },
    /// A weight or score that is infinite or not a number: the training has probably diverged.
    #[error("`{name}` holds {value} at position {index}: a network that has diverged cannot be ranked")]
    NotFinite {
        /// The weight's name.
        name: String,
        /// Index in row-major order.
        index: usize,
        /// The value found.
        value: f64,
    },
    /// An error of candle itself.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
