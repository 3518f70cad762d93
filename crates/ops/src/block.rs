//! Convolution, batch normalisation and ReLU as one operation.

use std::sync::{Arc, Mutex, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};

use crate::OpsError;
use crate::buffer::Buffer;
use crate::conv::{self, Conv2dParams, Geometry};
use crate::norm::{self, Activation, Backward, BatchStatistics, Norm, Saved, Source, stack_affine};
use crate::real::{Reading, Real, by_dtype, check_shape, dims4, elements};

/// Convolution (stride 1, padding that keeps the size, no bias), batch normalisation and ReLU.
///
/// One node in candle's graph instead of three: fewer passes over memory forward, and two gradient tensors less backward.
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
    check_shape(OP, "weight", weight, weight.dims(), x)?;
    let affine = stack_affine(OP, gamma, beta, geometry.cout, x)?;
    let source = Source::of(OP, norm, geometry.cout)?;
    let is_batch = source.is_batch();
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let moments = Arc::new(OnceLock::new());
    let out = by_dtype!(x.dtype(), OP, T => {
        let op = ConvNormRelu::<T> {
            geometry,
            source,
            moments: moments.clone(),
            y: Mutex::new(None),
            tracked: [x.track_op(), weight.track_op(), affine.track_op()],
        };
        x.apply_op3(&weight, &affine, op)
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

struct ConvNormRelu<T: Real> {
    geometry: Geometry,
    source: Source,
    moments: Arc<OnceLock<Saved>>,
    /// The convolution's output, kept if a gradient may be asked for.
    y: Mutex<Option<Arc<Buffer<T>>>>,
    /// Whether x, weight, affine need a gradient.
    tracked: [bool; 3],
}

impl<T: Real> CustomOp3 for ConvNormRelu<T> {
    fn name(&self) -> &'static str {
        "htl-conv-norm-relu"
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
        let g = &self.geometry;
        let (x, w, affine) = (elements::<T>(x, xl)?, elements::<T>(w, wl)?, elements::<T>(a, al)?);
        let mut y = Buffer::stale(g.y_len());
        conv::forward(g, x, w, &mut y);
        let area = g.oh * g.ow;
        let saved = self.moments.get_or_init(|| norm::save(&self.source, &y, g.cout, area));
        let (gamma, beta) = affine.split_at(g.cout);
        let mut out = vec![T::default(); y.len()];
        norm::apply(&y, &saved.affine(gamma, beta), area, Activation::Relu, &mut out);
        if self.tracked.contains(&true)
            && let Ok(mut slot) = self.y.lock()
        {
            *slot = Some(Arc::new(y));
        }
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
        let g = &self.geometry;
        let (xs, ws, affine, gs) = (Reading::of(x), Reading::of(w), Reading::of(a), Reading::of(&grad));
        let (xs, ws, affine, gs) = (xs.get::<T>()?, ws.get::<T>()?, affine.get::<T>()?, gs.get::<T>()?);
        let kept = self.y.lock().ok().and_then(|slot| slot.clone());
        let y = kept.unwrap_or_else(|| {
            let mut y = Buffer::stale(g.y_len());
            conv::forward(g, xs, ws, &mut y);
            Arc::new(y)
        });
        let area = g.oh * g.ow;
        let saved = self.moments.get_or_init(|| norm::save(&self.source, &y, g.cout, area));
        let gamma_beta = affine.split_at(g.cout);
        let back = Backward::new(
            &y,
            gs,
            area,
            gamma_beta,
            saved,
            self.source.is_batch(),
            Activation::Relu,
        );
        let mut dy = Buffer::stale(y.len());
        if self.tracked[0] || self.tracked[1] {
            back.input(&y, gs, &mut dy);
        }
        let dx = if self.tracked[0] {
            let mut dx = vec![T::default(); g.x_len()];
            conv::backward_input(g, &dy, ws, &mut dx);
            Some(Tensor::from_vec(dx, x.shape(), x.device())?)
        } else {
            None
        };
        let dw = if self.tracked[1] {
            let mut dw = vec![T::default(); g.w_len()];
            conv::backward_weight(g, xs, &dy, &mut dw);
            Some(Tensor::from_vec(dw, w.shape(), w.device())?)
        } else {
            None
        };
        let da = if self.tracked[2] {
            Some(Tensor::from_vec(
                [back.dgamma, back.dbeta].concat(),
                a.shape(),
                a.device(),
            )?)
        } else {
            None
        };
        Ok((dx, dw, da))
    }
}
