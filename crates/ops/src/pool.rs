//! Pooling.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};

use crate::OpsError;
use crate::Precision;
use crate::buffer::Buffer;
use crate::conv::depthwise::{self, TASK};
use crate::conv::{Conv2dParams, Geometry};
use crate::cpu::vectorised;
use crate::error::check_extents;
use crate::features::device;
use crate::parallel;
use crate::phases::{LANES, Phases, gather, split, spread, unite};
use crate::portable;
use crate::real::{Reading, Real, by_dtype, dims4, elements};

/// The sizes of one pooling, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub h: usize,
    pub w: usize,
    pub oh: usize,
    pub ow: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Window {
    pub(crate) fn new(
        op: &'static str,
        x: [usize; 4],
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Result<Self, OpsError> {
        for (parameter, value) in [("kernel", kernel), ("stride", stride)] {
            if value == 0 {
                return Err(OpsError::Parameter {
                    op,
                    parameter,
                    requirement: "at least 1",
                    found: "0".into(),
                });
            }
        }
        if padding > kernel / 2 {
            let requirement = "at most half of the kernel, or windows would see padding only";
            return Err(OpsError::Parameter {
                op,
                parameter: "padding",
                requirement,
                found: padding.to_string(),
            });
        }
        let padded = [x[2], x[3]].map(|size| padding.saturating_mul(2).saturating_add(size));
        // Planes are padded one by one.
        check_extents(op, "padded plane", &[64, padded[0], padded[1]])?;
        let extent = |size: usize| {
            let available = size + 2 * padding;
            if kernel > available {
                Err(OpsError::Window {
                    op,
                    window: kernel,
                    available,
                    shape: x.to_vec(),
                })
            } else {
                Ok((available - kernel) / stride + 1)
            }
        };
        Ok(Self {
            h: x[2],
            w: x[3],
            oh: extent(x[2])?,
            ow: extent(x[3])?,
            kernel,
            stride,
            padding,
        })
    }

    pub(crate) fn is_halving(&self) -> bool {
        self.kernel == 2 && self.stride == 2 && self.padding == 0
    }

    /// A mean is a depthwise convolution with equal weights, every plane an image of one channel.
    fn geometry(&self) -> Geometry {
        Geometry {
            batch: 1,
            cin: 1,
            h: self.h,
            w: self.w,
            cout: 1,
            kh: self.kernel,
            kw: self.kernel,
            oh: self.oh,
            ow: self.ow,
            p: Conv2dParams {
                stride: self.stride,
                padding: self.padding,
                ..Conv2dParams::default()
            },
        }
    }

    /// The weight of every tap of a mean; positions in the padding count as zeros.
    fn average<T: Real>(&self) -> Vec<T> {
        let taps = self.kernel * self.kernel;
        vec![T::from_f64(1.0 / taps as f64); taps]
    }

    fn area(&self) -> usize {
        self.h * self.w
    }

    fn out_area(&self) -> usize {
        self.oh * self.ow
    }
}

vectorised! {
    /// One output row of 2x2 maxima from two input rows.
    fn halve_max_row<T: Real>(top: &[T], bottom: &[T], out: &mut [T]) {
        let n = out.len();
        let (top, bottom) = (&top[..2 * n], &bottom[..2 * n]);
        let nan = T::from_f64(f64::NAN);
        for (i, o) in out.iter_mut().enumerate() {
            let (a, b, c, d) = (top[2 * i], top[2 * i + 1], bottom[2 * i], bottom[2 * i + 1]);
            // The first of equal values or another: the maximum's value is the same either way.
            let best = a.maximum(b).maximum(c.maximum(d));
            // `maximum` drops NaN from its first argument.
            #[allow(clippy::eq_op)]
            let lost = (a != a) | (b != b) | (c != c) | (d != d);
            *o = if lost { nan } else { best };
        }
    }
}

vectorised! {
    /// Two input rows of gradient from one output row: all of it to the first maximum of each window.
    fn halve_max_row_back<T: Real>(
        top: &[T], bottom: &[T], grad: &[T], dtop: &mut [T], dbottom: &mut [T],
    ) {
        const N: usize = 16;
        let zero = T::default();
        let pick = |a: T, b: T, c: T, d: T, g: T| {
            let best = a.maximum(b).maximum(c.maximum(d));
            let (is_a, is_b, is_c) = (a == best, b == best, c == best);
            let da = if is_a { g } else { zero };
            let db = if is_b & !is_a { g } else { zero };
            let dc = if is_c & !is_a & !is_b { g } else { zero };
            let dd = if is_a | is_b | is_c { zero } else { g };
            [da, db, dc, dd]
        };
        let n = grad.len();
        let whole = n - n % N;
        for at in (0..whole).step_by(N) {
            // Pairs apart, then lanes alike, then pairs together: the compiler makes shuffles and masks of it.
            let (top, bottom) = (&top[2 * at..][..2 * N], &bottom[2 * at..][..2 * N]);
            let grad = &grad[at..][..N];
            let mut d = [[zero; N]; 4];
            for i in 0..N {
                let p = pick(top[2 * i], top[2 * i + 1], bottom[2 * i], bottom[2 * i + 1], grad[i]);
                for k in 0..4 {
                    d[k][i] = p[k];
                }
            }
            let (dtop, dbottom) = (&mut dtop[2 * at..][..2 * N], &mut dbottom[2 * at..][..2 * N]);
            for i in 0..N {
                dtop[2 * i] = d[0][i];
                dtop[2 * i + 1] = d[1][i];
                dbottom[2 * i] = d[2][i];
                dbottom[2 * i + 1] = d[3][i];
            }
        }
        for i in whole..n {
            let p = pick(top[2 * i], top[2 * i + 1], bottom[2 * i], bottom[2 * i + 1], grad[i]);
            [dtop[2 * i], dtop[2 * i + 1], dbottom[2 * i], dbottom[2 * i + 1]] = p;
        }
    }
}

vectorised! {
    /// Maxima over the taps; NaN counts as the largest.
    fn largest<T: Real>(x: &[T], taps: &[usize], run: &mut [T]) {
        for (block, run) in run.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let mut best = [T::from_f64(f64::NEG_INFINITY); LANES];
            for &tap in taps {
                let x = &x[tap + block * LANES..][..LANES];
                for i in 0..LANES {
                    // False for NaN on either side: NaN comes in, and stays.
                    let stays = (x[i] <= best[i]) | is_nan(best[i]);
                    best[i] = if stays { best[i] } else { x[i] };
                }
            }
            *run = best;
        }
    }
}

vectorised! {
    /// Which tap holds each maximum first, beginning with `first`: the first tap inside of the image.
    fn first_largest<T: Real>(x: &[T], taps: &[usize], first: &[T], run: &mut [T]) {
        for (block, (run, first)) in run.as_chunks_mut::<LANES>().0.iter_mut().zip(first.as_chunks::<LANES>().0).enumerate()
        {
            let mut best = [T::from_f64(f64::NEG_INFINITY); LANES];
            let mut index = *first;
            for (t, &tap) in taps.iter().enumerate() {
                let t = T::from_f64(t as f64);
                let x = &x[tap + block * LANES..][..LANES];
                for i in 0..LANES {
                    let stays = (x[i] <= best[i]) | is_nan(best[i]);
                    best[i] = if stays { best[i] } else { x[i] };
                    index[i] = if stays { index[i] } else { t };
                }
            }
            *run = index;
        }
    }
}

vectorised! {
    /// Adds each gradient where its maximum was.
    fn scatter_largest<T: Real>(grad: &[T], index: &[T], taps: &[usize], dx: &mut [T]) {
        let zero = T::default();
        for (t, &tap) in taps.iter().enumerate() {
            let t = T::from_f64(t as f64);
            for ((dx, &grad), &index) in dx[tap..][..grad.len()].iter_mut().zip(grad).zip(index) {
                *dx += if index == t { grad } else { zero };
            }
        }
    }
}

#[inline(always)]
fn is_nan<T: Real>(v: T) -> bool {
    #[allow(clippy::eq_op)]
    let differs = v != v;
    differs
}

/// For each position of a run, the first tap of its window that lies inside of the image.
fn first_inside<T: Real>(w: &Window, phases: &Phases) -> Buffer<T> {
    let mut first = Buffer::zeros(phases.run);
    let outside = |o: usize| w.padding.saturating_sub(o * w.stride);
    let plane: Vec<T> = (0..w.out_area())
        .map(|at| T::from_f64((outside(at / w.ow) * w.kernel + outside(at % w.ow)) as f64))
        .collect();
    spread(phases, &plane, &mut first);
    first
}

pub(crate) fn max_forward<T: Real>(w: &Window, x: &[T], y: &mut [T]) {
    if w.is_halving() {
        return halve_max_forward(w, x, y);
    }
    let phases = Phases::new(&w.geometry());
    let planes = TASK.div_ceil(w.area());
    parallel::chunks(y, planes * w.out_area(), |task, y| {
        let mut image = Buffer::<T>::stale(phases.len);
        image.fill(T::from_f64(f64::NEG_INFINITY));
        let mut run = Buffer::<T>::stale(phases.run);
        for (i, y) in y.chunks_exact_mut(w.out_area()).enumerate() {
            split(&phases, &x[(task * planes + i) * w.area()..][..w.area()], &mut image);
            largest(&image, &phases.taps, &mut run);
            gather(&phases, &run, y);
        }
    });
}

fn halve_max_forward<T: Real>(w: &Window, x: &[T], y: &mut [T]) {
    parallel::chunks(y, w.out_area(), |i, out| {
        let plane = &x[i * w.area()..][..w.area()];
        for (oy, row) in out.chunks_mut(w.ow).enumerate() {
            halve_max_row(&plane[2 * oy * w.w..], &plane[(2 * oy + 1) * w.w..], row);
        }
    });
}

pub(crate) fn max_backward<T: Real>(w: &Window, x: &[T], dy: &[T], dx: &mut [T]) {
    if w.is_halving() {
        return halve_max_backward(w, x, dy, dx);
    }
    let phases = Phases::new(&w.geometry());
    let first = first_inside::<T>(w, &phases);
    let planes = TASK.div_ceil(w.area());
    parallel::chunks(dx, planes * w.area(), |task, dx| {
        let mut image = Buffer::<T>::stale(phases.len);
        image.fill(T::from_f64(f64::NEG_INFINITY));
        let mut gradient = Buffer::<T>::stale(phases.len);
        let (mut index, mut run) = (Buffer::<T>::stale(phases.run), Buffer::<T>::zeros(phases.run));
        for (i, dx) in dx.chunks_exact_mut(w.area()).enumerate() {
            let plane = task * planes + i;
            split(&phases, &x[plane * w.area()..][..w.area()], &mut image);
            first_largest(&image, &phases.taps, &first, &mut index);
            spread(&phases, &dy[plane * w.out_area()..][..w.out_area()], &mut run);
            gradient.fill(T::default());
            scatter_largest(&run, &index, &phases.taps, &mut gradient);
            unite(&phases, &gradient, dx);
        }
    });
}

fn halve_max_backward<T: Real>(w: &Window, x: &[T], dy: &[T], dx: &mut [T]) {
    parallel::chunks(dx, w.area(), |i, dplane| {
        let plane = &x[i * w.area()..][..w.area()];
        let grad = &dy[i * w.out_area()..][..w.out_area()];
        if w.h % 2 == 1 || w.w % 2 == 1 {
            dplane.fill(T::default());
        }
        for (oy, grad) in grad.chunks(w.ow).enumerate() {
            let (dtop, dbottom) = dplane[2 * oy * w.w..].split_at_mut(w.w);
            let (top, bottom) = (&plane[2 * oy * w.w..], &plane[(2 * oy + 1) * w.w..]);
            halve_max_row_back(top, bottom, grad, dtop, dbottom);
        }
    });
}

pub(crate) fn average_forward<T: Real>(w: &Window, x: &[T], y: &mut [T]) {
    depthwise::forward(&w.geometry(), x, &w.average(), y);
}

pub(crate) fn average_backward<T: Real>(w: &Window, dy: &[T], dx: &mut [T]) {
    depthwise::backward_input(&w.geometry(), dy, &w.average(), dx);
}

/// What a window gives.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Max,
    Average,
}

struct PoolOp {
    kind: Kind,
    window: Window,
}

impl CustomOp1 for PoolOp {
    fn name(&self) -> &'static str {
        "htl-pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let w = &self.window;
        let (batch, channels, _, _) = layout.shape().dims4()?;
        let y = by_dtype!(x.dtype(), self.name(), T => {
            let mut y = vec![T::default(); batch * channels * w.out_area()];
            match self.kind {
                Kind::Max => max_forward::<T>(w, elements(x, layout)?, &mut y),
                Kind::Average => average_forward::<T>(w, elements(x, layout)?, &mut y),
            }
            Ok(T::to_cpu_storage_owned(y))
        })?;
        Ok((y, Shape::from((batch, channels, w.oh, w.ow))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        by_dtype!(x.dtype(), self.name(), T => {
            let mut dx = vec![T::default(); x.elem_count()];
            let gs = Reading::of(&grad);
            match self.kind {
                Kind::Max => max_backward::<T>(&self.window, Reading::of(x).get()?, gs.get()?, &mut dx),
                Kind::Average => average_backward::<T>(&self.window, gs.get()?, &mut dx),
            }
            Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
        })
    }
}

/// Maximum over `kernel` x `kernel` windows; padding never wins. The gradient goes to the first maximum of a window.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`, `f32` or `f64`
/// - result: `[batch, channels, (height + 2 padding - kernel) / stride + 1, ...]`
///
/// # Errors
/// [`OpsError`] for a window that does not fit, a stride or kernel of 0, padding over half the kernel, empty input.
///
/// Matches `torch.nn.functional.max_pool2d`.
pub fn max_pool2d(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Tensor, OpsError> {
    const OP: &str = "max_pool2d";
    let window = Window::new(OP, dims4(OP, "x", x)?, kernel, stride, padding)?;
    if let Some((maps, map)) = device::enter(OP, "x", x, Precision::F32)? {
        return device::pool(Kind::Max, &maps, &map, window)?.into_tensor();
    }
    if portable::takes(x) {
        return Ok(portable::pool::max(window, x)?);
    }
    Ok(x.contiguous()?.apply_op1(PoolOp {
        kind: Kind::Max,
        window,
    })?)
}

/// Mean over `kernel` x `kernel` windows; padding counts as zeros in the mean.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`, `f32` or `f64`
/// - result: `[batch, channels, (height + 2 padding - kernel) / stride + 1, ...]`
///
/// # Errors
/// As [`max_pool2d`].
///
/// Matches `torch.nn.functional.avg_pool2d` with its defaults.
pub fn avg_pool2d(x: &Tensor, kernel: usize, stride: usize, padding: usize) -> Result<Tensor, OpsError> {
    const OP: &str = "avg_pool2d";
    let window = Window::new(OP, dims4(OP, "x", x)?, kernel, stride, padding)?;
    if let Some((maps, map)) = device::enter(OP, "x", x, Precision::F32)? {
        return device::pool(Kind::Average, &maps, &map, window)?.into_tensor();
    }
    if portable::takes(x) {
        return Ok(portable::conv::average(window.geometry(), x)?);
    }
    Ok(x.contiguous()?.apply_op1(PoolOp {
        kind: Kind::Average,
        window,
    })?)
}

pub(crate) fn global_average_forward<T: Real>(x: &[T], area: usize) -> Vec<T> {
    let mut y = vec![T::default(); x.len() / area];
    for (out, plane) in y.iter_mut().zip(x.chunks(area)) {
        *out = T::from_f64(crate::math::plane_sum(plane) / area as f64);
    }
    y
}

pub(crate) fn global_average_backward<T: Real>(dy: &[T], area: usize, dx: &mut [T]) {
    let factor = T::from_f64(1.0 / area as f64);
    parallel::chunks(dx, area, |i, plane| plane.fill(dy[i] * factor));
}

struct GlobalAverageOp;

impl CustomOp1 for GlobalAverageOp {
    fn name(&self) -> &'static str {
        "htl-global-avg-pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, channels, h, w) = layout.shape().dims4()?;
        let y = by_dtype!(x.dtype(), self.name(), T => {
            Ok(T::to_cpu_storage_owned(global_average_forward::<T>(elements(x, layout)?, h * w)))
        })?;
        Ok((y, Shape::from((batch, channels))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (_, _, h, w) = x.dims4()?;
        by_dtype!(x.dtype(), self.name(), T => {
            let mut dx = vec![T::default(); x.elem_count()];
            global_average_backward::<T>(Reading::of(&grad).get()?, h * w, &mut dx);
            Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
        })
    }
}

/// Mean of every plane.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`, `f32` or `f64`
/// - result: `[batch, channels]`
///
/// # Errors
/// [`OpsError`] for another rank or an empty input.
///
/// Matches `torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)`.
pub fn global_avg_pool2d(x: &Tensor) -> Result<Tensor, OpsError> {
    dims4("global_avg_pool2d", "x", x)?;
    if portable::takes(x) {
        return Ok(portable::pool::global_average(x)?);
    }
    Ok(x.contiguous()?.apply_op1(GlobalAverageOp)?)
}
