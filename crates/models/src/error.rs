use std::borrow::Cow;
use std::path::PathBuf;

/// What can go wrong with networks and checkpoints, each with what a person needs to put it right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A number in an architecture or in its preprocessing makes no sense.
    #[error("`{key}` must be {expected}, found {found}")]
    Config {
        /// The configuration key.
        key: Cow<'static, str>,
        /// What it may be.
        expected: Cow<'static, str>,
        /// What it is.
        found: String,
    },
    /// An encoder, decoder or head that is not in the registry.
    #[error("there is no {kind} `{found}`{meant}: {known}", meant = meant.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
    UnknownPart {
        /// What it should be.
        kind: &'static str,
        /// The name given.
        found: String,
        /// The nearest name known, if one is near.
        meant: Option<String>,
        /// All names known.
        known: String,
    },
    /// Parts that do not go together.
    #[error("no such network: {problem}")]
    Parts {
        /// What does not fit.
        problem: String,
    },
    /// Images of a shape that the network cannot take.
    #[error("the network takes images of shape {expected}, found {found:?}: {hint}")]
    ImageShape {
        /// The shape in words.
        expected: String,
        /// The shape found.
        found: Vec<usize>,
        /// What to do.
        hint: &'static str,
    },
    /// A class that the classifier does not know.
    #[error("no class {found} for image {image}: the classifier has {classes} classes, counted from 0")]
    NoSuchClass {
        /// Position in the batch.
        image: usize,
        /// The class asked for.
        found: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// A list of classes that is not one per image.
    #[error("one class per image is needed for {images} images, found a list of {found}")]
    ClassCount {
        /// How many images there are.
        images: usize,
        /// How many classes were given.
        found: usize,
    },
    /// A network of another kind than the task needs.
    #[error("this needs a {expected}, but the network is a {found}: give the checkpoint of a {expected}")]
    Kind {
        /// The kind needed.
        expected: &'static str,
        /// The kind found.
        found: &'static str,
    },
    /// Two networks that should have the same parameters do not.
    #[error("the weights belong to another network: {problem}")]
    OtherNetwork {
        /// The first difference: a tensor missing, too many, or of another shape.
        problem: String,
    },
    /// Weights or running statistics that no network can compute with.
    #[error("tensor `{name}` holds {found} at position {index}, expected {expected}")]
    NotFinite {
        /// The tensor.
        name: String,
        /// Position in row-major order.
        index: usize,
        /// The value.
        found: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// A checkpoint with such weights.
    #[error("{path}: {problem}: the file is damaged, or the training diverged; use another checkpoint", path = path.display())]
    BrokenCheckpoint {
        /// The file.
        path: PathBuf,
        /// Which tensor holds what.
        problem: String,
    },
    /// A file that is not a checkpoint at all.
    #[error("{path}: not a checkpoint: {problem}", path = path.display())]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        problem: String,
    },
    /// A file of weights that cannot be read.
    #[error("{path}: no weights that can be read: {problem}", path = path.display())]
    NotWeights {
        /// The file.
        path: PathBuf,
        /// What was found instead, and what to do.
        problem: String,
    },
    /// Published weights that are not on this machine, at least not where they were looked for.
    #[error(
        "no weights `{name}` here, neither {} nor {}: `htl weights fetch {name}` gets them, HTL_WEIGHTS names another folder, or give a file",
        fetched.display(),
        imported.display()
    )]
    NotFetched {
        /// Their name.
        name: &'static str,
        /// Where they lie once they are fetched.
        fetched: PathBuf,
        /// Where they lie once they are imported.
        imported: PathBuf,
    },
    /// A checkpoint whose tensors are not those of its architecture.
    #[error("{path}: the tensors are those of another network than its architecture says: {problem}", path = path.display())]
    CheckpointMismatch {
        /// The file.
        path: PathBuf,
        /// The first difference.
        problem: String,
    },
    /// A checkpoint of a later version of this crate.
    #[error("{path}: checkpoint version {found} is newer than {known}, the newest known here: update htl", path = path.display())]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that can be read.
        known: u32,
    },
    /// A file cannot be read.
    #[error("{path}: cannot read: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file cannot be written; the reason names it.
    #[error(transparent)]
    Write(std::io::Error),
    /// An error of an operation.
    #[error(transparent)]
    Ops(#[from] htl_ops::OpsError),
    /// An error of candle itself.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

impl From<ModelError> for candle_core::Error {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Candle(error) => error,
            ModelError::Ops(error) => error.into(),
            other => Self::wrap(other),
        }
    }
}

/// A row of a registry by its name.
pub(crate) fn known<Row>(
    kind: &'static str,
    name: &str,
    rows: &'static [Row],
    name_of: fn(&Row) -> &'static str,
) -> Result<&'static Row, ModelError> {
    rows.iter().find(|row| name_of(row) == name).ok_or_else(|| {
        let names: Vec<&str> = rows.iter().map(name_of).collect();
        ModelError::UnknownPart {
            kind,
            found: htl_vocabulary::readable(name),
            meant: htl_vocabulary::nearest(name, names.iter().copied()).map(str::to_owned),
            known: names.join(", "),
        }
    })
}
