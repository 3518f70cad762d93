use htl_ops::Corners;

use super::{DecoderRow, from_coarse, of_stride};
use crate::architecture::{Allowed, Setting, Settings};
use crate::encoders::setting;
use crate::error::ModelError;
use crate::graph::{Bias, GraphBuilder, Value};
use crate::layers::ConvShape;

const WIDTH: Setting = Setting {
    name: "width",
    about: "channels of the coarse maps",
    default: 64,
    allowed: Allowed::Between(1, 1024),
};

const FINE_STRIDE: Setting = Setting {
    name: "fine_stride",
    about: "stride of the fine maps, which is that of the result",
    default: 4,
    allowed: Allowed::OneOf(&[2, 4, 8]),
};

/// After Howard et al. 2019 (MobileNetV3): the light one. Names as torchvision's `LRASPPHead`, whose two classifiers are one
/// here: the head, on both maps.
pub(super) const ROW: DecoderRow = DecoderRow {
    name: "lraspp",
    about: "the coarsest maps, gated by their own mean, beside fine ones: the lightest, for CPUs",
    settings: &[WIDTH, FINE_STRIDE],
    build,
};

fn build(graph: &mut GraphBuilder<'_>, levels: &[Value], settings: &Settings) -> Result<Value, ModelError> {
    let width = setting(settings, WIDTH);
    let (deepest, _) = from_coarse(ROW.name, levels)?;
    let fine = of_stride(ROW.name, levels, setting(settings, FINE_STRIDE))?;
    let maps = graph.conv_norm(
        ["decoder.cbr.0", "decoder.cbr.1"],
        deepest,
        width,
        ConvShape::pointwise(),
    )?;
    let mean = graph.mean(deepest);
    let gate = graph.conv("decoder.scale.1", mean, width, ConvShape::pointwise(), Bias::Absent)?;
    let gated = graph.gate(maps, gate)?;
    let gated = match deepest.stride / fine.stride {
        1 => gated,
        factor => graph.bilinear(gated, factor, Corners::HalfPixel),
    };
    Ok(graph.concat(&[fine, gated]))
}
