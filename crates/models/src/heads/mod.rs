//! From maps to logits: one file and one row per head.

mod classifier;
mod localizer;
mod localizer_and_classifier;

use crate::architecture::{Allowed, Setting, Settings};
use crate::error::{ModelError, known};
use crate::graph::{Ends, GraphBuilder, Value};

/// A head by name.
#[derive(Debug)]
pub struct HeadRow {
    /// Its name in configurations and checkpoints.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// What it can be built with.
    pub settings: &'static [Setting],
    /// Whether it is on a decoder's maps.
    pub needs_decoder: bool,
    /// Its logits.
    pub build: fn(&mut GraphBuilder<'_>, &HeadInput, &Settings) -> Result<Ends, ModelError>,
}

/// What a head is on.
#[derive(Clone, Copy, Debug)]
pub struct HeadInput {
    /// The encoder's last maps.
    pub deepest: Value,
    /// The decoder's, if there is one.
    pub decoded: Option<Value>,
}

/// All heads.
pub const HEADS: &[HeadRow] = &[localizer::ROW, classifier::ROW, localizer_and_classifier::ROW];

/// How many classes a classifier tells apart.
const CLASSES: Setting = Setting {
    name: "classes",
    about: "classes told apart",
    default: 2,
    allowed: Allowed::Between(2, 1024),
};

/// The head of this name.
///
/// # Errors
/// [`ModelError::UnknownPart`] naming the nearest.
pub(crate) fn row(name: &str) -> Result<&'static HeadRow, ModelError> {
    known("head", name, HEADS, |row| row.name)
}
