//! The operations on a device with kernels of its own.
//!
//! Forward passes run at once; what stands in candle's graph only orders the backward pass.

use std::sync::{Arc, Mutex};

use candle_core::{Result, Tensor};

use super::map::poisoned;
use super::node::Node;
use super::{Features, Held};
use crate::conv::Geometry;
use crate::gpu::{self, Affine, Block, Convolution, Gradients, Map, Normalised, Shape};
use crate::norm::{Activation, BatchStatistics};
use crate::pool::{Kind, Window};
use crate::portable::graph::attach;
use crate::{OpsError, Precision};

fn features(node: Tensor, map: Map) -> Features {
    Features {
        node,
        dims: map.dims,
        held: Held::Device(map),
    }
}

/// A tensor as features on its device, and their maps; nothing for one that is on a device without kernels.
pub(crate) fn enter(
    op: &'static str,
    argument: &'static str,
    x: &Tensor,
    precision: Precision,
) -> std::result::Result<Option<(Features, Map)>, OpsError> {
    let dims = crate::real::dims4(op, argument, x)?;
    let Some(engine) = gpu::engine_of(x)? else {
        return Ok(None);
    };
    let x = x.contiguous()?;
    let map = Map::of(&x.detach(), engine, precision, dims)?;
    let entered = map.clone();
    let node = if x.track_op() {
        x.apply_op1(Node::<f32, 1, _>::new("htl-enter", move |[x]| {
            let gradient = entered.beside(entered.dims, entered.take_gradient()?);
            Ok([Some(gradient.to_tensor()?.reshape(x.shape())?)])
        }))?
    } else {
        map.engine.token()
    };
    Ok(Some((features(node, map.clone()), map)))
}

/// The maps as a tensor `[batch, channels, height, width]` in f32.
pub(super) fn into_tensor(node: &Tensor, map: Map) -> Result<Tensor> {
    attach("htl-leave", &[node], map.to_tensor()?, move |_, grad| {
        map.add_tensor_gradient(grad)?;
        Ok(vec![Some(map.engine.token())])
    })
}

pub(super) fn conv_norm(
    x: &Features,
    map: &Map,
    geometry: &Geometry,
    weight: &Tensor,
    affine: &Affine<'_>,
) -> Result<(Features, Option<BatchStatistics>)> {
    let weight = weight.contiguous()?;
    let (block, out, statistics) = Block::forward(map, &weight.detach(), Shape::of(geometry)?, affine)?;
    let wanted = [x.is_tracked(), weight.track_op()];
    // Three inputs at most: the affine's and the features' gradients wait for their own node.
    let gradients = Arc::new(Mutex::new(None::<Gradients>));
    let (waiting, input) = (gradients.clone(), map.clone());
    let node = x.node.apply_op3(
        affine.gamma,
        affine.beta,
        Node::<f32, 3, _>::new("htl-affine", move |[_, gamma, beta]| {
            let Some(found) = waiting.lock().map_err(poisoned)?.take() else {
                return Ok([None, None, None]);
            };
            Ok([
                input.receive(found.input)?,
                gamma.track_op().then_some(found.gamma),
                beta.track_op().then_some(found.beta),
            ])
        }),
    )?;
    let (input, result) = (map.clone(), out.clone());
    let node = node.apply_op2(
        &weight,
        Node::<f32, 2, _>::new("htl-conv-norm", move |[_, weight]| {
            let mut found = block.backward(&input, weight, &result.take_gradient()?, wanted)?;
            let weight = found.weight.take();
            *gradients.lock().map_err(poisoned)? = Some(found);
            Ok([Some(result.engine.token()), weight])
        }),
    )?;
    Ok((features(node, out), statistics))
}

/// Batch normalisation and activation.
pub(crate) fn norm(x: &Features, map: &Map, affine: &Affine<'_>) -> Result<(Features, Option<BatchStatistics>)> {
    let (normalised, out, statistics) = Normalised::forward(map.clone(), affine)?;
    let (tracked, input, result) = (x.is_tracked(), map.clone(), out.clone());
    let backward = move |[_, gamma, beta]: [&Tensor; 3]| {
        let grad = result.take_gradient()?;
        let [dgamma, dbeta] = normalised.backward(&grad)?;
        Ok([
            input.receive(tracked.then_some(grad))?,
            gamma.track_op().then_some(dgamma),
            beta.track_op().then_some(dbeta),
        ])
    };
    let node = Node::<f32, 3, _>::new("htl-batch-norm", backward);
    let node = x.node.apply_op3(affine.gamma, affine.beta, node)?;
    Ok((features(node, out), statistics))
}

pub(super) fn conv(
    x: &Features,
    map: &Map,
    geometry: &Geometry,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Features> {
    let weight = weight.contiguous()?;
    let convolution = Convolution::new(map, &weight.detach(), Shape::of(geometry)?)?;
    let out = map.beside(geometry.out_dims(), convolution.forward(map)?);
    let (tracked, input) = (x.is_tracked(), map.clone());
    let backward = move |weight: &Tensor, grad: &Map| {
        let dy = &grad.values;
        let dx = tracked.then(|| convolution.backward_input(&input, dy)).transpose()?;
        let dw = weight
            .track_op()
            .then(|| convolution.backward_weight(&input, dy, weight));
        Ok((input.receive(dx)?, dw.transpose()?))
    };
    weighed("htl-conv", x, &weight, bias, out, backward)
}

/// A transposed convolution: `geometry` is that of the convolution whose input gradient it is.
pub(crate) fn conv_transpose(
    x: &Features,
    map: &Map,
    geometry: &Geometry,
    weight: &Tensor,
    bias: Option<&Tensor>,
) -> Result<Features> {
    let weight = weight.contiguous()?;
    let dims = [geometry.batch, geometry.cin, geometry.h, geometry.w];
    let convolution = Convolution::new(map, &weight.detach(), Shape::of(geometry)?)?;
    let out = map.beside(dims, convolution.backward_input(map, &map.values)?);
    let (tracked, input) = (x.is_tracked(), map.clone());
    let backward = move |weight: &Tensor, grad: &Map| {
        let dx = tracked.then(|| convolution.forward(grad)).transpose()?;
        let dw = weight
            .track_op()
            .then(|| convolution.backward_weight(grad, &input.values, weight));
        Ok((input.receive(dx)?, dw.transpose()?))
    };
    weighed("htl-conv-transpose", x, &weight, bias, out, backward)
}

/// The node of a convolution: adds the bias, if there is one, to `out`, and its gradient to what `backward` gives for the
/// input and the weight.
fn weighed(
    name: &'static str,
    x: &Features,
    weight: &Tensor,
    bias: Option<&Tensor>,
    out: Map,
    backward: impl Fn(&Tensor, &Map) -> Result<(Option<Tensor>, Option<Tensor>)> + Send + Sync + 'static,
) -> Result<Features> {
    let result = out.clone();
    let gradient = move || Ok::<_, candle_core::Error>(result.beside(result.dims, result.take_gradient()?));
    let Some(bias) = bias else {
        let node = Node::<f32, 2, _>::new(name, move |[_, weight]| {
            let (token, dw) = backward(weight, &gradient()?)?;
            Ok([token, dw])
        });
        return Ok(features(x.node.apply_op2(weight, node)?, out));
    };
    let bias = bias.contiguous()?;
    gpu::add_bias(&out, &bias.detach())?;
    let node = Node::<f32, 3, _>::new(name, move |[_, weight, bias]| {
        let grad = gradient()?;
        let (token, dw) = backward(weight, &grad)?;
        let db = bias
            .track_op()
            .then(|| gpu::backward_bias(&grad, &grad.values))
            .transpose()?;
        Ok([token, dw, db])
    });
    Ok(features(x.node.apply_op3(weight, &bias, node)?, out))
}

/// The low map doubled, alone.
pub(crate) fn double(x: &Features, low: &Map) -> Result<(Features, Map)> {
    let doubled = gpu::join(low, None)?;
    let (a, result) = (low.clone(), doubled.clone());
    let node = x.node.apply_op1(Node::<f32, 1, _>::new("htl-upsample", move |_| {
        let low = gpu::join_backward_low(&a, None, &result.take_gradient()?)?;
        Ok([a.receive(Some(low))?])
    }))?;
    Ok((features(node, doubled.clone()), doubled))
}

/// The low map doubled beside the skip connection.
pub(crate) fn join([x, skip]: [&Features; 2], [low, high]: [&Map; 2]) -> Result<(Features, Map)> {
    let joined = gpu::join(low, Some(high))?;
    let tracked = [x.is_tracked(), skip.is_tracked()];
    let (a, b, result) = (low.clone(), high.clone(), joined.clone());
    let node = x.node.apply_op2(
        &skip.node,
        Node::<f32, 2, _>::new("htl-upsample-concat", move |_| {
            let grad = result.take_gradient()?;
            let low = tracked[0]
                .then(|| gpu::join_backward_low(&a, Some(&b), &grad))
                .transpose()?;
            let high = tracked[1].then(|| gpu::join_backward_skip(&a, &b, &grad)).transpose()?;
            Ok([a.receive(low)?, b.receive(high)?])
        }),
    )?;
    Ok((features(node, joined.clone()), joined))
}

pub(crate) fn pool(kind: Kind, x: &Features, map: &Map, window: Window) -> Result<Features> {
    let out = gpu::pool(kind, map, &window)?;
    let (input, result) = (map.clone(), out.clone());
    let node = x.node.apply_op1(Node::<f32, 1, _>::new("htl-pool2d", move |_| {
        let dx = gpu::pool_backward(kind, &input, &window, &result.take_gradient()?)?;
        Ok([input.receive(Some(dx))?])
    }))?;
    Ok(features(node, out))
}

pub(super) fn add([x, y]: [&Features; 2], [a, b]: [&Map; 2], activation: Activation) -> Result<Features> {
    let out = a.plus(b, activation)?;
    let tracked = [x.is_tracked(), y.is_tracked()];
    let (a, b, result) = (a.clone(), b.clone(), out.clone());
    let node = x.node.apply_op2(
        &y.node,
        Node::<f32, 2, _>::new("htl-add", move |_| {
            let grad = result.take_gradient()?;
            result.pass(&grad, activation)?;
            // Gradients are written over: each holder needs its own.
            let copy = (tracked == [true; 2]).then(|| grad.copy()).transpose()?;
            let second = if tracked[0] { copy } else { Some(grad.clone()) };
            Ok([
                a.receive(tracked[0].then_some(grad))?,
                b.receive(if tracked[1] { second } else { None })?,
            ])
        }),
    )?;
    Ok(features(node, out))
}

impl Features {
    /// The maps on a device with kernels of its own.
    pub(super) fn device(&self) -> Option<&Map> {
        match &self.held {
            Held::Device(map) => Some(map),
            _ => None,
        }
    }

    /// Both maps on a device, if the first is.
    pub(super) fn both_on_device<'a>(&'a self, op: &'static str, other: &'a Self) -> Result<Option<[&'a Map; 2]>> {
        match (self.device(), other.device()) {
            (None, None) => Ok(None),
            (Some(a), Some(b)) if a.precision == b.precision => Ok(Some([a, b])),
            _ => Err(candle_core::Error::Msg(format!("{op}: the two features differ in device or precision")).bt()),
        }
    }
}
