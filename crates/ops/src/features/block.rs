//! Convolution, batch normalisation and activation as one operation.

use candle_core::Tensor;

use super::Features;
use super::map::{Map, Values};
use super::node::Node;
use crate::OpsError;
use crate::buffer::Buffer;
use crate::conv::{self, Conv2dParams, Geometry};
use crate::gpu::Affine;
use crate::norm::{self, Activation, Backward, BatchStatistics, Norm, Saved, Source, check_affine};
use crate::portable;
use crate::real::{Reading, Real, by_dtype, check_shape, dims4};

/// Convolution without bias, batch normalisation and activation.
///
/// One operation instead of three: fewer passes over memory, forward and backward. In a network of several, chain them
/// with [`Features`].
///
/// # Shapes
/// - `x`: `[batch, in_channels, height, width]`, `f32` or `f64`
/// - `weight`: `[out_channels, in_channels / groups, kernel_height, kernel_width]`
/// - `gamma`, `beta`: `[out_channels]`
/// - result: that of [`conv2d`](crate::conv2d); with [`Norm::Batch`] also the batch's mean and unbiased variance
///
/// # Errors
/// [`OpsError`] naming the shapes if they do not fit, or if anything is empty.
///
/// Matches `conv2d`, `batch_norm` and `relu` or `relu6` of PyTorch.
pub fn conv_norm(
    x: &Tensor,
    weight: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    norm: &Norm,
    params: Conv2dParams,
    activation: Activation,
) -> Result<(Tensor, Option<BatchStatistics>), OpsError> {
    let x = Features::named("conv_norm", "x", x)?;
    let (maps, statistics) = x.conv_norm(weight, gamma, beta, norm, params, activation)?;
    Ok((maps.into_tensor()?, statistics))
}

/// [`conv_norm`] with stride 1, the padding that keeps the size, and ReLU.
///
/// # Shapes
/// - `x`: `[batch, in_channels, height, width]`, `f32` or `f64`
/// - `weight`: `[out_channels, in_channels, k, k]`, k odd
/// - `gamma`, `beta`: `[out_channels]`
/// - result: `[batch, out_channels, height, width]`; with [`Norm::Batch`] also the batch's mean and unbiased variance
///
/// # Errors
/// [`OpsError`] naming the shapes if they do not fit, for even or non-square kernels, or if anything is empty.
///
/// Matches `conv2d(padding=k // 2)`, `batch_norm`, `relu` of PyTorch.
pub fn conv_norm_relu(
    x: &Tensor,
    weight: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    norm: &Norm,
) -> Result<(Tensor, Option<BatchStatistics>), OpsError> {
    const OP: &str = "conv_norm_relu";
    let params = same_padding(OP, dims4(OP, "weight", weight)?)?;
    let x = Features::named(OP, "x", x)?;
    let (maps, statistics) = x.conv_norm(weight, gamma, beta, norm, params, Activation::Relu)?;
    Ok((maps.into_tensor()?, statistics))
}

/// Stride 1 and the padding that keeps the size.
pub(super) fn same_padding(op: &'static str, [_, _, kh, kw]: [usize; 4]) -> Result<Conv2dParams, OpsError> {
    if kh == kw && kh % 2 == 1 {
        return Ok(Conv2dParams::same(kh));
    }
    Err(OpsError::Parameter {
        op,
        parameter: "kernel",
        requirement: "odd and square",
        found: format!("{kh} x {kw}"),
    })
}

impl Features {
    /// [`conv_norm`] of these maps.
    ///
    /// # Errors
    /// As [`conv_norm`].
    pub fn conv_norm(
        &self,
        weight: &Tensor,
        gamma: &Tensor,
        beta: &Tensor,
        norm: &Norm,
        params: Conv2dParams,
        activation: Activation,
    ) -> Result<(Self, Option<BatchStatistics>), OpsError> {
        const OP: &str = "conv_norm";
        let geometry = Geometry::new(OP, self.dims(), dims4(OP, "weight", weight)?, params)?;
        check_shape(OP, "weight", weight, weight.dims(), self.like())?;
        check_affine(OP, gamma, beta, geometry.cout, self.like())?;
        if let Some(map) = self.device() {
            Source::check(OP, norm, geometry.cout, self.like())?;
            let affine = Affine {
                gamma,
                beta,
                norm,
                activation,
            };
            return Ok(super::device::conv_norm(self, map, &geometry, weight, &affine)?);
        }
        if let Some(x) = self.composed() {
            Source::check(OP, norm, geometry.cout, x)?;
            let y = portable::conv::conv2d(geometry, x, weight, None)?;
            let (y, statistics) = portable::norm::batch_norm(&y, gamma, beta, norm, activation)?;
            return Ok((Self::compose(y, geometry.out_dims()), statistics));
        }
        // Two in one: an operation takes three inputs.
        let affine = Tensor::stack(&[gamma, beta], 0)?;
        let source = Source::of(OP, norm, geometry.cout, self.like())?;
        let weight = weight.contiguous()?;
        Ok(by_dtype!(self.dtype(), OP, T => {
            let x = self.map::<T>()?;
            let (block, out) = {
                let (reading, values) = (Reading::of(&weight), x.values.read());
                let (w, input) = (reading.get::<T>()?, values.get()?);
                Block::forward(geometry, &source, activation, Reading::of(&affine).get()?, |y| {
                    conv::forward(&geometry, input, w, y);
                })
            };
            let statistics = block.statistics(&weight)?;
            let map = Map::new(Values::Own(out));
            let tracked = [self.is_tracked(), weight.track_op(), affine.track_op()];
            let slot = map.slot.clone();
            let node = self.node.apply_op3(&weight, &affine, Node::<T, 3, _>::new("htl-conv-norm", move |[node, w, a]| {
                let grad = slot.take()?;
                let (values, ws, affine) = (x.values.read(), Reading::of(w), Reading::of(a));
                let (g, values, ws, grad) = (&block.geometry, values.get()?, ws.get()?, grad.read());
                let (affine, grad) = (affine.get()?, grad.get()?);
                let back = block.backward(affine, grad);
                let (mut dx, mut dw) = (None, None);
                if tracked[0] || tracked[1] {
                    let dy = block.convolved(&back, grad);
                    if tracked[0] {
                        let mut out = Buffer::stale(g.x_len());
                        conv::backward_input(g, &dy, ws, &mut out);
                        dx = Some(out);
                    }
                    if tracked[1] {
                        let mut out = vec![T::default(); g.w_len()];
                        conv::backward_weight(g, values, &dy, &mut out);
                        dw = Some(out);
                    }
                }
                let affine = [back.dgamma, back.dbeta].concat();
                Ok([x.receive(dx, node)?, like(dw, w)?, like(tracked[2].then_some(affine), a)?])
            }))?;
            Ok((Self::new(node, geometry.out_dims(), map), statistics))
        })?)
    }

    /// [`conv2d`](crate::conv2d) of these maps.
    ///
    /// # Errors
    /// As [`conv2d`](crate::conv2d).
    pub fn conv(&self, weight: &Tensor, bias: Option<&Tensor>, params: Conv2dParams) -> Result<Self, OpsError> {
        const OP: &str = "conv2d";
        let geometry = Geometry::new(OP, self.dims(), dims4(OP, "weight", weight)?, params)?;
        check_shape(OP, "weight", weight, weight.dims(), self.like())?;
        if let Some(bias) = bias {
            check_shape(OP, "bias", bias, &[geometry.cout], self.like())?;
        }
        if let Some(map) = self.device() {
            return Ok(super::device::conv(self, map, &geometry, weight, bias)?);
        }
        if let Some(x) = self.composed() {
            let y = portable::conv::conv2d(geometry, x, weight, bias)?;
            return Ok(Self::compose(y, geometry.out_dims()));
        }
        let weight = weight.contiguous()?;
        let bias = match bias {
            Some(bias) => bias.contiguous()?,
            None => Tensor::zeros(geometry.cout, self.dtype(), weight.device())?,
        };
        Ok(by_dtype!(self.dtype(), OP, T => {
            let x = self.map::<T>()?;
            let mut out = Buffer::stale(geometry.y_len());
            conv::forward::<T>(&geometry, x.values.read().get()?, Reading::of(&weight).get()?, &mut out);
            conv::add_bias::<T>(&mut out, geometry.oh * geometry.ow, Reading::of(&bias).get()?);
            let map = Map::new(Values::Own(out));
            let (slot, tracked) = (map.slot.clone(), self.is_tracked());
            let node = self.node.apply_op3(&weight, &bias, Node::<T, 3, _>::new("htl-conv", move |[node, w, b]| {
                let g = &geometry;
                let grad = slot.take()?;
                let grad = grad.read();
                let grad = grad.get()?;
                let mut dx = tracked.then(|| Buffer::stale(g.x_len()));
                if let Some(dx) = &mut dx {
                    conv::backward_input::<T>(g, grad, Reading::of(w).get()?, dx);
                }
                let mut dw = w.track_op().then(|| vec![T::default(); g.w_len()]);
                if let Some(dw) = &mut dw {
                    conv::backward_weight::<T>(g, x.values.read().get()?, grad, dw);
                }
                let db = b.track_op().then(|| conv::backward_bias::<T>(grad, g.oh * g.ow, g.cout));
                Ok([x.receive(dx, node)?, like(dw, w)?, like(db, b)?])
            }))?;
            Ok(Self::new(node, geometry.out_dims(), map))
        })?)
    }
}

/// What one block computes and keeps, whatever its inputs come from.
pub(super) struct Block<T: Real> {
    geometry: Geometry,
    activation: Activation,
    saved: Saved,
    /// Whether the moments are the batch's own.
    batch: bool,
    /// The convolution's output.
    y: Buffer<T>,
}

impl<T: Real> Block<T> {
    /// Normalises and activates what `convolve` writes.
    pub(super) fn forward(
        geometry: Geometry,
        source: &Source,
        activation: Activation,
        affine: &[T],
        convolve: impl FnOnce(&mut [T]),
    ) -> (Self, Buffer<T>) {
        let g = &geometry;
        let area = g.oh * g.ow;
        let mut y = Buffer::stale(g.y_len());
        convolve(&mut y);
        let saved = norm::save(source, &y, g.cout, area);
        let (gamma, beta) = affine.split_at(g.cout);
        let mut out = Buffer::stale(y.len());
        norm::apply(&y, &saved.affine(gamma, beta), area, activation, &mut out);
        let batch = source.is_batch();
        let block = Self {
            geometry,
            activation,
            saved,
            batch,
            y,
        };
        (block, out)
    }

    pub(super) fn statistics(&self, like: &Tensor) -> candle_core::Result<Option<BatchStatistics>> {
        let g = &self.geometry;
        if !self.batch {
            return Ok(None);
        }
        self.saved.statistics(g.batch * g.oh * g.ow, like).map(Some)
    }

    /// What the gradient of the result says of the normalisation: gradients of gamma and beta among it.
    pub(super) fn backward(&self, affine: &[T], grad: &[T]) -> Backward<T> {
        let g = &self.geometry;
        let affine = affine.split_at(g.cout);
        Backward::new(
            &self.y,
            grad,
            g.oh * g.ow,
            affine,
            &self.saved,
            self.batch,
            self.activation,
        )
    }

    /// The gradient of what the convolution wrote.
    pub(super) fn convolved(&self, back: &Backward<T>, grad: &[T]) -> Buffer<T> {
        let mut dy = Buffer::stale(self.y.len());
        back.input(&self.y, grad, &mut dy);
        dy
    }
}

/// A parameter's gradient as a tensor like the parameter.
pub(super) fn like<T: Real>(gradient: Option<Vec<T>>, parameter: &Tensor) -> candle_core::Result<Option<Tensor>> {
    gradient
        .map(|gradient| Tensor::from_vec(gradient, parameter.shape(), parameter.device()))
        .transpose()
}
