use htl_ops::Corners;

use super::{DecoderRow, from_coarse, of_stride};
use crate::architecture::{Allowed, Setting, Settings};
use crate::encoders::setting;
use crate::error::ModelError;
use crate::graph::{Bias, GraphBuilder, Value};
use crate::layers::ConvShape;

const WIDTH: Setting = Setting {
    name: "width",
    about: "channels of every branch and of the result",
    default: 128,
    allowed: Allowed::Between(1, 1024),
};

/// Dilations of the three branches, for maps of stride 16.
const RATES: [usize; 3] = [12, 24, 36];

/// Channels that the fine maps are brought to, as the paper has it.
const FINE: usize = 48;

/// After Chen et al. 2018; names as segmentation_models_pytorch's `DeepLabV3Plus`, whose branches have 256 channels. Without
/// its dropout.
pub(super) const ROW: DecoderRow = DecoderRow {
    name: "deeplabv3plus",
    about: "dilated branches and the mean of the coarsest maps (ASPP), joined with those of stride 4",
    settings: &[WIDTH],
    build,
};

fn build(graph: &mut GraphBuilder<'_>, levels: &[Value], settings: &Settings) -> Result<Value, ModelError> {
    let width = setting(settings, WIDTH);
    let (deepest, _) = from_coarse(ROW.name, levels)?;
    let fine = of_stride(ROW.name, levels, 4)?;
    if deepest.stride > 16 || deepest.stride <= fine.stride {
        return Err(ModelError::Parts {
            problem: format!(
                "the decoder {} needs an encoder whose coarsest maps have stride 8 or 16, and they have {}: set its output_stride",
                ROW.name, deepest.stride
            ),
        });
    }
    let pointwise = ConvShape::pointwise();
    let branch = |at: usize, part: usize| format!("decoder.aspp.0.convs.{at}.{part}");
    let mut branches = vec![graph.conv_norm([&branch(0, 0), &branch(0, 1)], deepest, width, pointwise)?];
    for (at, rate) in RATES.into_iter().enumerate() {
        let names = [branch(at + 1, 0), branch(at + 1, 1)];
        branches.push(separable(graph, [&names[0], &names[1]], deepest, width, rate)?);
    }
    let mean = graph.mean(deepest);
    let mean = graph.conv_norm([&branch(4, 1), &branch(4, 2)], mean, width, pointwise)?;
    branches.push(graph.spread(mean, deepest));
    let all = graph.concat(&branches);
    let maps = graph.conv_norm(
        ["decoder.aspp.0.project.0", "decoder.aspp.0.project.1"],
        all,
        width,
        pointwise,
    )?;
    let maps = separable(graph, ["decoder.aspp.1", "decoder.aspp.2"], maps, width, 1)?;
    let maps = graph.bilinear(maps, maps.stride / fine.stride, Corners::Aligned);
    let fine = graph.conv_norm(["decoder.block1.0", "decoder.block1.1"], fine, FINE, pointwise)?;
    let joined = graph.concat(&[maps, fine]);
    separable(graph, ["decoder.block2.0", "decoder.block2.1"], joined, width, 1)
}

/// A 3x3 convolution of every channel by itself, a 1x1 convolution, batch normalisation, ReLU.
fn separable(
    graph: &mut GraphBuilder<'_>,
    [conv, norm]: [&str; 2],
    input: Value,
    outputs: usize,
    dilation: usize,
) -> Result<Value, ModelError> {
    let depthwise = ConvShape {
        groups: input.channels,
        dilation,
        ..ConvShape::default()
    };
    let filtered = graph.conv(&format!("{conv}.0"), input, input.channels, depthwise, Bias::Absent)?;
    graph.conv_norm([&format!("{conv}.1"), norm], filtered, outputs, ConvShape::pointwise())
}
