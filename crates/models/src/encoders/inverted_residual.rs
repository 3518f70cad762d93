use htl_ops::Activation;

use super::{Dilation, EncoderRow, IMAGENET, LITE, OUTPUT_STRIDE, levels, setting};
use crate::architecture::Settings;
use crate::error::ModelError;
use crate::graph::{GraphBuilder, Value};
use crate::layers::{ConvShape, Padding};

/// A family member: stages of inverted residual blocks (Sandler et al. 2018), ReLU6, no squeeze-and-excitation.
struct Table {
    /// Blocks, depthwise kernel, stride of the first block, expansion, output channels.
    stages: [[usize; 5]; 7],
    padding: Padding,
    eps: f64,
}

/// Channels of the first convolution.
const STEM: usize = 32;

const MOBILENET: Table = Table {
    stages: [
        [1, 3, 1, 1, 16],
        [2, 3, 2, 6, 24],
        [3, 3, 2, 6, 32],
        [4, 3, 2, 6, 64],
        [3, 3, 1, 6, 96],
        [3, 3, 2, 6, 160],
        [1, 3, 1, 6, 320],
    ],
    padding: Padding::Symmetric,
    eps: 1e-5,
};

const LITE0: Table = Table {
    stages: [
        [1, 3, 1, 1, 16],
        [2, 3, 2, 6, 24],
        [2, 5, 2, 6, 40],
        [3, 3, 2, 6, 80],
        [3, 5, 1, 6, 112],
        [4, 5, 2, 6, 192],
        [1, 3, 1, 6, 320],
    ],
    padding: Padding::TensorFlow,
    eps: 1e-3,
};

const LITE2: Table = Table {
    stages: [
        [1, 3, 1, 1, 16],
        [3, 3, 2, 6, 24],
        [3, 5, 2, 6, 48],
        [4, 3, 2, 6, 88],
        [4, 5, 1, 6, 120],
        [5, 5, 2, 6, 208],
        [1, 3, 1, 6, 352],
    ],
    padding: Padding::TensorFlow,
    eps: 1e-3,
};

/// Names as timm's `mobilenetv2_100`, behind `encoder.`.
pub(super) const MOBILENET_V2: EncoderRow = EncoderRow {
    name: "mobilenet-v2",
    about: "MobileNetV2 (Sandler et al. 2018) without its last convolution",
    settings: &[OUTPUT_STRIDE],
    pretrained: Some(IMAGENET),
    build: |graph, images, settings| build(graph, images, settings, &MOBILENET),
};

/// Names as timm's `tf_efficientnet_lite0`, behind `encoder.`.
pub(super) const EFFICIENTNET_LITE0: EncoderRow = EncoderRow {
    name: "efficientnet-lite0",
    about: "EfficientNet-Lite0 (Tan & Le 2019, without squeeze-and-excitation) without its last convolution",
    settings: &[OUTPUT_STRIDE],
    pretrained: Some(LITE),
    build: |graph, images, settings| build(graph, images, settings, &LITE0),
};

/// Names as timm's `tf_efficientnet_lite2`, behind `encoder.`.
pub(super) const EFFICIENTNET_LITE2: EncoderRow = EncoderRow {
    name: "efficientnet-lite2",
    about: "EfficientNet-Lite2, deeper and wider than Lite0",
    settings: &[OUTPUT_STRIDE],
    pretrained: Some(LITE),
    build: |graph, images, settings| build(graph, images, settings, &LITE2),
};

fn build(
    graph: &mut GraphBuilder<'_>,
    images: Value,
    settings: &Settings,
    table: &Table,
) -> Result<Vec<Value>, ModelError> {
    let shape = ConvShape {
        padding: table.padding,
        activation: Activation::Relu6,
        eps: table.eps,
        ..ConvShape::default()
    };
    let stem = ConvShape { stride: 2, ..shape };
    let mut maps = graph.conv_norm(["encoder.conv_stem", "encoder.bn1"], images, STEM, stem)?;
    let mut stages = Vec::new();
    let mut dilations = Dilation::new(setting(settings, OUTPUT_STRIDE), 2);
    for (stage, [blocks, kernel, stride, expansion, outputs]) in table.stages.into_iter().enumerate() {
        let (stride, first, dilation) = dilations.stage(stride);
        for block in 0..blocks {
            let depthwise = ConvShape {
                kernel,
                stride: if block == 0 { stride } else { 1 },
                dilation: if block == 0 { first } else { dilation },
                groups: maps.channels * expansion,
                ..shape
            };
            maps = inverted_residual(
                graph,
                &format!("encoder.blocks.{stage}.{block}"),
                maps,
                outputs,
                depthwise,
            )?;
        }
        stages.push(maps);
    }
    Ok(levels(&stages))
}

/// Widens by a 1x1 convolution unless `depthwise` has as many channels as the input, filters every channel by itself, narrows
/// without activation, and adds the input where the shape allows.
fn inverted_residual(
    graph: &mut GraphBuilder<'_>,
    name: &str,
    input: Value,
    outputs: usize,
    depthwise: ConvShape,
) -> Result<Value, ModelError> {
    let wide = depthwise.groups;
    let widens = wide != input.channels;
    // timm numbers normalisations by their place, and calls the last convolution by what it follows.
    let (filter, narrow) = if widens {
        ("bn2", ["conv_pwl", "bn3"])
    } else {
        ("bn1", ["conv_pw", "bn2"])
    };
    let pointwise = ConvShape {
        kernel: 1,
        stride: 1,
        dilation: 1,
        groups: 1,
        ..depthwise
    };
    let layer = |conv: &str, norm: &str| [format!("{name}.{conv}"), format!("{name}.{norm}")];
    let mut maps = input;
    if widens {
        maps = graph.conv_norm(
            layer("conv_pw", "bn1").each_ref().map(String::as_str),
            maps,
            wide,
            pointwise,
        )?;
    }
    maps = graph.conv_norm(
        layer("conv_dw", filter).each_ref().map(String::as_str),
        maps,
        wide,
        depthwise,
    )?;
    let linear = ConvShape {
        activation: Activation::None,
        ..pointwise
    };
    maps = graph.conv_norm(
        layer(narrow[0], narrow[1]).each_ref().map(String::as_str),
        maps,
        outputs,
        linear,
    )?;
    if depthwise.stride == 1 && input.channels == outputs {
        maps = graph.add(input, maps, Activation::None)?;
    }
    Ok(maps)
}
