//! Sums over the planes of a channel.

// Lanes are indexed by constants so that the compiler keeps them in registers.
#![allow(clippy::needless_range_loop)]

use crate::cpu::vectorised;
use crate::real::Real;

pub(crate) const LANES: usize = 16;
/// Elements summed in the lanes' own precision before the total goes to `f64`.
pub(crate) const CHUNK: usize = 1024;

/// The planes of one channel in `[batch, channels, area]`.
#[derive(Clone, Copy)]
pub(crate) struct Planes {
    pub(super) channel: usize,
    pub(super) channels: usize,
    pub(super) area: usize,
    /// Elements in all planes of all channels.
    pub(super) len: usize,
}

impl Planes {
    /// One plane.
    pub(crate) fn one(len: usize) -> Self {
        Self {
            channel: 0,
            channels: 1,
            area: len,
            len,
        }
    }

    fn starts(self) -> impl Iterator<Item = usize> {
        (self.channel * self.area..self.len).step_by(self.channels * self.area)
    }
}

/// Two sums over the planes of a channel: lanes run on from plane to plane, so that small planes cost no more.
pub(crate) struct Sums<T> {
    lanes: [[T; LANES]; 2],
    count: usize,
    total: [f64; 2],
}

impl<T: Real> Sums<T> {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self {
            lanes: [[T::default(); LANES]; 2],
            count: 0,
            total: [0.0; 2],
        }
    }

    /// Adds `terms(a, b)` for all pairs, of which there are at most [`CHUNK`].
    #[inline(always)]
    pub(crate) fn add(&mut self, a: &[T], b: &[T], terms: impl Fn(T, T) -> [T; 2]) {
        let [mut s1, mut s2] = self.lanes;
        let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        let rest = a_blocks.remainder().iter().zip(b_blocks.remainder());
        for (a, b) in a_blocks.zip(b_blocks) {
            for i in 0..LANES {
                let [t1, t2] = terms(a[i], b[i]);
                s1[i] += t1;
                s2[i] += t2;
            }
        }
        for ((&a, &b), (s1, s2)) in rest.zip(s1.iter_mut().zip(&mut s2)) {
            let [t1, t2] = terms(a, b);
            *s1 += t1;
            *s2 += t2;
        }
        self.lanes = [s1, s2];
        self.count += a.len();
        if self.count >= CHUNK {
            self.flush();
        }
    }

    /// The sums.
    #[inline(always)]
    pub(crate) fn total(mut self) -> [f64; 2] {
        self.flush();
        self.total
    }

    #[inline(always)]
    fn flush(&mut self) {
        for (total, lanes) in self.total.iter_mut().zip(&mut self.lanes) {
            *total += lanes.iter().map(|v| v.to_f64()).sum::<f64>();
            *lanes = [T::default(); LANES];
        }
        self.count = 0;
    }
}

vectorised! {
    /// Sum of `v - pivot` and of its square over a channel.
    pub(crate) fn moments<T: Real>(data: &[T], planes: Planes, pivot: T) -> [f64; 2] {
        let mut sums = Sums::new();
        for start in planes.starts() {
            for chunk in data[start..][..planes.area].chunks(CHUNK) {
                sums.add(chunk, chunk, #[inline(always)] |v, _| {
                    let d = v - pivot;
                    [d, d * d]
                });
            }
        }
        sums.total()
    }
}

vectorised! {
    /// Sums of `g` and of `g * (y - mean)` over a channel, where `g` is the gradient that passes the activation.
    pub(super) fn gradient_sums<T: Real>(
        y: &[T], grad: &[T], planes: Planes, affine: [T; 2], mean: T, bounds: [T; 2],
    ) -> [f64; 2] {
        let mut sums = Sums::new();
        let zero = T::default();
        for start in planes.starts() {
            let (y, grad) = (&y[start..][..planes.area], &grad[start..][..planes.area]);
            for (y, grad) in y.chunks(CHUNK).zip(grad.chunks(CHUNK)) {
                sums.add(y, grad, #[inline(always)] |y, grad| {
                    let z = y * affine[0] + affine[1];
                    let g = if (z > bounds[0]) & (z < bounds[1]) { grad } else { zero };
                    [g, g * (y - mean)]
                });
            }
        }
        sums.total()
    }
}
