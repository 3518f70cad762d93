//! Upsampling and skip joins.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor, WithDType};

use crate::OpsError;
use crate::Precision;
use crate::cpu::vectorised;
use crate::error::check_extents;
use crate::features::device;
use crate::gpu::{self, Positions};
use crate::parallel;
use crate::portable;
use crate::real::{Reading, Real, by_dtype, dims4, elements};

/// Which points of the two grids coincide in bilinear resizing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Corners {
    /// The centres of the corner pixels (`align_corners=True`).
    Aligned,
    /// The outer edges (`align_corners=False`): what image libraries do.
    HalfPixel,
}

/// Where an output position reads: `(1 - t) * input[from] + t * input[to]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tap {
    pub from: usize,
    pub to: usize,
    pub t: f64,
}

pub(crate) fn bilinear_taps(size: usize, out: usize, corners: Corners) -> Vec<Tap> {
    (0..out)
        .map(|o| {
            let position = match corners {
                Corners::Aligned if out == 1 => 0.0,
                Corners::Aligned => o as f64 * (size - 1) as f64 / (out - 1) as f64,
                Corners::HalfPixel => ((o as f64 + 0.5) * size as f64 / out as f64 - 0.5).max(0.0),
            };
            let from = (position.floor() as usize).min(size - 1);
            Tap {
                from,
                to: (from + 1).min(size - 1),
                t: position - from as f64,
            }
        })
        .collect()
}

fn nearest_taps(size: usize, out: usize) -> Vec<Tap> {
    (0..out)
        .map(|o| {
            let from = (o * size / out).min(size - 1);
            Tap { from, to: from, t: 0.0 }
        })
        .collect()
}

/// A separable resize of planes.
struct ResizeOp {
    rows: Vec<Tap>,
    columns: Vec<Tap>,
    h: usize,
    w: usize,
    nearest: bool,
}

impl ResizeOp {
    fn forward<T: Real>(&self, x: &[T], y: &mut [T]) {
        let (oh, ow) = (self.rows.len(), self.columns.len());
        let weights: Vec<T> = self.columns.iter().map(|c| T::from_f64(c.t)).collect();
        parallel::chunks(y, oh * ow, |i, out| {
            let plane = &x[i * self.h * self.w..][..self.h * self.w];
            let mut blended = vec![T::default(); self.w];
            for (row, out) in self.rows.iter().zip(out.chunks_mut(ow)) {
                let (a, b) = (
                    &plane[row.from * self.w..][..self.w],
                    &plane[row.to * self.w..][..self.w],
                );
                if self.nearest {
                    for (o, c) in out.iter_mut().zip(&self.columns) {
                        *o = a[c.from];
                    }
                    continue;
                }
                let t = T::from_f64(row.t);
                for ((m, &a), &b) in blended.iter_mut().zip(a).zip(b) {
                    *m = a + (b - a) * t;
                }
                for ((o, c), &t) in out.iter_mut().zip(&self.columns).zip(&weights) {
                    let (a, b) = (blended[c.from], blended[c.to]);
                    *o = a + (b - a) * t;
                }
            }
        });
    }

    fn backward<T: Real>(&self, dy: &[T], dx: &mut [T]) {
        let (oh, ow) = (self.rows.len(), self.columns.len());
        let weights: Vec<T> = self.columns.iter().map(|c| T::from_f64(c.t)).collect();
        parallel::chunks(dx, self.h * self.w, |i, plane| {
            plane.fill(T::default());
            let grad = &dy[i * oh * ow..][..oh * ow];
            let mut blended = vec![T::default(); self.w];
            for (row, grad) in self.rows.iter().zip(grad.chunks(ow)) {
                blended.fill(T::default());
                for ((&g, c), &t) in grad.iter().zip(&self.columns).zip(&weights) {
                    let far = g * t;
                    blended[c.from] += g - far;
                    blended[c.to] += far;
                }
                let t = T::from_f64(row.t);
                for (j, &m) in blended.iter().enumerate() {
                    let far = m * t;
                    plane[row.from * self.w + j] += m - far;
                    plane[row.to * self.w + j] += far;
                }
            }
        });
    }
}

impl CustomOp1 for ResizeOp {
    fn name(&self) -> &'static str {
        "htl-resize2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, channels, _, _) = layout.shape().dims4()?;
        let (oh, ow) = (self.rows.len(), self.columns.len());
        let y = by_dtype!(x.dtype(), self.name(), T => {
            let mut y = vec![T::default(); batch * channels * oh * ow];
            self.forward::<T>(elements(x, layout)?, &mut y);
            Ok(T::to_cpu_storage_owned(y))
        })?;
        Ok((y, Shape::from((batch, channels, oh, ow))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        by_dtype!(x.dtype(), self.name(), T => {
            let mut dx = vec![T::default(); x.elem_count()];
            self.backward::<T>(Reading::of(&grad).get()?, &mut dx);
            Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
        })
    }
}

pub(crate) fn check_size(op: &'static str, (h, w): (usize, usize)) -> Result<(), OpsError> {
    if h == 0 || w == 0 {
        let found = format!("({h}, {w})");
        return Err(OpsError::Parameter {
            op,
            parameter: "size",
            requirement: "at least 1 by 1",
            found,
        });
    }
    check_extents(op, "result", &[h, w])
}

/// Nearest-neighbour resizing to `(height, width)`: output row `o` reads input row `floor(o * height_in / height_out)`.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`, `f32` or `f64`
/// - result: `[batch, channels, size.0, size.1]`
///
/// # Errors
/// [`OpsError`] for an empty input or size.
///
/// Matches `torch.nn.functional.interpolate(mode="nearest")`.
pub fn upsample_nearest2d(x: &Tensor, size: (usize, usize)) -> Result<Tensor, OpsError> {
    const OP: &str = "upsample_nearest2d";
    let [_, _, h, w] = dims4(OP, "x", x)?;
    check_size(OP, size)?;
    if let Some(engine) = gpu::engine_of(x)? {
        return Ok(gpu::resize(engine, x, size, Positions::Nearest)?);
    }
    let (rows, columns) = (nearest_taps(h, size.0), nearest_taps(w, size.1));
    if portable::takes(x) {
        return Ok(portable::resize::nearest(x, &rows, &columns)?);
    }
    let op = ResizeOp {
        rows,
        columns,
        h,
        w,
        nearest: true,
    };
    Ok(x.contiguous()?.apply_op1(op)?)
}

/// Bilinear resizing to `(height, width)`, without a low-pass filter when shrinking.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`, `f32` or `f64`
/// - result: `[batch, channels, size.0, size.1]`
///
/// # Errors
/// [`OpsError`] for an empty input or size.
///
/// Matches `torch.nn.functional.interpolate(mode="bilinear")` with either value of `align_corners`.
pub fn upsample_bilinear2d(x: &Tensor, size: (usize, usize), corners: Corners) -> Result<Tensor, OpsError> {
    const OP: &str = "upsample_bilinear2d";
    let [_, _, h, w] = dims4(OP, "x", x)?;
    check_size(OP, size)?;
    if let Some(engine) = gpu::engine_of(x)? {
        return Ok(gpu::resize(engine, x, size, Positions::Bilinear(corners))?);
    }
    let (rows, columns) = (bilinear_taps(h, size.0, corners), bilinear_taps(w, size.1, corners));
    if portable::takes(x) {
        return Ok(portable::resize::bilinear(x, &rows, &columns)?);
    }
    Ok(x.contiguous()?.apply_op1(ResizeOp {
        rows,
        columns,
        h,
        w,
        nearest: false,
    })?)
}

/// The sizes of a skip join.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Join {
    pub batch: usize,
    pub low: usize,
    pub skip: usize,
    /// Of the low-resolution input.
    pub h: usize,
    pub w: usize,
}

impl Join {
    /// Without a skip connection the input is doubled and that is all.
    pub(crate) fn new(x: [usize; 4], skip: Option<[usize; 4]>) -> Result<Self, OpsError> {
        let skip = skip.unwrap_or([x[0], 0, 2 * x[2], 2 * x[3]]);
        let expected = [x[0], skip[1], 2 * x[2], 2 * x[3]];
        if skip != expected {
            let (expected, found) = (expected.to_vec(), skip.to_vec());
            return Err(OpsError::Shape {
                op: "upsample_concat",
                argument: "skip",
                expected,
                found,
            });
        }
        Ok(Self {
            batch: x[0],
            low: x[1],
            skip: skip[1],
            h: x[2],
            w: x[3],
        })
    }

    pub(crate) fn out_area(&self) -> usize {
        4 * self.h * self.w
    }

    pub(crate) fn out_len(&self) -> usize {
        self.batch * (self.low + self.skip) * self.out_area()
    }

    pub(crate) fn low_len(&self) -> usize {
        self.batch * self.low * self.h * self.w
    }

    pub(crate) fn skip_len(&self) -> usize {
        self.batch * self.skip * self.out_area()
    }

    pub(crate) fn forward<T: Real>(&self, x: &[T], skip: &[T], out: &mut [T]) {
        let (area, out_area) = (self.h * self.w, self.out_area());
        parallel::chunks(out, out_area, |i, plane| {
            let (image, c) = (i / (self.low + self.skip), i % (self.low + self.skip));
            if c < self.low {
                double(&x[(image * self.low + c) * area..][..area], self.w, plane);
            } else {
                plane.copy_from_slice(&skip[(image * self.skip + c - self.low) * out_area..][..out_area]);
            }
        });
    }

    pub(crate) fn backward_low<T: Real>(&self, grad: &[T], dx: &mut [T]) {
        let out_area = self.out_area();
        parallel::chunks(dx, self.h * self.w, |i, plane| {
            let (image, c) = (i / self.low, i % self.low);
            halve_sum(
                &grad[(image * (self.low + self.skip) + c) * out_area..][..out_area],
                self.w,
                plane,
            );
        });
    }

    pub(crate) fn backward_skip<T: Real>(&self, grad: &[T], dskip: &mut [T]) {
        let out_area = self.out_area();
        parallel::chunks(dskip, out_area, |i, plane| {
            let (image, c) = (i / self.skip, self.low + i % self.skip);
            plane.copy_from_slice(&grad[(image * (self.low + self.skip) + c) * out_area..][..out_area]);
        });
    }
}

vectorised! {
    /// Every pixel becomes 2x2.
    fn double<T: Real>(x: &[T], width: usize, out: &mut [T]) {
        for (row, out) in x.chunks(width).zip(out.chunks_mut(4 * width)) {
            let (top, bottom) = out.split_at_mut(2 * width);
            for (pair, &v) in top.chunks_exact_mut(2).zip(row) {
                pair[0] = v;
                pair[1] = v;
            }
            bottom.copy_from_slice(top);
        }
    }
}

vectorised! {
    /// Every 2x2 becomes its sum.
    fn halve_sum<T: Real>(grad: &[T], width: usize, dx: &mut [T]) {
        for (rows, out) in grad.chunks(4 * width).zip(dx.chunks_mut(width)) {
            let (top, bottom) = rows.split_at(2 * width);
            for ((o, a), b) in out.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
                *o = (a[0] + a[1]) + (b[0] + b[1]);
            }
        }
    }
}

struct JoinOp(Join);

impl CustomOp2 for JoinOp {
    fn name(&self) -> &'static str {
        "htl-upsample-concat"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        s: &CpuStorage,
        sl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let j = &self.0;
        let out = by_dtype!(x.dtype(), self.name(), T => {
            let mut out = vec![T::default(); j.out_len()];
            j.forward::<T>(elements(x, xl)?, elements(s, sl)?, &mut out);
            Ok(T::to_cpu_storage_owned(out))
        })?;
        Ok((out, Shape::from((j.batch, j.low + j.skip, 2 * j.h, 2 * j.w))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        skip: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        by_dtype!(x.dtype(), self.name(), T => {
            let reading = Reading::of(&grad);
            let grad = reading.get::<T>()?;
            let mut grads = (None, None);
            if x.track_op() {
                let mut dx = vec![T::default(); x.elem_count()];
                self.0.backward_low(grad, &mut dx);
                grads.0 = Some(Tensor::from_vec(dx, x.shape(), x.device())?);
            }
            if skip.track_op() {
                let mut dskip = vec![T::default(); skip.elem_count()];
                self.0.backward_skip(grad, &mut dskip);
                grads.1 = Some(Tensor::from_vec(dskip, skip.shape(), skip.device())?);
            }
            Ok(grads)
        })
    }
}

/// Doubles `x` by repeating pixels and puts `skip` behind it along the channels.
///
/// # Shapes
/// - `x`: `[batch, a, height, width]`, `f32` or `f64`
/// - `skip`: `[batch, b, 2 height, 2 width]`
/// - result: `[batch, a + b, 2 height, 2 width]`
///
/// # Errors
/// [`OpsError::Shape`] if `skip` is not twice as large, and for empty inputs.
///
/// Matches `torch.cat([interpolate(x, scale_factor=2), skip], 1)`.
pub fn upsample_concat(x: &Tensor, skip: &Tensor) -> Result<Tensor, OpsError> {
    const OP: &str = "upsample_concat";
    let sd = dims4(OP, "skip", skip)?;
    let join = Join::new(dims4(OP, "x", x)?, Some(sd))?;
    crate::real::check_shape(OP, "skip", skip, &sd, x)?;
    let entered = |argument, x| device::enter(OP, argument, x, Precision::F32);
    if let (Some((x, low)), Some((skip, high))) = (entered("x", x)?, entered("skip", skip)?) {
        return device::join([&x, &skip], [&low, &high])?.0.into_tensor();
    }
    if portable::takes(x) {
        return Ok(portable::resize::upsample_concat(join, x, Some(skip))?);
    }
    Ok(x.contiguous()?.apply_op2(&skip.contiguous()?, JoinOp(join))?)
}
