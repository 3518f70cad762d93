use htl_models::graph::{Graph, Node, Operation, Value};
use htl_models::{ConvShape, GroupNorm};
use htl_ops::{Activation, Corners};

use crate::error::OnnxError;
use crate::weights::{Weights, floats};
use crate::writer::{Writer, float, integer, integers, word};

/// Writes the nodes of a network, and returns the name of each node's result. What has one number per channel is written as
/// maps of one pixel.
///
/// # Shapes
/// - `images`: the name of `[batch, channels, side, side]`, normalised, `side` a multiple of the graph's stride
pub(crate) fn write(writer: &mut Writer, graph: &Graph, images: &str, side: usize) -> Result<Vec<String>, OnnxError> {
    let mut results: Vec<String> = Vec::with_capacity(graph.nodes().len());
    for (at, node) in graph.nodes().iter().enumerate() {
        let inputs: Vec<&str> = node.inputs.iter().map(|input| results[*input].as_str()).collect();
        let written = Written {
            at,
            node,
            inputs: &inputs,
            images,
            side,
        };
        results.push(written.by(writer)?);
    }
    Ok(results)
}

/// A node, and what is known of its inputs.
struct Written<'a> {
    at: usize,
    node: &'a Node,
    inputs: &'a [&'a str],
    images: &'a str,
    side: usize,
}

impl Written<'_> {
    fn by(&self, writer: &mut Writer) -> Result<String, OnnxError> {
        Ok(match &self.node.operation {
            Operation::Images => self.images.to_owned(),
            Operation::ConvNorm(layer) => {
                let name = layer.names()[0];
                let conv = convolution(writer, name, self.input(0)?, layer.shape(), &Weights::folded(layer)?);
                activated(writer, &conv, layer.shape().activation)
            }
            Operation::DoubledConvNorm(layer) => {
                let name = layer.names()[0];
                let doubled = repeated(writer, &format!("{name}/doubled"), self.input(0)?, 2);
                let input = match self.inputs.get(1) {
                    Some(skip) => concatenated(writer, &format!("{name}/joined"), &[&doubled, skip]),
                    None => doubled,
                };
                let conv = convolution(writer, name, &input, layer.shape(), &Weights::folded(layer)?);
                activated(writer, &conv, layer.shape().activation)
            }
            Operation::Conv(layer) => convolution(
                writer,
                layer.name(),
                self.input(0)?,
                layer.shape(),
                &Weights::of(layer)?,
            ),
            Operation::GroupNorm(layer) => self.group_norm(writer, layer)?,
            Operation::Add(activation) => {
                let sum = writer.node(&self.name("add"), "Add", &[self.input(0)?, self.input(1)?], Vec::new());
                activated(writer, &sum, *activation)
            }
            Operation::MaxPool {
                kernel,
                stride,
                padding,
            } => {
                let attributes = vec![
                    integers("kernel_shape", &[*kernel; 2]),
                    integers("strides", &[*stride; 2]),
                    integers("pads", &[*padding; 4]),
                ];
                writer.node(&self.name("max_pool"), "MaxPool", &[self.input(0)?], attributes)
            }
            Operation::Concat => concatenated(writer, &self.name("concat"), self.inputs),
            Operation::Nearest { factor } => repeated(writer, &self.name("nearest"), self.input(0)?, *factor),
            Operation::Bilinear { factor, corners } => {
                let corners = match corners {
                    Corners::Aligned => "align_corners",
                    Corners::HalfPixel => "half_pixel",
                };
                let attributes = vec![word("mode", "linear"), word("coordinate_transformation_mode", corners)];
                resized(writer, &self.name("bilinear"), self.input(0)?, *factor, attributes)
            }
            Operation::Mean => writer.node(&self.name("mean"), "GlobalAveragePool", &[self.input(0)?], Vec::new()),
            // `Expand` says it as well, but tract 0.23 cannot simplify one in front of a convolution.
            Operation::Spread => repeated(writer, &self.name("spread"), self.input(0)?, self.sides()?),
            Operation::Gate => {
                let name = self.name("gate");
                let open = writer.node(&format!("{name}/open"), "Sigmoid", &[self.input(1)?], Vec::new());
                writer.node(&name, "Mul", &[self.input(0)?, &open], Vec::new())
            }
            Operation::Linear(layer) => convolution(
                writer,
                layer.name(),
                self.input(0)?,
                &ConvShape::pointwise(),
                &Weights::linear(layer)?,
            ),
            other => return Err(self.unknown(&format!("{other:?}"))),
        })
    }

    /// ONNX has group normalisation from opset 21 on. Before, it is the normalisation of the channels of another shape, whose
    /// channels are the groups.
    fn group_norm(&self, writer: &mut Writer, layer: &GroupNorm) -> Result<String, OnnxError> {
        let (name, groups) = (layer.name(), layer.groups());
        let (channels, side) = (self.node.value.channels, self.sides()?);
        let part = |part: &str| format!("{name}/{part}");
        // A 0 is a dimension that stays: the batch.
        let rows = writer.integers(&format!("shape/0x{groups}x-1"), &[0, groups as i64, -1]);
        let rows = writer.node(&part("groups"), "Reshape", &[self.input(0)?, &rows], Vec::new());
        let ones = writer.floats(&format!("ones/{groups}"), &[groups], &vec![1.0; groups]);
        let zeros = writer.floats(&format!("zeros/{groups}"), &[groups], &vec![0.0; groups]);
        let epsilon = vec![float("epsilon", layer.eps())];
        let rows = writer.node(
            &part("normalised"),
            "InstanceNormalization",
            &[&rows, &ones, &zeros],
            epsilon,
        );
        let shape = format!("shape/0x{channels}x{side}x{side}");
        let shape = writer.integers(&shape, &[0, channels as i64, side as i64, side as i64]);
        let maps = writer.node(&part("channels"), "Reshape", &[&rows, &shape], Vec::new());
        let [gamma, beta] = layer.affine();
        let gamma = writer.floats(&format!("{name}.weight"), &[channels, 1, 1], &floats(gamma)?);
        let beta = writer.floats(&format!("{name}.bias"), &[channels, 1, 1], &floats(beta)?);
        let scaled = writer.node(&part("scaled"), "Mul", &[&maps, &gamma], Vec::new());
        let shifted = writer.node(name, "Add", &[&scaled, &beta], Vec::new());
        Ok(activated(writer, &shifted, Activation::Relu))
    }

    /// A name for a node without parameters.
    fn name(&self, what: &str) -> String {
        format!("{what}_{}", self.at)
    }

    fn input(&self, at: usize) -> Result<&str, OnnxError> {
        let input = self.inputs.get(at).copied();
        input.ok_or_else(|| self.unknown(&format!("a node with {} inputs", self.inputs.len())))
    }

    /// Height, and width, of the node's maps.
    fn sides(&self) -> Result<usize, OnnxError> {
        match self.node.value.stride {
            Value::POINT => Err(self.unknown("a node of one number per channel where maps are needed")),
            stride => Ok(self.side / stride),
        }
    }

    fn unknown(&self, found: &str) -> OnnxError {
        OnnxError::Operation {
            found: format!("node {} of the network: {found}", self.at),
        }
    }
}

fn convolution(writer: &mut Writer, name: &str, input: &str, shape: &ConvShape, weights: &Weights) -> String {
    let weight = writer.floats(&format!("{name}.weight"), &weights.dims, &weights.weight);
    let bias = weights
        .bias
        .as_ref()
        .map(|bias| writer.floats(&format!("{name}.bias"), &[bias.len()], bias));
    let mut inputs = vec![input, weight.as_str()];
    inputs.extend(bias.as_deref());
    let [before, behind] = shape.pads();
    let attributes = vec![
        integers("kernel_shape", &[shape.kernel; 2]),
        integers("strides", &[shape.stride; 2]),
        integers("dilations", &[shape.dilation; 2]),
        integers("pads", &[before, before, behind, behind]),
        integer("group", shape.groups),
    ];
    writer.node(name, "Conv", &inputs, attributes)
}

fn activated(writer: &mut Writer, input: &str, activation: Activation) -> String {
    match activation {
        Activation::None => input.to_owned(),
        Activation::Relu => writer.node(&format!("{input}/relu"), "Relu", &[input], Vec::new()),
        Activation::Relu6 => {
            let bounds = [("0", 0.0), ("6", 6.0)].map(|(name, value)| writer.floats(name, &[], &[value]));
            let inputs = [input, &bounds[0], &bounds[1]];
            writer.node(&format!("{input}/relu6"), "Clip", &inputs, Vec::new())
        }
    }
}

fn concatenated(writer: &mut Writer, name: &str, inputs: &[&str]) -> String {
    writer.node(name, "Concat", inputs, vec![integer("axis", 1)])
}

/// Every pixel `factor` times along both axes.
fn repeated(writer: &mut Writer, name: &str, input: &str, factor: usize) -> String {
    let attributes = vec![
        word("mode", "nearest"),
        word("coordinate_transformation_mode", "asymmetric"),
        word("nearest_mode", "floor"),
    ];
    resized(writer, name, input, factor, attributes)
}

fn resized(
    writer: &mut Writer,
    name: &str,
    input: &str,
    factor: usize,
    attributes: Vec<crate::proto::AttributeProto>,
) -> String {
    let values = [1.0, 1.0, factor as f32, factor as f32];
    let scales = writer.floats(&format!("scales/{factor}"), &[4], &values);
    // Between them would be a region, which is the whole.
    writer.node(name, "Resize", &[input, "", &scales], attributes)
}
