//! Planes split by a stride, for windows that move over them.
//!
//! A padded plane is split by the stride into *phases*: positions whose row and column leave the same remainders lie
//! together. A tap is then a fixed offset from an output position, whatever the stride, and a plane is one flat run of
//! outputs, `pitch` apart from row to row; the few results between rows are dropped.

// Lanes are indexed by constants so that the compiler keeps them in registers.
#![allow(clippy::needless_range_loop)]

use crate::conv::Geometry;
use crate::cpu::vectorised;

/// Elements of the vectors that runs are made of.
pub(crate) const LANES: usize = 32;

/// A row of a plane and where its elements, `stride` apart, lie among the phases.
#[derive(Clone, Copy)]
struct Row {
    phases: usize,
    image: usize,
    count: usize,
}

/// Where everything of one plane lies.
pub(crate) struct Phases {
    stride: usize,
    /// Elements from row to row of a phase.
    pitch: usize,
    /// Elements of all phases, and a vector behind them.
    pub len: usize,
    /// Flat positions of an output plane, in whole vectors.
    pub run: usize,
    /// Offset of every tap.
    pub taps: Vec<usize>,
    rows: Vec<Row>,
    /// Columns of an output plane.
    ow: usize,
}

impl Phases {
    pub(crate) fn new(g: &Geometry) -> Self {
        let Geometry {
            h, w, kh, kw, oh, ow, ..
        } = *g;
        let (stride, padding, dilation) = (g.p.stride, g.p.padding, g.p.dilation);
        let pitch = (w + 2 * padding).div_ceil(stride);
        let phase = (h + 2 * padding).div_ceil(stride) * pitch;
        // A stride beyond the padded plane leaves most remainders without a row or column.
        let [down, across] = [h, w].map(|size| stride.min(size + 2 * padding));
        let at = |row: usize, column: usize| {
            (row % stride * across + column % stride) * phase + row / stride * pitch + column / stride
        };
        let taps = (0..kh * kw).map(|t| at(t / kw * dilation, t % kw * dilation)).collect();
        let mut rows = Vec::with_capacity(h * stride.min(w));
        for y in 0..h {
            for x in 0..stride.min(w) {
                rows.push(Row {
                    phases: at(y + padding, x + padding),
                    image: y * w + x,
                    count: (w - x).div_ceil(stride),
                });
            }
        }
        Self {
            stride,
            pitch,
            len: down * across * phase + LANES,
            run: ((oh - 1) * pitch + ow).next_multiple_of(LANES),
            taps,
            rows,
            ow,
        }
    }
}

vectorised! {
    /// Splits an image; margins are left as they are.
    pub(crate) fn split<T: Real>(layout: &Phases, image: &[T], phases: &mut [T]) {
        for row in &layout.rows {
            let to = &mut phases[row.phases..][..row.count];
            let from = &image[row.image..];
            match layout.stride {
                1 => to.iter_mut().zip(from).for_each(|(o, &v)| *o = v),
                2 => {
                    let pairs = from.chunks_exact(2);
                    let last = from.len() / 2;
                    for (o, pair) in to.iter_mut().zip(pairs) {
                        *o = pair[0];
                    }
                    if row.count > last {
                        to[last] = from[2 * last];
                    }
                }
                step => to.iter_mut().zip(from.iter().step_by(step)).for_each(|(o, &v)| *o = v),
            }
        }
    }
}

vectorised! {
    /// The inverse of [`split`].
    pub(crate) fn unite<T: Real>(layout: &Phases, phases: &[T], image: &mut [T]) {
        for row in &layout.rows {
            let from = &phases[row.phases..][..row.count];
            let to = &mut image[row.image..];
            if layout.stride == 1 {
                to.iter_mut().zip(from).for_each(|(o, &v)| *o = v);
            } else {
                to.iter_mut().step_by(layout.stride).zip(from).for_each(|(o, &v)| *o = v);
            }
        }
    }
}

vectorised! {
    /// An output plane as a flat run; what lies between rows is left as it is.
    pub(crate) fn spread<T: Real>(layout: &Phases, plane: &[T], run: &mut [T]) {
        for (y, row) in plane.chunks_exact(layout.ow).enumerate() {
            run[y * layout.pitch..].iter_mut().zip(row).for_each(|(o, &v)| *o = v);
        }
    }
}

vectorised! {
    /// The inverse of [`spread`].
    pub(crate) fn gather<T: Real>(layout: &Phases, run: &[T], plane: &mut [T]) {
        for (y, row) in plane.chunks_exact_mut(layout.ow).enumerate() {
            row.iter_mut().zip(&run[y * layout.pitch..]).for_each(|(o, &v)| *o = v);
        }
    }
}

vectorised! {
    /// `run[i] = Σ weight[t] * x[taps[t] + i]`, `run` in whole vectors.
    pub(crate) fn weighted_sum<T: Real>(x: &[T], taps: &[usize], weight: &[T], run: &mut [T]) {
        for (block, run) in run.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let mut sum = [T::default(); LANES];
            for (&tap, &w) in taps.iter().zip(weight) {
                let x = &x[tap + block * LANES..][..LANES];
                for i in 0..LANES {
                    sum[i] += w * x[i];
                }
            }
            *run = sum;
        }
    }
}

vectorised! {
    /// `dx[taps[t] + i] += weight[t] * run[i]`, `run` in whole vectors.
    pub(crate) fn scatter<T: Real>(run: &[T], taps: &[usize], weight: &[T], dx: &mut [T]) {
        for (&tap, &w) in taps.iter().zip(weight) {
            for (dx, &v) in dx[tap..][..run.len()].iter_mut().zip(run) {
                *dx += w * v;
            }
        }
    }
}
