//! Depthwise convolution: every input channel has windows of its own, any stride, padding and dilation.

// Lanes are indexed by constants so that the compiler keeps them in registers.
#![allow(clippy::needless_range_loop)]

use crate::buffer::Buffer;
use crate::conv::Geometry;
use crate::cpu::vectorised;
use crate::parallel;
use crate::phases::{LANES, Phases, gather, scatter, split, spread, unite, weighted_sum};
use crate::real::Real;

/// Whether this convolution is of the kind handled here.
pub(super) fn applies(g: &Geometry) -> bool {
    // Padding far beyond the image is left to the unfolding, which does not store it.
    let padded = (g.h + 2 * g.p.padding).saturating_mul(g.w + 2 * g.p.padding);
    g.p.groups == g.cin && g.cin > 1 && padded / 64 <= g.h * g.w + g.oh * g.ow
}

/// Elements that one task should at least work on.
pub(crate) const TASK: usize = 1 << 14;

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

pub(crate) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T], y: &mut [T]) {
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

pub(crate) fn backward_input<T: Real>(g: &Geometry, dy: &[T], weight: &[T], dx: &mut [T]) {
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
