use std::collections::BTreeMap;

use candle_core::Tensor;

use super::names::Names;
use crate::architecture::{Architecture, Part};
use crate::encoders::ENCODERS;
use crate::error::ModelError;
use crate::parameters::Shapes;

/// The encoder whose tensors a file has, all of them and in their shapes; of several the largest. `None` if it is none that is
/// known here.
///
/// # Errors
/// Those of candle.
pub fn identify(tensors: &BTreeMap<String, Tensor>) -> Result<Option<Part>, ModelError> {
    let shapes: Shapes = tensors
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor.dims().to_vec()))
        .collect();
    of_shapes(&shapes)
}

/// [`identify`] of names and shapes.
pub(super) fn of_shapes(theirs: &Shapes) -> Result<Option<Part>, ModelError> {
    let mut best: Option<(usize, Part)> = None;
    for row in ENCODERS {
        let mut part = Part::new(row.name);
        let width = row.settings.iter().find(|setting| setting.name == "width");
        if width.is_some() {
            // Its first convolution says how wide it is.
            let names = Names::new(&Shapes::new(), theirs.keys());
            let first = theirs.iter().find(|(name, _)| names.ours(name) == "encoder.0.0.weight");
            match first.and_then(|(_, shape)| shape.first()) {
                Some(width @ 1..=1024) => part = part.with("width", *width),
                _ => continue,
            }
        }
        let own = encoder(&Architecture::classifier(part.clone(), 2)?.shapes()?);
        let names = Names::new(&own, theirs.keys());
        let found: Shapes = theirs
            .iter()
            .map(|(name, shape)| (names.ours(name), shape.clone()))
            .collect();
        // Images may have any number of channels.
        let alike = |own: &Vec<usize>, found: &Vec<usize>| {
            own == found
                || (own.len() == 4 && own[1] == 3 && found.len() == 4 && [own[0], own[2]] == [found[0], found[2]])
        };
        let whole = own
            .iter()
            .all(|(name, shape)| found.get(name).is_some_and(|found| alike(shape, found)));
        if whole && best.as_ref().is_none_or(|(count, _)| own.len() > *count) {
            best = Some((own.len(), part));
        }
    }
    Ok(best.map(|(_, part)| part))
}

/// An encoder's variables among a network's.
pub(super) fn encoder(shapes: &Shapes) -> Shapes {
    let of = shapes.iter().filter(|(name, _)| name.starts_with("encoder."));
    of.map(|(name, shape)| (name.clone(), shape.clone())).collect()
}
