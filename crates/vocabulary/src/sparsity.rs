//! `sparsity.json`: how the sparsity of a pruned population was chosen.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::read_json;
use crate::{FormatError, file};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SparsityChoice {
    /// The largest candidate within the tolerance; the smallest candidate if none is. In [0, 1).
    pub sparsity: f64,
    /// Whether that candidate is within the tolerance.
    pub within: bool,
    /// Validation quality of the dense network, in [0, 1].
    pub dense: f64,
    /// Largest loss of quality allowed; in [0, 1].
    pub tolerance: f64,
    /// Every candidate tried, from the largest down to the first that fits.
    pub candidates: Vec<Candidate>,
}

/// One sparsity, and the validation quality that it leaves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Share of pruned weights, in [0, 1).
    pub sparsity: f64,
    /// Validation quality after fine-tuning, in [0, 1].
    pub quality: f64,
}

impl SparsityChoice {
    /// Reads a `sparsity.json`.
    ///
    /// # Errors
    /// [`FormatError::Io`], [`FormatError::Json`] naming the field that does not fit: a number that was not finite when
    /// it was written is `null` there, and refused; so is a number outside its range.
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        let choice: Self = read_json(path, file::SPARSITY)?;
        let fields = [
            (
                "sparsity",
                choice.sparsity,
                (0.0..1.0).contains(&choice.sparsity),
                "[0, 1)",
            ),
            (
                "tolerance",
                choice.tolerance,
                (0.0..=1.0).contains(&choice.tolerance),
                "[0, 1]",
            ),
        ];
        match fields.into_iter().find(|(_, _, fits, _)| !fits) {
            None => Ok(choice),
            Some((field, found, _, range)) => Err(FormatError::Json {
                path: path.to_owned(),
                what: file::SPARSITY,
                field: field.into(),
                reason: format!("{found} is not in {range}"),
            }),
        }
    }
}
