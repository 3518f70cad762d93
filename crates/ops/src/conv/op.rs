//! Convolution as a candle operation.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, WithDType};

use super::{Conv2dParams, Geometry, add_bias, backward_bias, backward_input, backward_weight, forward};
use crate::OpsError;
use crate::Precision;
use crate::features::device;
use crate::portable;
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
/// [`OpsError`] naming the shapes if they do not fit, if anything is empty, on another type, or for inputs on several devices.
///
/// Matches `torch.nn.functional.conv2d` (see `tests/torch_golden.rs`).
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: Conv2dParams) -> Result<Tensor, OpsError> {
    const OP: &str = "conv2d";
    let xd = dims4(OP, "x", x)?;
    let wd = dims4(OP, "weight", weight)?;
    let geometry = Geometry::new(OP, xd, wd, params)?;
    check_shape(OP, "weight", weight, &wd, x)?;
    if let Some((maps, _)) = device::enter(OP, "x", x, Precision::F32)? {
        return maps.conv(weight, bias, params)?.into_tensor();
    }
    if portable::takes(x) {
        if let Some(bias) = bias {
            check_shape(OP, "bias", bias, &[geometry.cout], x)?;
        }
        return Ok(portable::conv::conv2d(geometry, x, weight, bias)?);
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let op = ConvOp {
        geometry,
        direction: Direction::Plain,
        tracked: [x.track_op(), weight.track_op()],
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

/// Which of a geometry's maps goes in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Direction {
    /// From the geometry's input to its result.
    Plain,
    /// From its result to its input.
    Transposed,
}

/// A convolution of either direction, without bias.
pub(super) struct ConvOp {
    pub(super) geometry: Geometry,
    pub(super) direction: Direction,
    /// Whether x and the weight need a gradient.
    pub(super) tracked: [bool; 2],
}

impl ConvOp {
    fn run<T: Real>(&self, x: &[T], weight: &[T]) -> Vec<T> {
        let g = &self.geometry;
        match self.direction {
            Direction::Plain => filled(g.y_len(), |y| forward(g, x, weight, y)),
            Direction::Transposed => filled(g.x_len(), |y| backward_input(g, x, weight, y)),
        }
    }

    fn x_gradient<T: Real>(&self, grad: &[T], weight: &[T]) -> Vec<T> {
        let g = &self.geometry;
        match self.direction {
            Direction::Plain => filled(g.x_len(), |dx| backward_input(g, grad, weight, dx)),
            Direction::Transposed => filled(g.y_len(), |dx| forward(g, grad, weight, dx)),
        }
    }

    fn weight_gradient<T: Real>(&self, x: &[T], grad: &[T]) -> Vec<T> {
        let g = &self.geometry;
        filled(g.w_len(), |dw| match self.direction {
            Direction::Plain => backward_weight(g, x, grad, dw),
            Direction::Transposed => backward_weight(g, grad, x, dw),
        })
    }

    fn run_back<T: Real>(
        &self,
        x: &Tensor,
        weight: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (xs, ws, gs) = (Reading::of(x), Reading::of(weight), Reading::of(grad));
        let (xs, ws, gs) = (xs.get::<T>()?, ws.get::<T>()?, gs.get::<T>()?);
        let [x_tracked, weight_tracked] = self.tracked;
        let dx = x_tracked.then(|| Tensor::from_vec(self.x_gradient(gs, ws), x.shape(), x.device()));
        let dw = weight_tracked.then(|| Tensor::from_vec(self.weight_gradient(xs, gs), weight.shape(), x.device()));
        Ok((dx.transpose()?, dw.transpose()?))
    }
}

fn filled<T: Real>(len: usize, fill: impl FnOnce(&mut [T])) -> Vec<T> {
    let mut data = vec![T::default(); len];
    fill(&mut data);
    data
}

impl CustomOp2 for ConvOp {
    fn name(&self) -> &'static str {
        match self.direction {
            Direction::Plain => "htl-conv2d",
            Direction::Transposed => "htl-conv-transpose2d",
        }
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let g = &self.geometry;
        let y = by_dtype!(x.dtype(), self.name(), T => {
            Ok(T::to_cpu_storage_owned(self.run::<T>(elements(x, xl)?, elements(w, wl)?)))
        })?;
        let dims = match self.direction {
            Direction::Plain => g.out_dims(),
            Direction::Transposed => [g.batch, g.cin, g.h, g.w],
        };
        Ok((y, Shape::from(dims.to_vec())))
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
