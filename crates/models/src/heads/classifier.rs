use super::{CLASSES, HeadInput, HeadRow};
use crate::architecture::Settings;
use crate::encoders::setting;
use crate::error::ModelError;
use crate::graph::{Ends, GraphBuilder, Value};

/// Names `head.weight` and `head.bias`.
pub(super) const ROW: HeadRow = HeadRow {
    name: "classifier",
    about: "a logit for each class: the mean of the encoder's last maps, a linear layer; its class activation maps localize",
    settings: &[CLASSES],
    needs_decoder: false,
    build: |graph, input, settings| {
        Ok(Ends {
            pixels: None,
            classes: Some(classes(graph, "head", input, settings)?),
        })
    },
};

pub(super) fn classes(
    graph: &mut GraphBuilder<'_>,
    name: &str,
    input: &HeadInput,
    settings: &Settings,
) -> Result<Value, ModelError> {
    let mean = graph.mean(input.deepest);
    graph.linear(name, mean, setting(settings, CLASSES))
}
