use htl_ops::{Activation, Corners};

use super::{DecoderRow, of_stride};
use crate::architecture::{Allowed, Setting, Settings};
use crate::encoders::setting;
use crate::error::ModelError;
use crate::graph::{Bias, GraphBuilder, Value};
use crate::layers::ConvShape;

const PYRAMID: Setting = Setting {
    name: "pyramid",
    about: "channels of the pyramid",
    default: 128,
    allowed: Allowed::Between(1, 1024),
};

const WIDTH: Setting = Setting {
    name: "width",
    about: "channels of the maps that are summed",
    default: 64,
    allowed: Allowed::Between(1, 1024),
};

/// After Kirillov et al. 2019 ("Panoptic feature pyramid networks"); names as segmentation_models_pytorch's `FPN`, whose
/// pyramid has 256 channels and whose sum 128. Without its dropout.
pub(super) const ROW: DecoderRow = DecoderRow {
    name: "fpn",
    about: "feature pyramid from stride 32 to 4, every level brought to stride 4 and summed",
    settings: &[PYRAMID, WIDTH],
    build,
};

fn build(graph: &mut GraphBuilder<'_>, levels: &[Value], settings: &Settings) -> Result<Value, ModelError> {
    let (pyramid, width) = (setting(settings, PYRAMID), setting(settings, WIDTH));
    let linear = ConvShape::pointwise();
    let deepest = of_stride(ROW.name, levels, 32)?;
    let mut maps = graph.conv("decoder.p5", deepest, pyramid, linear, Bias::Added)?;
    let mut steps = vec![maps];
    for (name, stride) in [("p4", 16), ("p3", 8), ("p2", 4)] {
        let skip = of_stride(ROW.name, levels, stride)?;
        let skip = graph.conv(&format!("decoder.{name}.skip_conv"), skip, pyramid, linear, Bias::Added)?;
        let doubled = graph.nearest(maps, 2);
        maps = graph.add(doubled, skip, Activation::None)?;
        steps.push(maps);
    }
    let mut sum: Option<Value> = None;
    for (step, mut maps) in steps.into_iter().enumerate() {
        // A level of stride 4 has a block as well, without doubling.
        for block in 0..(3 - step).max(1) {
            let name = format!("decoder.seg_blocks.{step}.block.{block}.block");
            let convolved = graph.conv(&format!("{name}.0"), maps, width, ConvShape::default(), Bias::Absent)?;
            maps = graph.group_norm(&format!("{name}.1"), convolved)?;
            if maps.stride > 4 {
                maps = graph.bilinear(maps, 2, Corners::Aligned);
            }
        }
        sum = Some(match sum {
            Some(sum) => graph.add(sum, maps, Activation::None)?,
            None => maps,
        });
    }
    sum.ok_or_else(|| ModelError::Parts {
        problem: "a pyramid of no levels".into(),
    })
}
