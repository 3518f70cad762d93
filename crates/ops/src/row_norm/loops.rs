//! The loops over elements.

// Lanes are indexed by constants so that the compiler keeps them in registers.
#![allow(clippy::needless_range_loop)]

use crate::cpu::vectorised;
use crate::norm::{CHUNK, LANES, Sums};

vectorised! {
    /// `out = activation((x - pivot) * scale + shift)`, the activation being a restriction to `bounds`.
    pub(super) fn scale_run<T: Real>(x: &[T], by: [T; 3], bounds: [T; 2], out: &mut [T]) {
        for (o, &x) in out.iter_mut().zip(x) {
            let z = (x - by[0]) * by[1] + by[2];
            // In this order NaN stays NaN.
            let z = if z < bounds[0] { bounds[0] } else { z };
            *o = if z > bounds[1] { bounds[1] } else { z };
        }
    }
}

vectorised! {
    /// Sums of `g` and of `g * (x - pivot)`, where `g` is the gradient that passes the activation.
    pub(super) fn run_sums<T: Real>(x: &[T], grad: &[T], by: [T; 3], bounds: [T; 2]) -> [f64; 2] {
        let zero = T::default();
        let mut sums = Sums::new();
        for (x, grad) in x.chunks(CHUNK).zip(grad.chunks(CHUNK)) {
            sums.add(x, grad, #[inline(always)] |x, grad| {
                let d = x - by[0];
                let z = d * by[1] + by[2];
                let g = if (z > bounds[0]) & (z < bounds[1]) { grad } else { zero };
                [g, g * d]
            });
        }
        sums.total()
    }
}

vectorised! {
    /// `dx = a * g + b * (x - pivot) + c`.
    pub(super) fn run_gradient<T: Real>(x: &[T], grad: &[T], by: [T; 3], abc: [T; 3], bounds: [T; 2], dx: &mut [T]) {
        let zero = T::default();
        for ((o, &x), &grad) in dx.iter_mut().zip(x).zip(grad) {
            let d = x - by[0];
            let z = d * by[1] + by[2];
            let g = if z > bounds[0] && z < bounds[1] { grad } else { zero };
            *o = abc[0] * g + (abc[1] * d + abc[2]);
        }
    }
}

vectorised! {
    /// `out = gamma * ((x - pivot) * scale + shift) + beta`.
    pub(super) fn scale_row<T: Real>(x: &[T], by: [T; 3], gamma: &[T], beta: &[T], out: &mut [T]) {
        for (((o, &x), &gamma), &beta) in out.iter_mut().zip(x).zip(gamma).zip(beta) {
            *o = gamma * ((x - by[0]) * by[1] + by[2]) + beta;
        }
    }
}

vectorised! {
    /// Sums of `gamma * g` and of `gamma * g * normalised`.
    pub(super) fn row_sums<T: Real>(x: &[T], grad: &[T], gamma: &[T], by: [T; 3]) -> [f64; 2] {
        let zero = T::default();
        let mut total = [0f64; 2];
        for ((x, grad), gamma) in x.chunks(CHUNK).zip(grad.chunks(CHUNK)).zip(gamma.chunks(CHUNK)) {
            let mut s1 = [zero; LANES];
            let mut s2 = [zero; LANES];
            let whole = x.len() - x.len() % LANES;
            for at in (0..whole).step_by(LANES) {
                let (x, grad, gamma) = (&x[at..][..LANES], &grad[at..][..LANES], &gamma[at..][..LANES]);
                for i in 0..LANES {
                    let g = grad[i] * gamma[i];
                    s1[i] += g;
                    s2[i] += g * ((x[i] - by[0]) * by[1] + by[2]);
                }
            }
            for at in whole..x.len() {
                let g = grad[at] * gamma[at];
                s1[at - whole] += g;
                s2[at - whole] += g * ((x[at] - by[0]) * by[1] + by[2]);
            }
            total[0] += s1.iter().map(|v| v.to_f64()).sum::<f64>();
            total[1] += s2.iter().map(|v| v.to_f64()).sum::<f64>();
        }
        total
    }
}

vectorised! {
    /// `dx = scale * (gamma * g - means[0] - normalised * means[1])`.
    pub(super) fn row_gradient<T: Real>(x: &[T], grad: &[T], gamma: &[T], by: [T; 3], means: [T; 2], dx: &mut [T]) {
        for (((o, &x), &grad), &gamma) in dx.iter_mut().zip(x).zip(grad).zip(gamma) {
            let normalised = (x - by[0]) * by[1] + by[2];
            *o = by[1] * (grad * gamma - means[0] - normalised * means[1]);
        }
    }
}

vectorised! {
    /// Adds `g * normalised` and `g`, element by element.
    pub(super) fn add_affine_gradient<T: Real>(x: &[T], grad: &[T], by: [T; 3], dgamma: &mut [T], dbeta: &mut [T]) {
        for (((&x, &grad), dgamma), dbeta) in x.iter().zip(grad).zip(dgamma).zip(dbeta) {
            *dgamma += grad * ((x - by[0]) * by[1] + by[2]);
            *dbeta += grad;
        }
    }
}
