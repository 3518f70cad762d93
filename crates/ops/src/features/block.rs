//! Convolution, batch normalisation and activation as one operation.

use candle_core::Tensor;

use super::Features;
use super::map::{Map, Values};
use super::node::{Node, token};
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
            let tracked = [self.is_tracked(), weight.track_op(), affine.track_op()];
            let made = {
                let (reading, values) = (Reading::of(&weight), x.values.read());
                let (w, input) = (reading.get::<T>()?, values.get()?);
                let affine = Reading::of(&affine);
                Block::forward(geometry, &source, activation, affine.get()?, tracked, |y| {
                    conv::forward(&geometry, input, w, y);
                })
            };
            let statistics = made.statistics(&weight)?;
            let map = Map::new(Values::Own(made.out));
            let Some(block) = made.block else {
                return Ok((Self::new(token::<T>(&self.node)?, geometry.out_dims(), map), statistics));
            };
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

/// What one block keeps for its backward pass, whatever its inputs come from.
pub(super) struct Block<T: Real> {
    geometry: Geometry,
    activation: Activation,
    saved: Saved,
    /// Whether the moments are the batch's own.
    batch: bool,
    /// The convolution's output.
    y: Buffer<T>,
}

/// What the forward pass of a block gives.
pub(super) struct Made<T: Real> {
    pub out: Buffer<T>,
    /// Nothing where no gradient is wanted.
    pub block: Option<Block<T>>,
    batch: Option<(Saved, usize)>,
}

impl<T: Real> Made<T> {
    /// Those of the batch, if it was normalised by them.
    pub(super) fn statistics(&self, like: &Tensor) -> candle_core::Result<Option<BatchStatistics>> {
        let batch = self.batch.as_ref();
        batch.map(|(saved, count)| saved.statistics(*count, like)).transpose()
    }
}

impl<T: Real> Block<T> {
    /// Normalises and activates what `convolve` writes: in place, unless some input is `tracked`.
    pub(super) fn forward<const N: usize>(
        geometry: Geometry,
        source: &Source,
        activation: Activation,
        affine: &[T],
        tracked: [bool; N],
        convolve: impl FnOnce(&mut [T]),
    ) -> Made<T> {
        let g = &geometry;
        let area = g.oh * g.ow;
        let mut y = Buffer::stale(g.y_len());
        convolve(&mut y);
        let saved = norm::save(source, &y, g.cout, area);
        let (gamma, beta) = affine.split_at(g.cout);
        let affine = saved.affine(gamma, beta);
        let batch = source.is_batch().then(|| (saved.clone(), g.batch * area));
        if !tracked.contains(&true) {
            norm::apply_in_place(&mut y, &affine, area, activation);
            let block = None;
            return Made { out: y, block, batch };
        }
        let mut out = Buffer::stale(y.len());
        norm::apply(&y, &affine, area, activation, &mut out);
        let block = Some(Self {
            geometry,
            activation,
            saved,
            batch: batch.is_some(),
            y,
        });
        Made { out, block, batch }
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

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device, Var};

    fn numbers(shape: &[usize], seed: usize) -> Tensor {
        let count = shape.iter().product();
        let scramble = |i: usize| ((i * 7919 + seed * 104_729 + 13) % 1009) as f32 / 100.0 - 5.0;
        Tensor::from_vec((0..count).map(scramble).collect(), shape, &Device::Cpu).unwrap()
    }

    fn bits(tensor: &Tensor) -> Vec<u32> {
        let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.into_iter().map(f32::to_bits).collect()
    }

    /// In place where nobody wants a gradient, beside it where somebody does: the same numbers.
    #[test]
    fn tracking_changes_no_number() {
        let (x, skip) = (numbers(&[3, 4, 7, 5], 1), numbers(&[3, 2, 14, 10], 2));
        let weight = numbers(&[9, 4, 3, 3], 4);
        let joined = numbers(&[9, 6, 3, 3], 5);
        let (gamma, beta) = (numbers(&[9], 6), numbers(&[9], 7));
        let var = Tensor::full(30f32, 9, &Device::Cpu).unwrap();
        let running = Norm::Running {
            mean: Tensor::zeros(9, DType::F32, &Device::Cpu).unwrap(),
            var,
            eps: 1e-5,
        };
        for norm in [running, Norm::Batch { eps: 1e-5 }] {
            for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
                let run = |weight: &Tensor| {
                    conv_norm(&x, weight, &gamma, &beta, &norm, Conv2dParams::same(3), activation).unwrap()
                };
                let (plain, statistics) = run(&weight);
                let (tracked, expected) = run(&Var::from_tensor(&weight).unwrap());
                assert!(!plain.track_op() && tracked.track_op());
                assert_eq!(bits(&plain), bits(&tracked));
                let means = [statistics, expected].map(|s| s.map(|s| [bits(&s.mean), bits(&s.var)]));
                assert_eq!(means[0], means[1]);
            }
            let run = |joined: &Tensor| {
                crate::upsample_concat_conv_norm_relu(&x, &skip, joined, &gamma, &beta, &norm).unwrap()
            };
            let (plain, tracked) = (run(&joined).0, run(&Var::from_tensor(&joined).unwrap()).0);
            assert!(!plain.track_op() && tracked.track_op());
            assert_eq!(bits(&plain), bits(&tracked));
        }
    }

    /// A number that is none is not hidden by an activation.
    #[test]
    fn nan_stays_nan() {
        let x = Tensor::full(f32::NAN, (1, 1, 4, 4), &Device::Cpu).unwrap();
        let one = Tensor::ones(1, DType::F32, &Device::Cpu).unwrap();
        let weight = Tensor::ones((1, 1, 1, 1), DType::F32, &Device::Cpu).unwrap();
        let norm = Norm::Running {
            mean: one.clone(),
            var: one.clone(),
            eps: 0.0,
        };
        for activation in [Activation::None, Activation::Relu, Activation::Relu6] {
            let (y, _) = conv_norm(&x, &weight, &one, &one, &norm, Conv2dParams::default(), activation).unwrap();
            let values = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(values.iter().all(|v| v.is_nan()), "{activation:?}");
        }
    }
}
