use htl_ops::Corners;

use super::{HeadInput, HeadRow};
use crate::architecture::{Allowed, Setting, Settings};
use crate::encoders::setting;
use crate::error::ModelError;
use crate::graph::{Bias, Ends, GraphBuilder, Value};
use crate::layers::ConvShape;

pub(super) const KERNEL: Setting = Setting {
    name: "kernel",
    about: "side of the last convolution's window",
    default: 1,
    allowed: Allowed::OneOf(&[1, 3]),
};

/// Names `head.weight` and `head.bias`.
pub(super) const ROW: HeadRow = HeadRow {
    name: "localizer",
    about: "a logit for each pixel: a convolution, and linear interpolation to full size",
    settings: &[KERNEL],
    needs_decoder: true,
    build: |graph, input, settings| {
        Ok(Ends {
            pixels: Some(pixels(graph, input, settings)?),
            classes: None,
        })
    },
};

pub(super) fn pixels(
    graph: &mut GraphBuilder<'_>,
    input: &HeadInput,
    settings: &Settings,
) -> Result<Value, ModelError> {
    let shape = ConvShape {
        kernel: setting(settings, KERNEL),
        ..ConvShape::default()
    };
    let maps = input.decoded.unwrap_or(input.deepest);
    let logits = graph.conv("head", maps, 1, shape, Bias::Added)?;
    Ok(match logits.stride {
        1 => logits,
        stride => graph.bilinear(logits, stride, Corners::Aligned),
    })
}
