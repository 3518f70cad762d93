//! Binary cross entropy.

// Lanes are indexed by constants so that the compiler keeps them in registers.
#![allow(clippy::needless_range_loop)]

use candle_core::Tensor;

use super::pixel::{LANES, Pixelwise, Values, pixel_loss, sigmoid, weight_at};
use crate::OpsError;
use crate::cpu::vectorised;
use crate::real::Real;

vectorised! {
    fn bce_sum<T: Real>(z: &[T], target: &[T], weights: &[T]) -> f64 {
        let zero = T::default();
        let mut total = 0f64;
        let mut start = 0;
        while start < z.len() {
            let end = (start + 64 * LANES).min(z.len());
            let mut lanes = [zero; LANES];
            for base in (start..end).step_by(LANES) {
                let n = (end - base).min(LANES);
                for j in 0..n {
                    let i = base + j;
                    let (_, e) = sigmoid(z[i]);
                    let value = z[i].maximum(zero) - z[i] * target[i] + e.ln_1p_unit();
                    lanes[j] += value * weight_at(weights, i);
                }
            }
            total += lanes.iter().map(|v| v.to_f64()).sum::<f64>();
            start = end;
        }
        total
    }
}

vectorised! {
    fn bce_gradient<T: Real>(z: &[T], target: &[T], weights: &[T], factor: T, dz: &mut [T]) {
        for i in 0..dz.len() {
            let (p, _) = sigmoid(z[i]);
            dz[i] = (p - target[i]) * factor * weight_at(weights, i);
        }
    }
}

struct Bce;

impl Pixelwise for Bce {
    fn value<T: Real>(&self, z: &[T], target: &[T], weights: &[T]) -> Values {
        Values::of(bce_sum(z, target, weights) / z.len() as f64)
    }

    fn gradient<T: Real>(&self, z: &[T], [target, weights]: [&[T]; 2], grad: f64, _: &Values, dz: &mut [T]) {
        bce_gradient(z, target, weights, T::from_f64(grad / z.len() as f64), dz);
    }
}

/// Binary cross entropy of logits, averaged over each image's pixels.
///
/// With pixel weights the sum of `weight * loss` is still divided by the number of pixels, as PyTorch does: a weight of 0
/// silences a pixel without making the others louder.
///
/// # Shapes
/// - `logits`, `target` (in [0, 1], soft targets allowed), `weights`: `[batch, ...]`, one type
/// - result: `[batch]`
///
/// # Errors
/// [`OpsError`] if shapes or types differ, or anything is empty.
///
/// Matches `torch.nn.functional.binary_cross_entropy_with_logits(..., reduction="none")` averaged per image.
pub fn bce_with_logits(logits: &Tensor, target: &Tensor, weights: Option<&Tensor>) -> Result<Tensor, OpsError> {
    pixel_loss("bce_with_logits", Bce, logits, target, weights)
}
