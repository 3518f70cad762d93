use htl_ops::{Activation, Corners};

use super::{Ends, Graph, Node, Operation, Value};
use crate::error::ModelError;
use crate::layers::{Conv, ConvNorm, ConvShape, GroupNorm, Linear};
use crate::parameters::ParameterBuilder;

/// Puts a network together, node by node.
///
/// Layers are named by the full names of their parameters without `weight`, `bias` and so on; encoders begin theirs with
/// `encoder.`, decoders with `decoder.`, heads with `head`.
#[derive(Debug)]
pub struct GraphBuilder<'a> {
    parameters: &'a mut ParameterBuilder,
    nodes: Vec<Node>,
}

impl<'a> GraphBuilder<'a> {
    pub(crate) fn new(parameters: &'a mut ParameterBuilder) -> Self {
        Self {
            parameters,
            nodes: Vec::new(),
        }
    }

    pub(crate) fn images(&mut self, channels: usize) -> Value {
        self.push(Operation::Images, &[], channels, 1)
    }

    pub(crate) fn finish(self, deepest: Value, ends: Ends) -> Graph {
        let strides = self.nodes.iter().map(|node| node.value.stride);
        Graph {
            stride: strides.filter(|stride| *stride != Value::POINT).max().unwrap_or(1),
            nodes: self.nodes,
            deepest,
            ends,
        }
    }

    fn push(&mut self, operation: Operation, inputs: &[Value], channels: usize, stride: usize) -> Value {
        let value = Value {
            node: self.nodes.len(),
            channels,
            stride,
        };
        let inputs = inputs.iter().map(|input| input.node).collect();
        self.nodes.push(Node {
            operation,
            inputs,
            value,
        });
        value
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
        let layer = ConvNorm::named(self.parameters, [conv, norm], [input.channels, outputs], shape)?;
        let stride = match input.stride {
            Value::POINT => Value::POINT,
            stride => stride * shape.stride,
        };
        Ok(self.push(Operation::ConvNorm(layer), &[input], outputs, stride))
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
        let channels = input.channels + skip.map_or(0, |skip| skip.channels);
        let layer = ConvNorm::named(self.parameters, names, [channels, outputs], ConvShape::default())?;
        let inputs: Vec<Value> = [Some(input), skip].into_iter().flatten().collect();
        Ok(self.push(Operation::DoubledConvNorm(layer), &inputs, outputs, stride))
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
        let layer = Conv::new(self.parameters, name, [input.channels, outputs], shape, bias)?;
        let stride = match input.stride {
            Value::POINT => Value::POINT,
            stride => stride * shape.stride,
        };
        Ok(self.push(Operation::Conv(layer), &[input], outputs, stride))
    }

    /// Group normalisation (32 groups, or as many as go into the channels) and ReLU.
    ///
    /// # Errors
    /// Those of candle.
    pub fn group_norm(&mut self, name: &str, input: Value) -> Result<Value, ModelError> {
        let layer = GroupNorm::new(self.parameters, name, input.channels)?;
        Ok(self.push(Operation::GroupNorm(layer), &[input], input.channels, input.stride))
    }

    /// `activation(a + b)`, of maps of one shape.
    pub fn add(&mut self, a: Value, b: Value, activation: Activation) -> Value {
        self.push(Operation::Add(activation), &[a, b], a.channels, a.stride)
    }

    /// Maxima of windows.
    pub fn max_pool(&mut self, input: Value, kernel: usize, stride: usize, padding: usize) -> Value {
        let operation = Operation::MaxPool {
            kernel,
            stride,
            padding,
        };
        self.push(operation, &[input], input.channels, input.stride * stride)
    }

    /// Maps of one stride, one behind the other along the channels.
    pub fn concat(&mut self, inputs: &[Value]) -> Value {
        let channels = inputs.iter().map(|input| input.channels).sum();
        let stride = inputs.first().map_or(1, |input| input.stride);
        self.push(Operation::Concat, inputs, channels, stride)
    }

    /// Every pixel repeated `factor` times along both axes.
    pub fn nearest(&mut self, input: Value, factor: usize) -> Value {
        let stride = input.stride / factor;
        self.push(Operation::Nearest { factor }, &[input], input.channels, stride)
    }

    /// Linear interpolation to `factor` times the size.
    pub fn bilinear(&mut self, input: Value, factor: usize, corners: Corners) -> Value {
        let stride = input.stride / factor;
        let operation = Operation::Bilinear { factor, corners };
        self.push(operation, &[input], input.channels, stride)
    }

    /// The mean of every channel.
    pub fn mean(&mut self, input: Value) -> Value {
        self.push(Operation::Mean, &[input], input.channels, Value::POINT)
    }

    /// One number per channel, at every position of `like`.
    pub fn spread(&mut self, point: Value, like: Value) -> Value {
        self.push(Operation::Spread, &[point, like], point.channels, like.stride)
    }

    /// `maps` times the sigmoid of one number per channel.
    pub fn gate(&mut self, maps: Value, point: Value) -> Value {
        self.push(Operation::Gate, &[maps, point], maps.channels, maps.stride)
    }

    /// A linear layer on one number per channel.
    ///
    /// # Errors
    /// Those of candle.
    pub fn linear(&mut self, name: &str, point: Value, outputs: usize) -> Result<Value, ModelError> {
        let layer = Linear::new(self.parameters, name, point.channels, outputs)?;
        Ok(self.push(Operation::Linear(layer), &[point], outputs, Value::POINT))
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
