//! Depthwise convolution: every input channel has windows of its own, any stride, padding and dilation.
//!
//! A padded plane is split by the stride into *phases*: positions whose row and column leave the same remainders lie
//! together. A tap is then a fixed offset from an output position, whatever the stride, and a plane is one flat run of
//! outputs, `pitch` apart from row to row; the few results between rows are dropped.

use crate::buffer::Buffer;
use crate::conv::Geometry;
use crate::cpu::vectorised;
use crate::parallel;
use crate::real::Real;

/// Whether this convolution is of the kind handled here.
pub(super) fn applies(g: &Geometry) -> bool {
    g.p.groups == g.cin && g.cin > 1
}

/// Elements that one task should at least work on.
const TASK: usize = 1 << 14;

const LANES: usize = 32;

/// A row of a plane and where its elements, `stride` apart, lie among the phases.
#[derive(Clone, Copy)]
struct Row {
    phases: usize,
    image: usize,
    count: usize,
}

/// Where everything of one plane lies.
struct Phases {
    stride: usize,
    /// Elements from row to row of a phase.
    pitch: usize,
    /// Elements of all phases, and a vector behind them.
    len: usize,
    /// Flat positions of an output plane, in whole vectors.
    run: usize,
    /// Offset of every tap.
    taps: Vec<usize>,
    rows: Vec<Row>,
    /// Columns of an output plane.
    ow: usize,
}

impl Phases {
    fn new(g: &Geometry) -> Self {
        let (stride, padding, dilation) = (g.p.stride, g.p.padding, g.p.dilation);
        let pitch = (g.w + 2 * padding).div_ceil(stride);
        let phase = (g.h + 2 * padding).div_ceil(stride) * pitch;
        let at = |row: usize, column: usize| {
            (row % stride * stride + column % stride) * phase + row / stride * pitch + column / stride
        };
        let taps = (0..g.kh * g.kw)
            .map(|t| at(t / g.kw * dilation, t % g.kw * dilation))
            .collect();
        let mut rows = Vec::with_capacity(g.h * stride);
        for y in 0..g.h {
            for x in 0..stride.min(g.w) {
                rows.push(Row {
                    phases: at(y + padding, x + padding),
                    image: y * g.w + x,
                    count: (g.w - x).div_ceil(stride),
                });
            }
        }
        Self {
            stride,
            pitch,
            len: stride * stride * phase + LANES,
            run: ((g.oh - 1) * pitch + g.ow).next_multiple_of(LANES),
            taps,
            rows,
            ow: g.ow,
        }
    }
}

vectorised! {
    /// Splits an image; margins are left as they are.
    fn split<T: Real>(layout: &Phases, image: &[T], phases: &mut [T]) {
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
    fn unite<T: Real>(layout: &Phases, phases: &[T], image: &mut [T]) {
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
    fn spread<T: Real>(layout: &Phases, plane: &[T], run: &mut [T]) {
        for (y, row) in plane.chunks_exact(layout.ow).enumerate() {
            run[y * layout.pitch..].iter_mut().zip(row).for_each(|(o, &v)| *o = v);
        }
    }
}

vectorised! {
    /// The inverse of [`spread`].
    fn gather<T: Real>(layout: &Phases, run: &[T], plane: &mut [T]) {
        for (y, row) in plane.chunks_exact_mut(layout.ow).enumerate() {
            row.iter_mut().zip(&run[y * layout.pitch..]).for_each(|(o, &v)| *o = v);
        }
    }
}

vectorised! {
    /// `run[i] = Σ weight[t] * x[taps[t] + i]`, `run` in whole vectors.
    fn weighted_sum<T: Real>(x: &[T], taps: &[usize], weight: &[T], run: &mut [T]) {
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
    fn scatter<T: Real>(run: &[T], taps: &[usize], weight: &[T], dx: &mut [T]) {
        for (&tap, &w) in taps.iter().zip(weight) {
            for (dx, &v) in dx[tap..][..run.len()].iter_mut().zip(run) {
                *dx += w * v;
            }
        }
    }
}

vectorised! {
    /// Adds `run[i] * x[taps[t] + i]` to three vectors of sums, `run` in whole vectors.
    fn dots<T: Real>(run: &[T], x: &[T], taps: [usize; 3], lanes: &mut [T]) {
        let [x0, x1, x2] = taps.map(|tap| x[tap..][..run.len()].as_chunks::<LANES>().0);
        let [mut l0, mut l1, mut l2] = [[T::default(); LANES]; 3];
        for (((run, x0), x1), x2) in run.as_chunks::<LANES>().0.iter().zip(x0).zip(x1).zip(x2) {
            for i in 0..LANES {
                l0[i] += run[i] * x0[i];
                l1[i] += run[i] * x1[i];
                l2[i] += run[i] * x2[i];
            }
        }
        let (lanes, _) = lanes.as_chunks_mut::<LANES>();
        for i in 0..LANES {
            lanes[0][i] += l0[i];
            lanes[1][i] += l1[i];
            lanes[2][i] += l2[i];
        }
    }
}

/// Elements of a run that are summed in the lanes' own precision before the total goes to `f64`.
const SWEEP: usize = 2048;

pub(super) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T], y: &mut [T]) {
    let phases = Phases::new(g);
    let (in_area, out_area, taps) = (g.h * g.w, g.oh * g.ow, g.kh * g.kw);
    let multiplier = g.cout / g.cin;
    let planes = TASK.div_ceil(in_area * multiplier);
    parallel::chunks(y, planes * multiplier * out_area, |task, y| {
        // Margins stay zero from plane to plane.
        let mut image = Buffer::<T>::zeros(phases.len);
        let mut run = Buffer::<T>::stale(phases.run);
        for (i, y) in y.chunks_exact_mut(multiplier * out_area).enumerate() {
            let plane = task * planes + i;
            split(&phases, &x[plane * in_area..][..in_area], &mut image);
            for (j, y) in y.chunks_exact_mut(out_area).enumerate() {
                let oc = plane % g.cin * multiplier + j;
                weighted_sum(&image, &phases.taps, &weight[oc * taps..][..taps], &mut run);
                gather(&phases, &run, y);
            }
        }
    });
}

pub(super) fn backward_input<T: Real>(g: &Geometry, dy: &[T], weight: &[T], dx: &mut [T]) {
    let phases = Phases::new(g);
    let (in_area, out_area, taps) = (g.h * g.w, g.oh * g.ow, g.kh * g.kw);
    let multiplier = g.cout / g.cin;
    let planes = TASK.div_ceil(in_area);
    parallel::chunks(dx, planes * in_area, |task, dx| {
        let mut image = Buffer::<T>::stale(phases.len);
        let mut run = Buffer::<T>::zeros(phases.run);
        for (i, dx) in dx.chunks_exact_mut(in_area).enumerate() {
            let plane = task * planes + i;
            image.fill(T::default());
            for j in 0..multiplier {
                let oc = plane % g.cin * multiplier + j;
                spread(
                    &phases,
                    &dy[(plane * multiplier + j) * out_area..][..out_area],
                    &mut run,
                );
                scatter(&run, &phases.taps, &weight[oc * taps..][..taps], &mut image);
            }
            unite(&phases, &image, dx);
        }
    });
}

pub(super) fn backward_weight<T: Real>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T]) {
    let phases = Phases::new(g);
    let (in_area, out_area, taps) = (g.h * g.w, g.oh * g.ow, g.kh * g.kw);
    let multiplier = g.cout / g.cin;
    let threes = taps.div_ceil(3);
    parallel::chunks(dw, multiplier * taps, |c, dw| {
        // Margins stay zero from image to image, as do the gradients between rows.
        let mut image = Buffer::<T>::zeros(phases.len);
        let mut run = Buffer::<T>::zeros(phases.run);
        let mut lanes = Buffer::<T>::zeros(multiplier * threes * 3 * LANES);
        let mut sums = vec![0f64; multiplier * threes * 3];
        let mut count = 0;
        for at in 0..g.batch {
            let plane = at * g.cin + c;
            split(&phases, &x[plane * in_area..][..in_area], &mut image);
            for (j, lanes) in lanes.chunks_exact_mut(threes * 3 * LANES).enumerate() {
                spread(
                    &phases,
                    &dy[(plane * multiplier + j) * out_area..][..out_area],
                    &mut run,
                );
                for (three, lanes) in phases.taps.chunks(3).zip(lanes.chunks_exact_mut(3 * LANES)) {
                    let last = three[three.len() - 1];
                    let taps = [three[0], three.get(1).copied().unwrap_or(last), last];
                    dots(&run, &image, taps, lanes);
                }
            }
            count += phases.run;
            if count >= SWEEP || at + 1 == g.batch {
                for (sum, lanes) in sums.iter_mut().zip(lanes.chunks_exact(LANES)) {
                    *sum += lanes.iter().map(|v| v.to_f64()).sum::<f64>();
                }
                lanes.fill(T::default());
                count = 0;
            }
        }
        for (dw, sums) in dw.chunks_exact_mut(taps).zip(sums.chunks_exact(threes * 3)) {
            for (v, &sum) in dw.iter_mut().zip(sums) {
                *v = T::from_f64(sum);
            }
        }
    });
}
