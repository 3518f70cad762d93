//! Convolution, batch normalisation and activation as one operation.

use std::sync::{Arc, Mutex, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

use crate::OpsError;
use crate::buffer::Buffer;
use crate::conv::{self, Conv2dParams, Geometry};
use crate::norm::{self, Activation, Backward, BatchStatistics, Norm, Saved, Source, stack_affine};
use crate::real::{Reading, Real, by_dtype, check_shape, dims4, elements};
use crate::upsample::Join;

/// Convolution without bias, batch normalisation and activation.
///
/// One node in candle's graph instead of three: fewer passes over memory forward, and two gradient tensors less backward.
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
    const OP: &str = "conv_norm";
    let geometry = Geometry::new(OP, dims4(OP, "x", x)?, dims4(OP, "weight", weight)?, params)?;
    block(OP, geometry, x, weight, [gamma, beta], norm, activation)
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
    let geometry = same_geometry(OP, dims4(OP, "x", x)?, dims4(OP, "weight", weight)?)?;
    block(OP, geometry, x, weight, [gamma, beta], norm, Activation::Relu)
}

fn block(
    op: &'static str,
    geometry: Geometry,
    x: &Tensor,
    weight: &Tensor,
    [gamma, beta]: [&Tensor; 2],
    norm: &Norm,
    activation: Activation,
) -> Result<(Tensor, Option<BatchStatistics>), OpsError> {
    check_shape(op, "weight", weight, weight.dims(), x)?;
    let affine = stack_affine(op, gamma, beta, geometry.cout, x)?;
    let source = Source::of(op, norm, geometry.cout)?;
    let is_batch = source.is_batch();
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let moments = Arc::new(OnceLock::new());
    let out = by_dtype!(x.dtype(), op, T => {
        let tracked = [x.track_op(), weight.track_op(), affine.track_op()];
        let moments = moments.clone();
        let block = Block::<T> { geometry, source, activation, moments, y: Mutex::new(None), tracked };
        x.apply_op3(&weight, &affine, ConvNorm(block))
    })?;
    let statistics = match moments.get() {
        Some(saved) if is_batch => Some(saved.statistics(geometry.batch * geometry.oh * geometry.ow, &x)?),
        _ => None,
    };
    Ok((out, statistics))
}

/// Geometry of a stride-1 convolution that keeps the size.
pub(crate) fn same_geometry(op: &'static str, x: [usize; 4], weight: [usize; 4]) -> Result<Geometry, OpsError> {
    let [_, _, kh, kw] = weight;
    if kh != kw || kh % 2 == 0 {
        let found = format!("{kh} x {kw}");
        return Err(OpsError::Parameter {
            op,
            parameter: "kernel",
            requirement: "odd and square",
            found,
        });
    }
    Geometry::new(op, x, weight, Conv2dParams::same(kh))
}

/// What one block computes and keeps, whatever its inputs come from.
struct Block<T: Real> {
    geometry: Geometry,
    source: Source,
    activation: Activation,
    moments: Arc<OnceLock<Saved>>,
    /// The convolution's output, kept if a gradient may be asked for.
    y: Mutex<Option<Arc<Buffer<T>>>>,
    /// Whether input, weight and affine need a gradient.
    tracked: [bool; 3],
}

/// Gradients of input, weight and affine.
struct BlockGradients<T: Real> {
    x: Option<Vec<T>>,
    weight: Option<Vec<T>>,
    affine: Option<Vec<T>>,
}

impl<T: Real> Block<T> {
    fn area(&self) -> usize {
        self.geometry.oh * self.geometry.ow
    }

    fn forward(&self, x: &[T], w: &[T], affine: &[T]) -> Vec<T> {
        let g = &self.geometry;
        let mut y = Buffer::stale(g.y_len());
        conv::forward(g, x, w, &mut y);
        let saved = self
            .moments
            .get_or_init(|| norm::save(&self.source, &y, g.cout, self.area()));
        let (gamma, beta) = affine.split_at(g.cout);
        let mut out = vec![T::default(); y.len()];
        norm::apply(&y, &saved.affine(gamma, beta), self.area(), self.activation, &mut out);
        if self.tracked.contains(&true)
            && let Ok(mut slot) = self.y.lock()
        {
            *slot = Some(Arc::new(y));
        }
        out
    }

    /// The input's gradient is written to `dx` if one is given, else returned if it is needed.
    fn backward(&self, x: &[T], w: &[T], affine: &[T], grad: &[T], dx: Option<&mut [T]>) -> BlockGradients<T> {
        let g = &self.geometry;
        let kept = self.y.lock().ok().and_then(|slot| slot.clone());
        let y = kept.unwrap_or_else(|| {
            let mut y = Buffer::stale(g.y_len());
            conv::forward(g, x, w, &mut y);
            Arc::new(y)
        });
        let saved = self
            .moments
            .get_or_init(|| norm::save(&self.source, &y, g.cout, self.area()));
        let gamma_beta = affine.split_at(g.cout);
        let batch = self.source.is_batch();
        let back = Backward::new(&y, grad, self.area(), gamma_beta, saved, batch, self.activation);
        let mut gradients = BlockGradients {
            x: None,
            weight: None,
            affine: None,
        };
        if self.tracked[0] || self.tracked[1] {
            let mut dy = Buffer::stale(y.len());
            back.input(&y, grad, &mut dy);
            if let Some(dx) = dx {
                conv::backward_input(g, &dy, w, dx);
            } else if self.tracked[0] {
                let mut dx = vec![T::default(); g.x_len()];
                conv::backward_input(g, &dy, w, &mut dx);
                gradients.x = Some(dx);
            }
            if self.tracked[1] {
                let mut dw = vec![T::default(); g.w_len()];
                conv::backward_weight(g, x, &dy, &mut dw);
                gradients.weight = Some(dw);
            }
        }
        if self.tracked[2] {
            gradients.affine = Some([back.dgamma, back.dbeta].concat());
        }
        gradients
    }
}

/// A gradient as a tensor like another.
fn like<T: Real>(gradient: Option<Vec<T>>, tensor: &Tensor) -> candle_core::Result<Option<Tensor>> {
    gradient
        .map(|g| Tensor::from_vec(g, tensor.shape(), tensor.device()))
        .transpose()
}

struct ConvNorm<T: Real>(Block<T>);

impl<T: Real> CustomOp3 for ConvNorm<T> {
    fn name(&self) -> &'static str {
        "htl-conv-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        a: &CpuStorage,
        al: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let g = &self.0.geometry;
        let out = self.0.forward(elements(x, xl)?, elements(w, wl)?, elements(a, al)?);
        Ok((T::to_cpu_storage_owned(out), Shape::from((g.batch, g.cout, g.oh, g.ow))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        a: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (xs, ws, affine, gs) = (Reading::of(x), Reading::of(w), Reading::of(a), Reading::of(&grad));
        let gradients = self.0.backward(xs.get()?, ws.get()?, affine.get()?, gs.get()?, None);
        Ok((
            like(gradients.x, x)?,
            like(gradients.weight, w)?,
            like(gradients.affine, a)?,
        ))
    }
}

/// [`upsample_concat`](crate::upsample_concat) followed by [`conv_norm_relu`], without the joined tensor or its gradient
/// in candle's graph: the first layer of a U-Net's decoder block.
///
/// # Shapes
/// - `x`: `[batch, a, height, width]`, `f32` or `f64`
/// - `skip`: `[batch, b, 2 height, 2 width]`
/// - `weight`: `[out_channels, a + b, k, k]`, k odd; its first `a` input channels see `x`
/// - `gamma`, `beta`: `[out_channels]`
/// - result: `[batch, out_channels, 2 height, 2 width]`; with [`Norm::Batch`] also the batch's mean and unbiased variance
///
/// # Errors
/// As the two operations.
///
/// Matches the two operations, bit for bit.
pub fn upsample_concat_conv_norm_relu(
    x: &Tensor,
    skip: &Tensor,
    weight: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    norm: &Norm,
) -> Result<(Tensor, Option<BatchStatistics>), OpsError> {
    const OP: &str = "upsample_concat_conv_norm_relu";
    let sd = dims4(OP, "skip", skip)?;
    let join = Join::new(dims4(OP, "x", x)?, sd)?;
    check_shape(OP, "skip", skip, &sd, x)?;
    let joined = [join.batch, join.low + join.skip, sd[2], sd[3]];
    let geometry = same_geometry(OP, joined, dims4(OP, "weight", weight)?)?;
    check_shape(OP, "weight", weight, weight.dims(), x)?;
    check_shape(OP, "gamma", gamma, &[geometry.cout], x)?;
    check_shape(OP, "beta", beta, &[geometry.cout], x)?;
    let source = Source::of(OP, norm, geometry.cout)?;
    let is_batch = source.is_batch();
    // An operation takes three inputs: weight, gamma and beta travel as one.
    let parameters = Tensor::cat(&[&weight.flatten_all()?, gamma, beta], 0)?;
    let (x, skip) = (x.contiguous()?, skip.contiguous()?);
    let moments = Arc::new(OnceLock::new());
    let out = by_dtype!(x.dtype(), OP, T => {
        let inputs = [x.track_op(), skip.track_op()];
        let tracked = [inputs.contains(&true), parameters.track_op(), parameters.track_op()];
        let (activation, moments) = (Activation::Relu, moments.clone());
        let block = Block::<T> { geometry, source, activation, moments, y: Mutex::new(None), tracked };
        x.apply_op3(&skip, &parameters, JoinConvNormRelu { block, join, inputs, joined: Mutex::new(None) })
    })?;
    let statistics = match moments.get() {
        Some(saved) if is_batch => Some(saved.statistics(geometry.batch * geometry.oh * geometry.ow, &x)?),
        _ => None,
    };
    Ok((out, statistics))
}

struct JoinConvNormRelu<T: Real> {
    block: Block<T>,
    join: Join,
    /// Whether x and skip need a gradient.
    inputs: [bool; 2],
    /// The joined input, kept if a gradient may be asked for.
    joined: Mutex<Option<Arc<Buffer<T>>>>,
}

impl<T: Real> JoinConvNormRelu<T> {
    fn join(&self, x: &[T], skip: &[T]) -> Buffer<T> {
        let mut joined = Buffer::stale(self.join.out_len());
        self.join.forward(x, skip, &mut joined);
        joined
    }
}

impl<T: Real> CustomOp3 for JoinConvNormRelu<T> {
    fn name(&self) -> &'static str {
        "htl-upsample-concat-conv-norm-relu"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        s: &CpuStorage,
        sl: &Layout,
        p: &CpuStorage,
        pl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let g = &self.block.geometry;
        let joined = self.join(elements(x, xl)?, elements(s, sl)?);
        let (w, affine) = elements::<T>(p, pl)?.split_at(g.w_len());
        let out = self.block.forward(&joined, w, affine);
        if self.block.tracked[1]
            && let Ok(mut slot) = self.joined.lock()
        {
            *slot = Some(Arc::new(joined));
        }
        Ok((T::to_cpu_storage_owned(out), Shape::from((g.batch, g.cout, g.oh, g.ow))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        skip: &Tensor,
        parameters: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (xs, ss, ps, gs) = (
            Reading::of(x),
            Reading::of(skip),
            Reading::of(parameters),
            Reading::of(&grad),
        );
        let kept = self.joined.lock().ok().and_then(|slot| slot.clone());
        let joined = match kept {
            Some(joined) => joined,
            None => Arc::new(self.join(xs.get()?, ss.get()?)),
        };
        let (w, affine) = ps.get::<T>()?.split_at(self.block.geometry.w_len());
        let mut dx = Buffer::stale(if self.block.tracked[0] { joined.len() } else { 0 });
        let target = self.block.tracked[0].then_some(&mut dx[..]);
        let gradients = self.block.backward(&joined, w, affine, gs.get()?, target);
        let low = self.inputs[0].then(|| {
            let mut low = vec![T::default(); x.elem_count()];
            self.join.backward_low(&dx, &mut low);
            low
        });
        let high = self.inputs[1].then(|| {
            let mut high = vec![T::default(); skip.elem_count()];
            self.join.backward_skip(&dx, &mut high);
            high
        });
        let dp = match (gradients.weight, gradients.affine) {
            (Some(mut weight), Some(affine)) => {
                weight.extend(affine);
                Some(weight)
            }
            _ => None,
        };
        Ok((like(low, x)?, like(high, skip)?, like(dp, parameters)?))
    }
}
