//! Pooling to a given size.

use std::ops::Range;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};

use crate::OpsError;
use crate::buffer::Buffer;
use crate::cpu::vectorised;
use crate::parallel;
use crate::portable;
use crate::real::{Reading, Real, by_dtype, dims4, elements};
use crate::upsample::check_size;

/// Input positions of every output position: `floor(o size / out) .. ceil((o + 1) size / out)`.
///
/// Bins overlap where `out` does not divide `size`, and repeat where it is larger.
fn bins(size: usize, out: usize) -> Vec<Range<usize>> {
    // Wide, because the products may be.
    let (s, n) = (size as u128, out as u128);
    (0..n)
        .map(|o| (o * s / n) as usize..((o + 1) * s).div_ceil(n) as usize)
        .collect()
}

/// Position of the first maximum among these rows and columns of a plane (NaN counts as the maximum, as in PyTorch).
fn first_max<T: Real>(plane: &[T], width: usize, rows: Range<usize>, columns: Range<usize>) -> usize {
    let mut best = rows.start * width + columns.start;
    for y in rows {
        for at in y * width + columns.start..y * width + columns.end {
            #[allow(clippy::eq_op)]
            if plane[at] > plane[best] || plane[at] != plane[at] {
                best = at;
            }
        }
    }
    best
}

vectorised! {
    /// `total += row`.
    fn add_row<T: Real>(total: &mut [T], row: &[T]) {
        for (t, &v) in total.iter_mut().zip(row) {
            *t += v;
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Max,
    Average,
}

struct AdaptiveOp {
    kind: Kind,
    rows: Vec<Range<usize>>,
    columns: Vec<Range<usize>>,
    h: usize,
    w: usize,
}

impl AdaptiveOp {
    fn out_area(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    fn forward<T: Real>(&self, x: &[T], y: &mut [T]) {
        parallel::chunks(y, self.out_area(), |i, out| {
            let plane = &x[i * self.h * self.w..][..self.h * self.w];
            match self.kind {
                Kind::Max => self.max_plane(plane, out),
                Kind::Average => self.average_plane(plane, out),
            }
        });
    }

    fn max_plane<T: Real>(&self, plane: &[T], out: &mut [T]) {
        for (rows, out) in self.rows.iter().zip(out.chunks_mut(self.columns.len())) {
            for (columns, o) in self.columns.iter().zip(out) {
                *o = plane[first_max(plane, self.w, rows.clone(), columns.clone())];
            }
        }
    }

    fn average_plane<T: Real>(&self, plane: &[T], out: &mut [T]) {
        // First the sums along columns, which are vectors, then those along rows.
        let mut sums = Buffer::stale(self.w);
        for (rows, out) in self.rows.iter().zip(out.chunks_mut(self.columns.len())) {
            sums.fill(T::default());
            for row in plane[rows.start * self.w..rows.end * self.w].chunks_exact(self.w) {
                add_row(&mut sums, row);
            }
            for (columns, o) in self.columns.iter().zip(out) {
                let mut total = T::default();
                for &v in &sums[columns.clone()] {
                    total += v;
                }
                *o = total / self.count(rows, columns);
            }
        }
    }

    fn count<T: Real>(&self, rows: &Range<usize>, columns: &Range<usize>) -> T {
        T::from_f64((rows.len() * columns.len()) as f64)
    }

    fn backward<T: Real>(&self, x: &[T], dy: &[T], dx: &mut [T]) {
        let area = self.h * self.w;
        parallel::chunks(dx, area, |i, dplane| {
            dplane.fill(T::default());
            let grad = &dy[i * self.out_area()..][..self.out_area()];
            match self.kind {
                Kind::Max => self.max_plane_back(&x[i * area..][..area], grad, dplane),
                Kind::Average => self.average_plane_back(grad, dplane),
            }
        });
    }

    fn max_plane_back<T: Real>(&self, plane: &[T], grad: &[T], dplane: &mut [T]) {
        for (rows, grad) in self.rows.iter().zip(grad.chunks(self.columns.len())) {
            for (columns, &g) in self.columns.iter().zip(grad) {
                dplane[first_max(plane, self.w, rows.clone(), columns.clone())] += g;
            }
        }
    }

    fn average_plane_back<T: Real>(&self, grad: &[T], dplane: &mut [T]) {
        let mut spread = Buffer::stale(self.w);
        for (rows, grad) in self.rows.iter().zip(grad.chunks(self.columns.len())) {
            spread.fill(T::default());
            for (columns, &g) in self.columns.iter().zip(grad) {
                let g = g / self.count(rows, columns);
                for s in &mut spread[columns.clone()] {
                    *s += g;
                }
            }
            for row in dplane[rows.start * self.w..rows.end * self.w].chunks_exact_mut(self.w) {
                add_row(row, &spread);
            }
        }
    }
}

impl CustomOp1 for AdaptiveOp {
    fn name(&self) -> &'static str {
        "htl-adaptive-pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (batch, channels, _, _) = layout.shape().dims4()?;
        let y = by_dtype!(x.dtype(), self.name(), T => {
            let mut y = vec![T::default(); batch * channels * self.out_area()];
            self.forward::<T>(elements(x, layout)?, &mut y);
            Ok(T::to_cpu_storage_owned(y))
        })?;
        Ok((y, Shape::from((batch, channels, self.rows.len(), self.columns.len()))))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        by_dtype!(x.dtype(), self.name(), T => {
            let mut dx = vec![T::default(); x.elem_count()];
            self.backward::<T>(Reading::of(x).get()?, Reading::of(&grad).get()?, &mut dx);
            Tensor::from_vec(dx, x.shape(), x.device()).map(Some)
        })
    }
}

fn adaptive(op: &'static str, kind: Kind, x: &Tensor, size: (usize, usize)) -> Result<Tensor, OpsError> {
    let [_, _, h, w] = dims4(op, "x", x)?;
    check_size(op, size)?;
    let (rows, columns) = (bins(h, size.0), bins(w, size.1));
    if portable::takes(x) {
        return Ok(match kind {
            Kind::Max => portable::pool::adaptive_max(x, &rows, &columns)?,
            Kind::Average => portable::resize::adaptive_average(x, &rows, &columns)?,
        });
    }
    Ok(x.contiguous()?.apply_op1(AdaptiveOp {
        kind,
        rows,
        columns,
        h,
        w,
    })?)
}

/// Mean over as many bins as the result has positions: output row `o` covers input rows
/// `floor(o height / size.0) .. ceil((o + 1) height / size.0)`, and columns likewise.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`, `f32` or `f64`
/// - result: `[batch, channels, size.0, size.1]`; the size may be larger than the input's
///
/// # Errors
/// [`OpsError`] for another rank, an empty input or an empty size.
///
/// Matches `torch.nn.functional.adaptive_avg_pool2d`.
pub fn adaptive_avg_pool2d(x: &Tensor, size: (usize, usize)) -> Result<Tensor, OpsError> {
    adaptive("adaptive_avg_pool2d", Kind::Average, x, size)
}

/// Maximum over the bins of [`adaptive_avg_pool2d`]. The gradient goes to the first maximum of a bin.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`, `f32` or `f64`
/// - result: `[batch, channels, size.0, size.1]`; the size may be larger than the input's
///
/// # Errors
/// As [`adaptive_avg_pool2d`].
///
/// Matches `torch.nn.functional.adaptive_max_pool2d`.
pub fn adaptive_max_pool2d(x: &Tensor, size: (usize, usize)) -> Result<Tensor, OpsError> {
    adaptive("adaptive_max_pool2d", Kind::Max, x, size)
}
