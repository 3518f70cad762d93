use candle_core::Tensor;
use htl_ops::{Features, Precision};

use super::{Graph, Operation, Value};
use crate::error::ModelError;
use crate::layers::Mode;

/// What a node gave.
#[derive(Clone)]
enum Flow {
    Maps(Features),
    /// One number per channel, `[batch, channels]`.
    Points(Tensor),
}

/// How a pass is made.
#[derive(Clone, Copy)]
pub(crate) struct Pass {
    pub mode: Mode,
    pub precision: Precision,
}

impl Graph {
    /// The values of some nodes, as tensors, computing only what they need and holding it no longer than that; maps that are
    /// `given` are not computed.
    ///
    /// # Shapes
    /// - `images`: `[batch, channels, height, width]`, height and width multiples of [`stride`](Self::stride)
    /// - results: maps `[batch, channels, height / stride, width / stride]`, points `[batch, channels]`
    pub(crate) fn run(
        &self,
        images: &Tensor,
        given: Option<(Value, &Tensor)>,
        wanted: &[Value],
        pass: Pass,
    ) -> Result<Vec<Tensor>, ModelError> {
        let given = |at: usize| given.filter(|(value, _)| value.node() == at).map(|(_, maps)| maps);
        let mut uses = vec![0usize; self.nodes().len()];
        wanted.iter().for_each(|value| uses[value.node()] += 1);
        for (at, node) in self.nodes().iter().enumerate().rev() {
            if uses[at] > 0 && given(at).is_none() {
                node.inputs.iter().for_each(|input| uses[*input] += 1);
            }
        }
        let mut held: Vec<Option<Flow>> = Vec::with_capacity(self.nodes().len());
        for (at, node) in self.nodes().iter().enumerate() {
            if uses[at] == 0 {
                held.push(None);
                continue;
            }
            if let Some(maps) = given(at) {
                held.push(Some(Flow::Maps(maps_of(maps, pass)?)));
                continue;
            }
            let mut inputs = Vec::with_capacity(node.inputs.len());
            for &input in &node.inputs {
                uses[input] -= 1;
                // The last to need a value gets it whole.
                let flow = if uses[input] == 0 {
                    held[input].take()
                } else {
                    held[input].clone()
                };
                inputs.push(flow.ok_or_else(|| lost(input))?);
            }
            held.push(Some(compute(&node.operation, inputs, images, pass)?));
        }
        wanted
            .iter()
            .map(|value| {
                let at = value.node();
                uses[at] -= 1;
                let flow = if uses[at] == 0 {
                    held[at].take()
                } else {
                    held[at].clone()
                };
                flow.ok_or_else(|| lost(at))?.into_tensor()
            })
            .collect()
    }
}

fn lost(node: usize) -> ModelError {
    ModelError::Parts {
        problem: format!("node {node} of the graph comes after one that needs it"),
    }
}

impl Flow {
    fn into_tensor(self) -> Result<Tensor, ModelError> {
        match self {
            Self::Maps(features) => Ok(features.into_tensor()?),
            Self::Points(tensor) => Ok(tensor),
        }
    }

    /// Points are maps of one pixel.
    fn into_maps(self, pass: Pass) -> Result<Features, ModelError> {
        match self {
            Self::Maps(features) => Ok(features),
            Self::Points(tensor) => {
                let (batch, channels) = tensor.dims2()?;
                maps_of(&tensor.reshape((batch, channels, 1, 1))?, pass)
            }
        }
    }

    fn into_points(self) -> Result<Tensor, ModelError> {
        match self {
            Self::Maps(features) => Ok(features.into_tensor()?.flatten_from(1)?),
            Self::Points(tensor) => Ok(tensor),
        }
    }
}

/// Maps of one pixel as points, if points were what came in.
fn like(point: bool, maps: Features) -> Result<Flow, ModelError> {
    match point {
        true => Ok(Flow::Points(maps.into_tensor()?.flatten_from(1)?)),
        false => Ok(Flow::Maps(maps)),
    }
}

fn maps_of(tensor: &Tensor, pass: Pass) -> Result<Features, ModelError> {
    Ok(Features::with_precision(tensor, pass.precision)?)
}

fn compute(operation: &Operation, inputs: Vec<Flow>, images: &Tensor, pass: Pass) -> Result<Flow, ModelError> {
    let mode = pass.mode;
    let mut inputs = inputs.into_iter();
    let mut next = || {
        inputs.next().ok_or_else(|| ModelError::Parts {
            problem: "a node of the graph has fewer inputs than it needs".into(),
        })
    };
    Ok(match operation {
        Operation::Images => Flow::Maps(maps_of(&mode.input(images), pass)?),
        Operation::ConvNorm(layer) => {
            let input = next()?;
            let point = matches!(input, Flow::Points(_));
            like(point, layer.forward(&input.into_maps(pass)?, mode)?)?
        }
        Operation::DoubledConvNorm(layer) => {
            let input = next()?.into_maps(pass)?;
            let skip = next().ok().map(|skip| skip.into_maps(pass)).transpose()?;
            Flow::Maps(layer.forward_doubled(&input, skip.as_ref(), mode)?)
        }
        Operation::Conv(layer) => {
            let input = next()?;
            let point = matches!(input, Flow::Points(_));
            like(point, layer.forward(&input.into_maps(pass)?, mode)?)?
        }
        Operation::GroupNorm(layer) => {
            let maps = layer.forward(&next()?.into_tensor()?, mode)?;
            Flow::Maps(maps_of(&maps, pass)?)
        }
        Operation::Add(activation) => {
            let (a, b) = (next()?.into_maps(pass)?, next()?.into_maps(pass)?);
            Flow::Maps(a.add_activated(&b, *activation)?)
        }
        Operation::MaxPool {
            kernel,
            stride,
            padding,
        } => Flow::Maps(next()?.into_maps(pass)?.max_pool(*kernel, *stride, *padding)?),
        Operation::Concat => {
            let parts: Vec<Tensor> = inputs.map(Flow::into_tensor).collect::<Result<_, _>>()?;
            Flow::Maps(maps_of(&Tensor::cat(&parts, 1)?, pass)?)
        }
        Operation::Nearest { factor } => {
            let maps = next()?.into_tensor()?;
            let (_, _, height, width) = maps.dims4()?;
            let size = (height * factor, width * factor);
            Flow::Maps(maps_of(&htl_ops::upsample_nearest2d(&maps, size)?, pass)?)
        }
        Operation::Bilinear { factor, corners } => {
            let maps = next()?.into_tensor()?;
            let (_, _, height, width) = maps.dims4()?;
            let size = (height * factor, width * factor);
            Flow::Maps(maps_of(&htl_ops::upsample_bilinear2d(&maps, size, *corners)?, pass)?)
        }
        Operation::Mean => Flow::Points(htl_ops::global_avg_pool2d(&next()?.into_tensor()?)?),
        Operation::Spread => {
            let point = next()?.into_points()?;
            let Flow::Maps(like) = next()? else {
                return Err(ModelError::Parts {
                    problem: "points can only be spread over maps".into(),
                });
            };
            let [batch, _, height, width] = like.dims();
            let channels = point.dims2()?.1;
            let spread = point
                .reshape((batch, channels, 1, 1))?
                .broadcast_as((batch, channels, height, width))?
                .contiguous()?;
            Flow::Maps(maps_of(&spread, pass)?)
        }
        Operation::Gate => {
            let maps = next()?.into_tensor()?;
            let point = next()?.into_points()?;
            let (batch, channels) = point.dims2()?;
            let open = point.neg()?.exp()?.affine(1.0, 1.0)?.recip()?;
            let gated = maps.broadcast_mul(&open.reshape((batch, channels, 1, 1))?)?;
            Flow::Maps(maps_of(&gated, pass)?)
        }
        Operation::Linear(layer) => Flow::Points(layer.forward(&next()?.into_points()?, mode)?),
    })
}
