use std::path::PathBuf;

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
    /// Fewer zeros were asked for than the masks already have.
    #[error(
        "the masks already have {have} zeros and sparsity {sparsity} asks for {asked}: pruned weights do not come back, \
         ask for a higher sparsity or start from no masks"
    )]
    AlreadySparser {
        /// The sparsity asked for.
        sparsity: f64,
        /// Zeros that it means.
        asked: usize,
        /// Zeros that are there.
        have: usize,
    },
    /// A criterion of an unknown name.
    #[error("unknown pruning method `{found}`: choose one of {known}")]
    UnknownCriterion {
        /// The name given.
        found: String,
        /// All names, separated by commas.
        known: String,
    },
    /// A schedule whose numbers make no sense.
    #[error("pruning schedule: {problem}")]
    Schedule {
        /// What is wrong, with the value found.
        problem: String,
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
    /// A prunable weight without its mask.
    #[error("there is no mask for `{name}`: were the masks made for another network?")]
    MissingMask {
        /// The weight's name.
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
    /// A mask file that does not hold masks.
    #[error("{path}: not a mask file: {problem}", path = path.display())]
    NotAMaskFile {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        problem: String,
    },
    /// Reading or writing failed.
    #[error("{path}: cannot {action}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `write`.
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An error of candle itself.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}
