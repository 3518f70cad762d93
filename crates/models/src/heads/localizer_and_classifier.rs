use super::classifier::classes;
use super::localizer::{KERNEL, pixels};
use super::{CLASSES, HeadRow};
use crate::graph::Ends;

/// Names `head.*` as the localizer, `classification_head.weight` and `classification_head.bias`.
pub(super) const ROW: HeadRow = HeadRow {
    name: "localizer-and-classifier",
    about: "both: a logit for each pixel, and one for each class from the encoder's last maps",
    settings: &[KERNEL, CLASSES],
    needs_decoder: true,
    build: |graph, input, settings| {
        Ok(Ends {
            pixels: Some(pixels(graph, input, settings)?),
            classes: Some(classes(graph, "classification_head", input, settings)?),
        })
    },
};
