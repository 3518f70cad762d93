//! Any stride, padding, dilation and groups, in `f32` and `f64`: unfold (im2col) and matrix product.

use crate::buffer::Buffer;
use crate::conv::Geometry;
use crate::parallel;
use crate::real::Real;

/// `dst[m, n] = lhs[m, k] * rhs[k, n]`, with element strides (row, column). Runs in the calling thread.
fn matmul<T: Real>(
    [m, n, k]: [usize; 3],
    dst: &mut [T],
    accumulate: bool,
    (lhs, lhs_strides): (&[T], [usize; 2]),
    (rhs, rhs_strides): (&[T], [usize; 2]),
) {
    assert!(dst.len() >= m * n);
    assert!(lhs.len() > (m - 1) * lhs_strides[0] + (k - 1) * lhs_strides[1]);
    assert!(rhs.len() > (k - 1) * rhs_strides[0] + (n - 1) * rhs_strides[1]);
    // SAFETY: the assertions keep every access inside of its slice; `dst` is exclusively borrowed.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            dst.as_mut_ptr(),
            1,
            n as isize,
            accumulate,
            lhs.as_ptr(),
            lhs_strides[1] as isize,
            lhs_strides[0] as isize,
            rhs.as_ptr(),
            rhs_strides[1] as isize,
            rhs_strides[0] as isize,
            T::one(),
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Output positions `o` in `0..out` for which `o * stride + offset - padding` lies in `0..size`.
fn valid(out: usize, size: usize, stride: usize, offset: usize, padding: usize) -> std::ops::Range<usize> {
    let from = padding.saturating_sub(offset).div_ceil(stride).min(out);
    let to = if size + padding > offset {
        ((size + padding - offset - 1) / stride + 1).min(out)
    } else {
        0
    };
    from..to.max(from)
}

/// Calls `visit(row, y, x range, input start)` for every run of in-image positions of every row of the unfolded matrix.
fn runs(g: &Geometry, channels: usize, mut visit: impl FnMut(usize, usize, std::ops::Range<usize>, usize)) {
    let p = g.p;
    for c in 0..channels {
        for ky in 0..g.kh {
            let rows = valid(g.oh, g.h, p.stride, ky * p.dilation, p.padding);
            for kx in 0..g.kw {
                let columns = valid(g.ow, g.w, p.stride, kx * p.dilation, p.padding);
                if columns.is_empty() {
                    continue;
                }
                let row = (c * g.kh + ky) * g.kw + kx;
                for oy in rows.clone() {
                    let iy = oy * p.stride + ky * p.dilation - p.padding;
                    let ix = columns.start * p.stride + kx * p.dilation - p.padding;
                    visit(row, oy, columns.clone(), (c * g.h + iy) * g.w + ix);
                }
            }
        }
    }
}

/// Whether the unfolded matrix is the input itself.
fn is_pointwise(g: &Geometry) -> bool {
    g.kh == 1 && g.kw == 1 && g.p.stride == 1 && g.p.padding == 0
}

fn unfold<T: Real>(g: &Geometry, channels: usize, image: &[T], columns: &mut [T]) {
    let area = g.oh * g.ow;
    if g.p.padding > 0 {
        columns.fill(T::default());
    }
    runs(g, channels, |row, oy, range, from| {
        let out = &mut columns[row * area + oy * g.ow..][range];
        if g.p.stride == 1 {
            out.copy_from_slice(&image[from..from + out.len()]);
        } else {
            for (o, &v) in out.iter_mut().zip(image[from..].iter().step_by(g.p.stride)) {
                *o = v;
            }
        }
    });
}

fn fold<T: Real>(g: &Geometry, channels: usize, columns: &[T], image: &mut [T]) {
    let area = g.oh * g.ow;
    image.fill(T::default());
    runs(g, channels, |row, oy, range, from| {
        let source = &columns[row * area + oy * g.ow..][range];
        for (&v, i) in source.iter().zip(image[from..].iter_mut().step_by(g.p.stride)) {
            *i += v;
        }
    });
}

struct Sizes {
    cig: usize,
    cog: usize,
    k: usize,
    area: usize,
    in_group: usize,
    out_group: usize,
}

fn sizes(g: &Geometry) -> Sizes {
    let (cig, cog) = (g.cin / g.p.groups, g.cout / g.p.groups);
    let area = g.oh * g.ow;
    Sizes {
        cig,
        cog,
        k: cig * g.kh * g.kw,
        area,
        in_group: cig * g.h * g.w,
        out_group: cog * area,
    }
}

pub(super) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T], y: &mut [T]) {
    let s = sizes(g);
    parallel::chunks(y, s.out_group, |i, out| {
        let image = &x[i * s.in_group..][..s.in_group];
        let w = &weight[(i % g.p.groups) * s.cog * s.k..][..s.cog * s.k];
        if is_pointwise(g) {
            matmul([s.cog, s.area, s.k], out, false, (w, [s.k, 1]), (image, [s.area, 1]));
        } else {
            let mut columns = Buffer::stale(s.k * s.area);
            unfold(g, s.cig, image, &mut columns);
            matmul([s.cog, s.area, s.k], out, false, (w, [s.k, 1]), (&columns, [s.area, 1]));
        }
    });
}

pub(super) fn backward_input<T: Real>(g: &Geometry, dy: &[T], weight: &[T], dx: &mut [T]) {
    let s = sizes(g);
    parallel::chunks(dx, s.in_group, |i, image| {
        let grad = &dy[i * s.out_group..][..s.out_group];
        let w = &weight[(i % g.p.groups) * s.cog * s.k..][..s.cog * s.k];
        if is_pointwise(g) {
            matmul([s.k, s.area, s.cog], image, false, (w, [1, s.k]), (grad, [s.area, 1]));
        } else {
            let mut columns = Buffer::stale(s.k * s.area);
            matmul(
                [s.k, s.area, s.cog],
                &mut columns,
                false,
                (w, [1, s.k]),
                (grad, [s.area, 1]),
            );
            fold(g, s.cig, &columns, image);
        }
    });
}

pub(super) fn backward_weight<T: Real>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T]) {
    let s = sizes(g);
    let per_image = g.w_len();
    if g.p.groups == 1 && per_image > s.k * s.area {
        return backward_many_weights(g, &s, x, dy, dw);
    }
    // One partial gradient per image, added in image order: the same bits for any number of threads.
    let mut partial = Buffer::<T>::stale(g.batch * per_image);
    parallel::chunks(&mut partial, s.cog * s.k, |i, out| {
        let image = &x[i * s.in_group..][..s.in_group];
        let grad = &dy[i * s.out_group..][..s.out_group];
        if is_pointwise(g) {
            matmul(
                [s.cog, s.k, s.area],
                out,
                false,
                (grad, [s.area, 1]),
                (image, [1, s.area]),
            );
        } else {
            let mut columns = Buffer::stale(s.k * s.area);
            unfold(g, s.cig, image, &mut columns);
            matmul(
                [s.cog, s.k, s.area],
                out,
                false,
                (grad, [s.area, 1]),
                (&columns, [1, s.area]),
            );
        }
    });
    dw.copy_from_slice(&partial[..per_image]);
    for image in partial[per_image..].chunks(per_image) {
        dw.iter_mut().zip(image).for_each(|(a, &b)| *a += b);
    }
}

/// Output channels of a task.
const ROWS: usize = 32;

/// The same where there are more weights than unfolded positions: all images are unfolded, and there is one gradient.
fn backward_many_weights<T: Real>(g: &Geometry, s: &Sizes, x: &[T], dy: &[T], dw: &mut [T]) {
    let mut columns = Buffer::<T>::stale(g.batch * s.k * s.area);
    parallel::chunks(&mut columns, s.k * s.area, |i, columns| {
        unfold(g, s.cig, &x[i * s.in_group..][..s.in_group], columns);
    });
    parallel::chunks(dw, ROWS * s.k, |task, out| {
        let rows = out.len() / s.k;
        for (image, columns) in columns.chunks_exact(s.k * s.area).enumerate() {
            let grad = &dy[image * s.out_group + task * ROWS * s.area..][..rows * s.area];
            let columns = (columns, [1, s.area]);
            matmul([rows, s.k, s.area], out, image > 0, (grad, [s.area, 1]), columns);
        }
    });
}
