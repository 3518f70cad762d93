use std::collections::BTreeMap;

use candle_core::Tensor;

use super::names::Names;
use crate::architecture::{Architecture, Part};
use crate::encoders::{ENCODERS, EncoderRow};
use crate::error::ModelError;
use crate::parameters::Shapes;

/// An encoder that is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// Its name, and its width where it may have several.
    pub encoder: Part,
    /// Channels of the images that it takes.
    pub in_channels: usize,
}

/// The encoder whose tensors a file has, all of them and in their shapes; of several the largest. `None` if it is none that is
/// known here.
///
/// # Errors
/// Those of candle.
pub fn identify(tensors: &BTreeMap<String, Tensor>) -> Result<Option<Identified>, ModelError> {
    of_shapes(&shapes(tensors))
}

/// Names and shapes of tensors.
pub(super) fn shapes(tensors: &BTreeMap<String, Tensor>) -> Shapes {
    let shape = |(name, tensor): (&String, &Tensor)| (name.clone(), tensor.dims().to_vec());
    tensors.iter().map(shape).collect()
}

/// [`identify`] of names and shapes.
pub(super) fn of_shapes(theirs: &Shapes) -> Result<Option<Identified>, ModelError> {
    let mut best: Option<(usize, Identified)> = None;
    for row in ENCODERS {
        let Some(part) = part(row, theirs) else {
            continue;
        };
        let (own, of_grey) = (encoder_shapes(&part, 3)?, encoder_shapes(&part, 1)?);
        let names = Names::new(&own, theirs.keys());
        let found: Shapes = theirs
            .iter()
            .map(|(name, shape)| (names.ours(name), shape.clone()))
            .collect();
        // The convolution on the images is the one that their channels change.
        let first = own.iter().find(|(name, shape)| of_grey.get(*name) != Some(shape));
        let channels = first.and_then(|(name, _)| Some((name, *found.get(name)?.get(1)?)));
        let Some((first, in_channels)) = channels.filter(|(_, channels)| (1..=1024).contains(channels)) else {
            continue;
        };
        let expected = |name: &String, shape: &[usize]| {
            let mut shape = shape.to_vec();
            if name == first {
                shape[1] = in_channels;
            }
            shape
        };
        let whole = own
            .iter()
            .all(|(name, shape)| found.get(name) == Some(&expected(name, shape)));
        if whole && best.as_ref().is_none_or(|(count, _)| own.len() > *count) {
            let encoder = part;
            best = Some((own.len(), Identified { encoder, in_channels }));
        }
    }
    Ok(best.map(|(_, identified)| identified))
}

/// The encoder of this row, as wide as the file's first convolution says where it may have any width.
fn part(row: &EncoderRow, theirs: &Shapes) -> Option<Part> {
    let part = Part::new(row.name);
    if !row.settings.iter().any(|setting| setting.name == "width") {
        return Some(part);
    }
    let names = Names::new(&Shapes::new(), theirs.keys());
    let first = theirs.iter().find(|(name, _)| names.ours(name) == "encoder.0.0.weight");
    let width = *first?.1.first()?;
    (1..=1024).contains(&width).then(|| part.with("width", width))
}

fn encoder_shapes(part: &Part, in_channels: usize) -> Result<Shapes, ModelError> {
    let classifier = Part::new("classifier");
    Ok(encoder(
        &Architecture::new(part.clone(), None, classifier, in_channels)?.shapes()?,
    ))
}

/// An encoder's variables among a network's.
pub(super) fn encoder(shapes: &Shapes) -> Shapes {
    let of = shapes.iter().filter(|(name, _)| name.starts_with("encoder."));
    of.map(|(name, shape)| (name.clone(), shape.clone())).collect()
}
