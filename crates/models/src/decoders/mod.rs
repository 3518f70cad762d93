//! From an encoder's maps to maps of one stride: one file and one row per decoder.

mod deeplab;
mod fpn;
mod lraspp;
mod unet;

use crate::architecture::{Setting, Settings};
use crate::error::{ModelError, known};
use crate::graph::{GraphBuilder, Value};

/// A decoder by name.
#[derive(Debug)]
pub struct DecoderRow {
    /// Its name in configurations and checkpoints.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// What it can be built with.
    pub settings: &'static [Setting],
    /// Its maps, from the encoder's: each stride once, from the finest to the coarsest.
    pub build: fn(&mut GraphBuilder<'_>, &[Value], &Settings) -> Result<Value, ModelError>,
}

/// All decoders.
pub const DECODERS: &[DecoderRow] = &[unet::ROW, fpn::ROW, deeplab::ROW, lraspp::ROW];

/// The decoder of this name.
///
/// # Errors
/// [`ModelError::UnknownPart`] naming the nearest.
pub(crate) fn row(name: &str) -> Result<&'static DecoderRow, ModelError> {
    known("decoder", name, DECODERS, |row| row.name)
}

/// The coarsest maps, and the others from coarse to fine.
fn from_coarse<'a>(
    decoder: &str,
    levels: &'a [Value],
) -> Result<(Value, impl Iterator<Item = Value> + 'a), ModelError> {
    let Some((deepest, finer)) = levels.split_last() else {
        return Err(ModelError::Parts {
            problem: format!("the decoder {decoder} needs maps, and the encoder gives none"),
        });
    };
    Ok((*deepest, finer.iter().rev().copied()))
}

/// The maps of a stride.
///
/// # Errors
/// [`ModelError::Parts`] if the encoder has none.
fn of_stride(decoder: &str, levels: &[Value], stride: usize) -> Result<Value, ModelError> {
    levels
        .iter()
        .find(|value| value.stride == stride)
        .copied()
        .ok_or_else(|| {
            let strides: Vec<String> = levels.iter().map(|value| value.stride.to_string()).collect();
            ModelError::Parts {
                problem: format!(
                    "the decoder {decoder} needs maps of stride {stride}, and the encoder gives {}",
                    strides.join(", ")
                ),
            }
        })
}
