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

/// Where everything of one plane lies.
struct Phases {
    stride: usize,
    padding: usize,
    /// Elements from row to row of a phase.
    pitch: usize,
    /// Elements of a phase.
    phase: usize,
    /// Elements of all phases.
    len: usize,
    /// Flat positions of an output plane.
    run: usize,
    /// Offset of every tap.
    taps: Vec<usize>,
    image: [usize; 2],
    out: [usize; 2],
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
        let run = (g.oh - 1) * pitch + g.ow;
        Self {
            stride,
            padding,
            pitch,
            phase,
            len: stride * stride * phase,
            run,
            taps,
            image: [g.h, g.w],
            out: [g.oh, g.ow],
        }
    }

    /// Calls `visit(start in the phases, start in the image, count)` for each phase of each row; the image's elements are
    /// `stride` apart.
    fn rows(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let ([h, w], s) = (self.image, self.stride);
        for y in 0..h {
            let row = y + self.padding;
            for phase in 0..s {
                // First column whose padded position leaves this remainder.
                let x = (phase + s - self.padding % s) % s;
                if x < w {
                    let to = (row % s * s + phase) * self.phase + row / s * self.pitch + (x + self.padding) / s;
                    visit(to, y * w + x, (w - x).div_ceil(s));
                }
            }
        }
    }

    /// Splits an image; margins are left as they are.
    fn split<T: Real>(&self, image: &[T], phases: &mut [T]) {
        self.rows(|to, from, count| take(&image[from..], self.stride, &mut phases[to..][..count]));
    }

    /// The inverse of [`Phases::split`].
    fn unite<T: Real>(&self, phases: &[T], image: &mut [T]) {
        self.rows(|from, to, count| put(&phases[from..][..count], self.stride, &mut image[to..]));
    }

    /// An output plane as a flat run; what lies between rows is left as it is.
    fn spread<T: Real>(&self, plane: &[T], run: &mut [T]) {
        let [_, ow] = self.out;
        for (y, row) in plane.chunks_exact(ow).enumerate() {
            run[y * self.pitch..][..ow].copy_from_slice(row);
        }
    }
}

vectorised! {
    fn take<T: Real>(from: &[T], step: usize, to: &mut [T]) {
        match step {
            1 => to.copy_from_slice(&from[..to.len()]),
            2 => {
                let pairs = from.chunks_exact(2);
                let last = from.len() / 2;
                for (o, pair) in to.iter_mut().zip(pairs) {
                    *o = pair[0];
                }
                if to.len() > last {
                    to[last] = from[2 * last];
                }
            }
            _ => to.iter_mut().zip(from.iter().step_by(step)).for_each(|(o, &v)| *o = v),
        }
    }
}

vectorised! {
    fn put<T: Real>(from: &[T], step: usize, to: &mut [T]) {
        if step == 1 {
            to[..from.len()].copy_from_slice(from);
        } else {
            to.iter_mut().step_by(step).zip(from).for_each(|(o, &v)| *o = v);
        }
    }
}

const LANES: usize = 32;

vectorised! {
    /// `run[i] = Σ weight[t] * x[taps[t] + i]`.
    fn weighted_sum<T: Real>(x: &[T], taps: &[usize], weight: &[T], run: &mut [T]) {
        let mut at = 0;
        let mut blocks = run.chunks_exact_mut(LANES);
        for block in &mut blocks {
            let mut sum = [T::default(); LANES];
            for (&tap, &w) in taps.iter().zip(weight) {
                let x = &x[tap + at..][..LANES];
                for i in 0..LANES {
                    sum[i] += w * x[i];
                }
            }
            block.copy_from_slice(&sum);
            at += LANES;
        }
        let rest = blocks.into_remainder();
        rest.fill(T::default());
        for (&tap, &w) in taps.iter().zip(weight) {
            for (o, &v) in rest.iter_mut().zip(&x[tap + at..]) {
                *o += w * v;
            }
        }
    }
}

vectorised! {
    /// `dx[taps[t] + i] += weight[t] * run[i]`.
    fn scatter<T: Real>(run: &[T], taps: &[usize], weight: &[T], dx: &mut [T]) {
        for (&tap, &w) in taps.iter().zip(weight) {
            for (o, &v) in dx[tap..][..run.len()].iter_mut().zip(run) {
                *o += w * v;
            }
        }
    }
}

vectorised! {
    /// Adds `Σ run[i] * x[taps[t] + i]` to each of three sums.
    fn dots<T: Real>(run: &[T], x: &[T], taps: [usize; 3], sums: &mut [f64; 3]) {
        // Elements summed in the lanes' own precision before the total goes to `f64`.
        const CHUNK: usize = 2048;
        let n = run.len();
        let x = taps.map(|tap| &x[tap..][..n]);
        for (chunk, run) in run.chunks(CHUNK).enumerate() {
            let x = x.map(|x| &x[chunk * CHUNK..][..run.len()]);
            let [mut l0, mut l1, mut l2] = [[T::default(); LANES]; 3];
            let [x0, x1, x2] = x.map(|x| x.chunks_exact(LANES));
            let blocks = run.chunks_exact(LANES);
            let whole = run.len() - blocks.remainder().len();
            for (((run, x0), x1), x2) in blocks.zip(x0).zip(x1).zip(x2) {
                for i in 0..LANES {
                    l0[i] += run[i] * x0[i];
                    l1[i] += run[i] * x1[i];
                    l2[i] += run[i] * x2[i];
                }
            }
            for at in whole..run.len() {
                l0[at - whole] += run[at] * x[0][at];
                l1[at - whole] += run[at] * x[1][at];
                l2[at - whole] += run[at] * x[2][at];
            }
            let lanes = [l0, l1, l2];
            for k in 0..3 {
                sums[k] += lanes[k].iter().map(|v| v.to_f64()).sum::<f64>();
            }
        }
    }
}

pub(super) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T], y: &mut [T]) {
    let phases = Phases::new(g);
    let (in_area, out_area, taps) = (g.h * g.w, g.oh * g.ow, g.kh * g.kw);
    let multiplier = g.cout / g.cin;
    let planes = TASK.div_ceil(in_area * multiplier);
    parallel::chunks(y, planes * multiplier * out_area, |task, y| {
        // Margins stay zero from plane to plane.
        let mut split = Buffer::<T>::zeros(phases.len);
        let mut run = Buffer::<T>::stale(phases.run);
        for (i, y) in y.chunks_exact_mut(multiplier * out_area).enumerate() {
            let plane = task * planes + i;
            phases.split(&x[plane * in_area..][..in_area], &mut split);
            for (j, y) in y.chunks_exact_mut(out_area).enumerate() {
                let oc = plane % g.cin * multiplier + j;
                weighted_sum(&split, &phases.taps, &weight[oc * taps..][..taps], &mut run);
                for (row, y) in y.chunks_exact_mut(g.ow).enumerate() {
                    y.copy_from_slice(&run[row * phases.pitch..][..g.ow]);
                }
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
        let mut split = Buffer::<T>::stale(phases.len);
        let mut run = Buffer::<T>::zeros(phases.run);
        for (i, dx) in dx.chunks_exact_mut(in_area).enumerate() {
            let plane = task * planes + i;
            split.fill(T::default());
            for j in 0..multiplier {
                let oc = plane % g.cin * multiplier + j;
                phases.spread(&dy[(plane * multiplier + j) * out_area..][..out_area], &mut run);
                scatter(&run, &phases.taps, &weight[oc * taps..][..taps], &mut split);
            }
            phases.unite(&split, dx);
        }
    });
}

pub(super) fn backward_weight<T: Real>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T]) {
    let phases = Phases::new(g);
    let (in_area, out_area, taps) = (g.h * g.w, g.oh * g.ow, g.kh * g.kw);
    let multiplier = g.cout / g.cin;
    parallel::chunks(dw, multiplier * taps, |c, dw| {
        let mut split = Buffer::<T>::zeros(phases.len);
        let mut run = Buffer::<T>::zeros(phases.run);
        let mut sums = vec![[0f64; 3]; multiplier * taps.div_ceil(3)];
        for image in 0..g.batch {
            let plane = image * g.cin + c;
            phases.split(&x[plane * in_area..][..in_area], &mut split);
            for (j, sums) in sums.chunks_exact_mut(taps.div_ceil(3)).enumerate() {
                phases.spread(&dy[(plane * multiplier + j) * out_area..][..out_area], &mut run);
                for (three, sums) in phases.taps.chunks(3).zip(sums) {
                    let last = three[three.len() - 1];
                    dots(
                        &run,
                        &split,
                        [three[0], three.get(1).copied().unwrap_or(last), last],
                        sums,
                    );
                }
            }
        }
        for (dw, sums) in dw.chunks_exact_mut(taps).zip(sums.chunks_exact(taps.div_ceil(3))) {
            for (t, v) in dw.iter_mut().enumerate() {
                *v = T::from_f64(sums[t / 3][t % 3]);
            }
        }
    });
}
