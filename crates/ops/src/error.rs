//! What can go wrong, and what to do about it.

use candle_core::DType;

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpsError {
    /// No precision is called so.
    #[error("unknown precision `{name}`: choose f32, tf32 or bf16")]
    UnknownPrecision {
        /// The name found.
        name: String,
    },
    /// An input holds no elements.
    #[error("{op}: `{argument}` is empty (shape {shape:?}); every dimension must be at least 1")]
    Empty {
        /// The operation.
        op: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// The shape found.
        shape: Vec<usize>,
    },
    /// An input has the wrong number of dimensions.
    #[error("{op}: `{argument}` must have the form {expected}, found shape {found:?}")]
    Rank {
        /// The operation.
        op: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// The form expected, such as `[batch, channels, height, width]`.
        expected: &'static str,
        /// The shape found.
        found: Vec<usize>,
    },
    /// An input's shape does not agree with another input.
    #[error("{op}: `{argument}` must have shape {expected:?}, found {found:?}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// The shape expected.
        expected: Vec<usize>,
        /// The shape found.
        found: Vec<usize>,
    },
    /// The weight's input channels do not fit the input.
    #[error(
        "{op}: input {input:?} has {channels} channels, which weight {weight:?} with groups = {groups} cannot take: \
         it needs input channels = weight's second dimension x groups, and output channels divisible by groups"
    )]
    Channels {
        /// The operation.
        op: &'static str,
        /// The input's shape.
        input: Vec<usize>,
        /// The input's channels.
        channels: usize,
        /// The weight's shape.
        weight: Vec<usize>,
        /// The number of groups.
        groups: usize,
    },
    /// The window is larger than the padded input.
    #[error("{op}: a window of {window} does not fit into {available} (input plus padding): input shape {shape:?}")]
    Window {
        /// The operation.
        op: &'static str,
        /// The window's extent along the offending axis.
        window: usize,
        /// The padded extent available.
        available: usize,
        /// The input's shape.
        shape: Vec<usize>,
    },
    /// What would be made is beyond any memory.
    #[error("{op}: the {what} of {dims:?} would be too large to hold; check size, stride and padding")]
    TooLarge {
        /// The operation.
        op: &'static str,
        /// What would be made, such as `result`.
        what: &'static str,
        /// Its extents.
        dims: Vec<usize>,
    },
    /// A parameter is out of range.
    #[error("{op}: `{parameter}` must be {requirement}, found {found}")]
    Parameter {
        /// The operation.
        op: &'static str,
        /// The parameter's name.
        parameter: &'static str,
        /// What it must be.
        requirement: &'static str,
        /// What it is.
        found: String,
    },
    /// The tensor's type is not supported.
    #[error("{op}: `{argument}` must be {expected}, found {found:?}")]
    DType {
        /// The operation.
        op: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// The types that are accepted.
        expected: &'static str,
        /// The type found.
        found: DType,
    },
    /// The inputs are not all on one device.
    #[error("{op}: `{argument}` lies on {found}, the other inputs on {expected}; move it with `to_device`")]
    Device {
        /// The operation.
        op: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// Where the other inputs lie.
        expected: String,
        /// Where the tensor lies.
        found: String,
    },
    /// A class label is out of range.
    #[error("cross_entropy: label {label} at row {row} is not below the number of classes {classes}")]
    Label {
        /// The offending row.
        row: usize,
        /// The label found.
        label: u32,
        /// The number of classes.
        classes: usize,
    },
    /// Optimiser state does not fit the parameters.
    #[error("optimiser state: {problem} for `{name}`; was it saved for another network?")]
    State {
        /// The parameter or entry.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An error of candle itself.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Refuses extents whose product is beyond any memory (2^40 elements).
pub(crate) fn check_extents(op: &'static str, what: &'static str, dims: &[usize]) -> Result<(), OpsError> {
    const MOST: usize = 1 << 40;
    match dims.iter().try_fold(1usize, |product, &d| product.checked_mul(d)) {
        Some(product) if product <= MOST => Ok(()),
        _ => Err(OpsError::TooLarge {
            op,
            what,
            dims: dims.to_vec(),
        }),
    }
}

impl From<OpsError> for candle_core::Error {
    fn from(error: OpsError) -> Self {
        match error {
            OpsError::Candle(inner) => inner,
            other => candle_core::Error::wrap(other),
        }
    }
}
