use htl_ops::Activation;

use super::{Dilation, EncoderRow, IMAGENET, OUTPUT_STRIDE, levels, setting};
use crate::architecture::Settings;
use crate::error::ModelError;
use crate::graph::{GraphBuilder, Value};
use crate::layers::ConvShape;

/// Channels of the first convolution and of the first stage's blocks.
const STEM: usize = 64;

/// What a block is made of.
#[derive(Clone, Copy)]
enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// A 1x1, a 3x3 and a 1x1 convolution to four times the channels; the step is in the 3x3 one, as torchvision has it.
    Bottleneck,
}

/// Names as torchvision's `resnet18`, behind `encoder.`.
pub(super) const RESNET18: EncoderRow = EncoderRow {
    name: "resnet18",
    about: "ResNet-18 (He et al. 2016)",
    settings: &[OUTPUT_STRIDE],
    pretrained: Some(IMAGENET),
    build: |graph, images, settings| build(graph, images, settings, Block::Basic, [2, 2, 2, 2]),
};

/// Names as torchvision's `resnet34`, behind `encoder.`.
pub(super) const RESNET34: EncoderRow = EncoderRow {
    name: "resnet34",
    about: "ResNet-34",
    settings: &[OUTPUT_STRIDE],
    pretrained: Some(IMAGENET),
    build: |graph, images, settings| build(graph, images, settings, Block::Basic, [3, 4, 6, 3]),
};

/// Names as torchvision's `resnet50`, behind `encoder.`.
pub(super) const RESNET50: EncoderRow = EncoderRow {
    name: "resnet50",
    about: "ResNet-50",
    settings: &[OUTPUT_STRIDE],
    pretrained: Some(IMAGENET),
    build: |graph, images, settings| build(graph, images, settings, Block::Bottleneck, [3, 4, 6, 3]),
};

fn build(
    graph: &mut GraphBuilder<'_>,
    images: Value,
    settings: &Settings,
    block: Block,
    counts: [usize; 4],
) -> Result<Vec<Value>, ModelError> {
    let stem = ConvShape {
        kernel: 7,
        stride: 2,
        ..ConvShape::default()
    };
    let stem = graph.conv_norm(["encoder.conv1", "encoder.bn1"], images, STEM, stem)?;
    let mut values = vec![stem];
    let mut maps = graph.max_pool(stem, 3, 2, 1);
    let mut dilations = Dilation::new(setting(settings, OUTPUT_STRIDE), 4);
    for (stage, count) in counts.into_iter().enumerate() {
        let (stride, first, dilation) = dilations.stage(if stage == 0 { 1 } else { 2 });
        for at in 0..count {
            let shape = ConvShape {
                stride: if at == 0 { stride } else { 1 },
                dilation: if at == 0 { first } else { dilation },
                ..ConvShape::default()
            };
            let name = format!("encoder.layer{}.{at}", stage + 1);
            maps = residual(
                graph,
                &name,
                maps,
                STEM << stage,
                block,
                [
                    shape,
                    ConvShape {
                        stride: 1,
                        dilation,
                        ..shape
                    },
                ],
            )?;
        }
        values.push(maps);
    }
    Ok(levels(&values))
}

/// A residual block of `width` channels inside. `shape` is that of its 3x3 convolution, `second` that of the other, if it has two.
fn residual(
    graph: &mut GraphBuilder<'_>,
    name: &str,
    input: Value,
    width: usize,
    block: Block,
    [shape, second]: [ConvShape; 2],
) -> Result<Value, ModelError> {
    let linear = |shape: ConvShape| ConvShape {
        activation: Activation::None,
        ..shape
    };
    let mut at = 0;
    let mut layer = |graph: &mut GraphBuilder<'_>, maps: Value, outputs: usize, shape: ConvShape| {
        at += 1;
        let [conv, norm] = [format!("{name}.conv{at}"), format!("{name}.bn{at}")];
        graph.conv_norm([&conv, &norm], maps, outputs, shape)
    };
    let (maps, outputs) = match block {
        Block::Basic => {
            let maps = layer(graph, input, width, shape)?;
            (layer(graph, maps, width, linear(second))?, width)
        }
        Block::Bottleneck => {
            let maps = layer(graph, input, width, ConvShape::pointwise())?;
            let maps = layer(graph, maps, width, shape)?;
            (
                layer(graph, maps, 4 * width, linear(ConvShape::pointwise()))?,
                4 * width,
            )
        }
    };
    let mut shortcut = input;
    if shape.stride != 1 || input.channels != outputs {
        let [conv, norm] = [0, 1].map(|at| format!("{name}.downsample.{at}"));
        let shape = ConvShape {
            stride: shape.stride,
            ..linear(ConvShape::pointwise())
        };
        shortcut = graph.conv_norm([&conv, &norm], input, outputs, shape)?;
    }
    graph.add(maps, shortcut, Activation::Relu)
}
