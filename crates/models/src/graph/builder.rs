use std::collections::BTreeSet;

use htl_ops::{Activation, Corners};

use super::{Ends, Graph, Node, Operation, Value};
use crate::architecture::Channels;
use crate::error::ModelError;
use crate::layers::{Conv, ConvNorm, ConvShape, GroupNorm, Linear};
use crate::parameters::ParameterBuilder;

/// Puts a network together, node by node.
///
/// Layers are named by the full names of their parameters without `weight`, `bias` and so on; encoders begin theirs with
/// `encoder.`, decoders with `decoder.`, heads with `head`.
///
/// A network may be narrowed: then its layers have fewer channels than asked for, and the values that come back still have
/// those asked for, so that a row builds the same network whatever was taken out of it.
#[derive(Debug)]
pub struct GraphBuilder<'a> {
    parameters: &'a mut ParameterBuilder,
    nodes: Vec<Node>,
    /// Channels of layers that have fewer than asked for.
    narrowed: &'a Channels,
    /// Which of these were asked for.
    met: BTreeSet<&'a str>,
    /// Channels that the nodes' values really have.
    real: Vec<usize>,
}

impl<'a> GraphBuilder<'a> {
    pub(crate) fn new(parameters: &'a mut ParameterBuilder, narrowed: &'a Channels) -> Self {
        Self {
            parameters,
            nodes: Vec::new(),
            narrowed,
            met: BTreeSet::new(),
            real: Vec::new(),
        }
    }

    pub(crate) fn images(&mut self, channels: usize) -> Value {
        self.push(Operation::Images, &[], [channels; 2], 1)
    }

    /// # Errors
    /// [`ModelError::Parts`] if logits were narrowed; [`ModelError::Config`] for channels of a layer that is not there.
    pub(crate) fn finish(self, deepest: Value, ends: Ends) -> Result<Graph, ModelError> {
        if let Some((name, channels)) = self.narrowed.iter().find(|(name, _)| !self.met.contains(name.as_str())) {
            return Err(ModelError::Config {
                key: format!("channels.{name}").into(),
                expected: "left out: the network has no such layer, or it filters each of its inputs by itself".into(),
                found: channels.to_string(),
            });
        }
        let real = |value: Value| Value {
            channels: self.real[value.node],
            ..value
        };
        for end in [ends.pixels, ends.classes].into_iter().flatten() {
            if real(end) != end {
                return Err(ModelError::Parts {
                    problem: format!("{} of {} logits are left", self.real[end.node], end.channels),
                });
            }
        }
        let deepest = real(deepest);
        let nodes: Vec<Node> = self
            .nodes
            .into_iter()
            .zip(&self.real)
            .map(|(mut node, channels)| {
                node.value.channels = *channels;
                node
            })
            .collect();
        let strides = nodes.iter().map(|node| node.value.stride);
        Ok(Graph {
            stride: strides.filter(|stride| *stride != Value::POINT).max().unwrap_or(1),
            nodes,
            deepest,
            ends,
        })
    }

    /// `channels`: those asked for, and the real ones.
    fn push(&mut self, operation: Operation, inputs: &[Value], channels: [usize; 2], stride: usize) -> Value {
        let value = Value {
            node: self.nodes.len(),
            channels: channels[0],
            stride,
        };
        let inputs = inputs.iter().map(|input| input.node).collect();
        self.nodes.push(Node {
            operation,
            inputs,
            value,
        });
        self.real.push(channels[1]);
        value
    }

    /// The result of what keeps the first input's channels.
    fn push_alike(&mut self, operation: Operation, first: Value, second: Option<Value>, stride: usize) -> Value {
        let inputs: Vec<Value> = [Some(first), second].into_iter().flatten().collect();
        let channels = [first.channels, self.real[first.node]];
        self.push(operation, &inputs, channels, stride)
    }

    /// How many channels a layer gets that was asked for this many.
    fn outputs(&mut self, name: &str, asked: usize) -> Result<usize, ModelError> {
        let Some((name, &found)) = self.narrowed.get_key_value(name) else {
            return Ok(asked);
        };
        self.met.insert(name);
        if !(1..=asked).contains(&found) {
            return Err(ModelError::Config {
                key: format!("channels.{name}").into(),
                expected: format!("in 1..={asked}").into(),
                found: found.to_string(),
            });
        }
        Ok(found)
    }

    /// The real channels in and out of a convolution, and its shape with groups to match: one that filters every channel by
    /// itself goes on doing so.
    fn sized(
        &mut self,
        name: &str,
        inputs: &[Value],
        asked: usize,
        shape: ConvShape,
    ) -> Result<([usize; 2], ConvShape), ModelError> {
        let planned: usize = inputs.iter().map(|input| input.channels).sum();
        let real: usize = inputs.iter().map(|input| self.real[input.node]).sum();
        if shape.is_depthwise([planned, asked]) {
            return Ok(([real; 2], ConvShape { groups: real, ..shape }));
        }
        let outputs = self.outputs(name, asked)?;
        if !real.is_multiple_of(shape.groups) || !outputs.is_multiple_of(shape.groups) {
            return Err(ModelError::Parts {
                problem: format!(
                    "{name} convolves {} groups of {real} channels to {outputs}",
                    shape.groups
                ),
            });
        }
        Ok(([real, outputs], shape))
    }

    /// Checks that two values have the same real channels.
    fn alike(&self, a: Value, b: Value) -> Result<(), ModelError> {
        let channels = [a, b].map(|value| self.real[value.node]);
        match channels[0] == channels[1] {
            true => Ok(()),
            false => Err(ModelError::Parts {
                problem: format!(
                    "maps of {} and of {} channels are put together one by one",
                    channels[0], channels[1]
                ),
            }),
        }
    }

    /// Convolution to `outputs` channels without bias, batch normalisation, activation.
    ///
    /// # Errors
    /// Those of candle.
    pub fn conv_norm(
        &mut self,
        [conv, norm]: [&str; 2],
        input: Value,
        outputs: usize,
        shape: ConvShape,
    ) -> Result<Value, ModelError> {
        let (channels, shape) = self.sized(conv, &[input], outputs, shape)?;
        let layer = ConvNorm::named(self.parameters, [conv, norm], channels, shape)?;
        let stride = match input.stride {
            Value::POINT => Value::POINT,
            stride => stride * shape.stride,
        };
        Ok(self.push(Operation::ConvNorm(layer), &[input], [outputs, channels[1]], stride))
    }

    /// [`conv_norm`](Self::conv_norm) with stride 1, an odd kernel and ReLU, on `input` doubled and `skip` behind it.
    ///
    /// # Errors
    /// Those of candle; [`ModelError::Parts`] if `skip` is not twice as large.
    pub fn doubled_conv_norm(
        &mut self,
        names: [&str; 2],
        input: Value,
        skip: Option<Value>,
        outputs: usize,
    ) -> Result<Value, ModelError> {
        let stride = input.stride / 2;
        if let Some(skip) = skip
            && (skip.stride != stride || !input.stride.is_multiple_of(2))
        {
            return Err(ModelError::Parts {
                problem: format!(
                    "maps of stride {} cannot be doubled to those of stride {}",
                    input.stride, skip.stride
                ),
            });
        }
        let inputs: Vec<Value> = [Some(input), skip].into_iter().flatten().collect();
        let (channels, shape) = self.sized(names[0], &inputs, outputs, ConvShape::default())?;
        let layer = ConvNorm::named(self.parameters, names, channels, shape)?;
        Ok(self.push(
            Operation::DoubledConvNorm(layer),
            &inputs,
            [outputs, channels[1]],
            stride,
        ))
    }

    /// Convolution to `outputs` channels alone.
    ///
    /// # Errors
    /// Those of candle.
    pub fn conv(
        &mut self,
        name: &str,
        input: Value,
        outputs: usize,
        shape: ConvShape,
        bias: Bias,
    ) -> Result<Value, ModelError> {
        let (channels, shape) = self.sized(name, &[input], outputs, shape)?;
        let layer = Conv::new(self.parameters, name, channels, shape, bias)?;
        let stride = match input.stride {
            Value::POINT => Value::POINT,
            stride => stride * shape.stride,
        };
        Ok(self.push(Operation::Conv(layer), &[input], [outputs, channels[1]], stride))
    }

    /// Group normalisation (32 groups, or as many as go into the channels) and ReLU. Narrowed, it has fewer groups of the same
    /// size.
    ///
    /// # Errors
    /// Those of candle; [`ModelError::Parts`] if a group was narrowed.
    pub fn group_norm(&mut self, name: &str, input: Value) -> Result<Value, ModelError> {
        let size = input.channels / GroupNorm::most_groups(input.channels).max(1);
        let real = self.real[input.node];
        if !real.is_multiple_of(size) {
            return Err(ModelError::Parts {
                problem: format!("{real} channels are left for {name}, which normalises {size} at a time"),
            });
        }
        let layer = GroupNorm::new(self.parameters, name, real, real / size)?;
        Ok(self.push_alike(Operation::GroupNorm(layer), input, None, input.stride))
    }

    /// `activation(a + b)`, of maps of one shape.
    ///
    /// # Errors
    /// [`ModelError::Parts`] if they have different channels.
    pub fn add(&mut self, a: Value, b: Value, activation: Activation) -> Result<Value, ModelError> {
        self.alike(a, b)?;
        Ok(self.push_alike(Operation::Add(activation), a, Some(b), a.stride))
    }

    /// Maxima of windows.
    pub fn max_pool(&mut self, input: Value, kernel: usize, stride: usize, padding: usize) -> Value {
        let operation = Operation::MaxPool {
            kernel,
            stride,
            padding,
        };
        self.push_alike(operation, input, None, input.stride * stride)
    }

    /// Maps of one stride, one behind the other along the channels.
    pub fn concat(&mut self, inputs: &[Value]) -> Value {
        let channels = inputs.iter().map(|input| input.channels).sum();
        let real = inputs.iter().map(|input| self.real[input.node]).sum();
        let stride = inputs.first().map_or(1, |input| input.stride);
        self.push(Operation::Concat, inputs, [channels, real], stride)
    }

    /// Every pixel repeated `factor` times along both axes.
    pub fn nearest(&mut self, input: Value, factor: usize) -> Value {
        let stride = input.stride / factor;
        self.push_alike(Operation::Nearest { factor }, input, None, stride)
    }

    /// Linear interpolation to `factor` times the size.
    pub fn bilinear(&mut self, input: Value, factor: usize, corners: Corners) -> Value {
        let stride = input.stride / factor;
        let operation = Operation::Bilinear { factor, corners };
        self.push_alike(operation, input, None, stride)
    }

    /// The mean of every channel.
    pub fn mean(&mut self, input: Value) -> Value {
        self.push_alike(Operation::Mean, input, None, Value::POINT)
    }

    /// One number per channel, at every position of `like`.
    pub fn spread(&mut self, point: Value, like: Value) -> Value {
        self.push_alike(Operation::Spread, point, Some(like), like.stride)
    }

    /// `maps` times the sigmoid of one number per channel.
    ///
    /// # Errors
    /// [`ModelError::Parts`] if they have different channels.
    pub fn gate(&mut self, maps: Value, point: Value) -> Result<Value, ModelError> {
        self.alike(maps, point)?;
        Ok(self.push_alike(Operation::Gate, maps, Some(point), maps.stride))
    }

    /// A linear layer on one number per channel.
    ///
    /// # Errors
    /// Those of candle.
    pub fn linear(&mut self, name: &str, point: Value, outputs: usize) -> Result<Value, ModelError> {
        let real = self.outputs(name, outputs)?;
        let layer = Linear::new(self.parameters, name, self.real[point.node], real)?;
        Ok(self.push(Operation::Linear(layer), &[point], [outputs, real], Value::POINT))
    }
}

/// Whether a convolution adds a number to every output channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// It does.
    Added,
    /// It does not: a normalisation follows, or another convolution.
    Absent,
}
