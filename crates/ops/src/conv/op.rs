//! Convolution as a candle operation.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, WithDType};

use super::{Conv2dParams, Geometry, add_bias, backward_bias, backward_input, backward_weight, forward};
use crate::OpsError;
use crate::real::{Reading, Real, by_dtype, check_shape, dims4, elements};

/// Two-dimensional convolution (cross-correlation), `y = x * weight + bias`.
///
/// # Shapes
/// - `x`: `[batch, in_channels, height, width]`, `f32` or `f64`
/// - `weight`: `[out_channels, in_channels / groups, kernel_height, kernel_width]`
/// - `bias`: `[out_channels]`
/// - result: `[batch, out_channels, (height + 2 padding - dilation (kernel - 1) - 1) / stride + 1, ...]`
///
/// Differentiable in all inputs. The input's gradient is skipped if nothing behind `x` needs one.
///
/// # Errors
/// [`OpsError`] naming the shapes if they do not fit, if anything is empty, or on a type or device without a kernel.
///
/// Matches `torch.nn.functional.conv2d` (see `tests/torch_golden.rs`).
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: Conv2dParams) -> Result<Tensor, OpsError> {
    const OP: &str = "conv2d";
    let xd = dims4(OP, "x", x)?;
    let wd = dims4(OP, "weight", weight)?;
    let geometry = Geometry::new(OP, xd, wd, params)?;
    check_shape(OP, "weight", weight, &wd, x)?;
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let op = Conv2dOp {
        geometry,
        x_tracked: x.track_op(),
        weight_tracked: weight.track_op(),
    };
    let y = x.apply_op2(&weight, op)?;
    with_bias(OP, y, bias, geometry.cout, geometry.oh * geometry.ow)
}

/// Adds a bias, if there is one, to every plane of `area` elements.
pub(super) fn with_bias(
    op: &'static str,
    y: Tensor,
    bias: Option<&Tensor>,
    channels: usize,
    area: usize,
) -> Result<Tensor, OpsError> {
    let Some(bias) = bias else {
        return Ok(y);
    };
    check_shape(op, "bias", bias, &[channels], &y)?;
    Ok(y.apply_op2(&bias.contiguous()?, BiasOp { area, channels })?)
}

struct Conv2dOp {
    geometry: Geometry,
    x_tracked: bool,
    weight_tracked: bool,
}

impl Conv2dOp {
    fn run<T: Real>(&self, x: &[T], weight: &[T]) -> CpuStorage {
        let mut y = vec![T::default(); self.geometry.y_len()];
        forward(&self.geometry, x, weight, &mut y);
        T::to_cpu_storage_owned(y)
    }

    fn run_back<T: Real>(
        &self,
        x: &Tensor,
        weight: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let g = &self.geometry;
        let (xs, ws, gs) = (Reading::of(x), Reading::of(weight), Reading::of(grad));
        let (xs, ws, gs) = (xs.get::<T>()?, ws.get::<T>()?, gs.get::<T>()?);
        let dx = if self.x_tracked {
            let mut dx = vec![T::default(); g.x_len()];
            backward_input(g, gs, ws, &mut dx);
            Some(Tensor::from_vec(dx, x.shape(), x.device())?)
        } else {
            None
        };
        let dw = if self.weight_tracked {
            let mut dw = vec![T::default(); g.w_len()];
            backward_weight(g, xs, gs, &mut dw);
            Some(Tensor::from_vec(dw, weight.shape(), weight.device())?)
        } else {
            None
        };
        Ok((dx, dw))
    }
}

impl CustomOp2 for Conv2dOp {
    fn name(&self) -> &'static str {
        "htl-conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let g = &self.geometry;
        let y = by_dtype!(x.dtype(), self.name(), T => Ok(self.run::<T>(elements(x, xl)?, elements(w, wl)?)))?;
        Ok((y, Shape::from((g.batch, g.cout, g.oh, g.ow))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        by_dtype!(x.dtype(), self.name(), T => self.run_back::<T>(x, w, &grad))
    }
}

struct BiasOp {
    area: usize,
    channels: usize,
}

impl CustomOp2 for BiasOp {
    fn name(&self) -> &'static str {
        "htl-bias"
    }

    fn cpu_fwd(
        &self,
        y: &CpuStorage,
        yl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = by_dtype!(y.dtype(), self.name(), T => {
            let mut out = elements::<T>(y, yl)?.to_vec();
            add_bias(&mut out, self.area, elements(b, bl)?);
            Ok(T::to_cpu_storage_owned(out))
        })?;
        Ok((out, yl.shape().clone()))
    }

    fn bwd(
        &self,
        y: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let db = if b.track_op() {
            by_dtype!(grad.dtype(), self.name(), T => {
                let db = backward_bias(Reading::of(&grad).get::<T>()?, self.area, self.channels);
                Tensor::from_vec(db, b.shape(), b.device()).map(Some)
            })?
        } else {
            None
        };
        Ok((y.track_op().then_some(grad), db))
    }
}
