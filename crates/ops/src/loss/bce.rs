//! Binary cross entropy.

// Lanes are indexed by constants so that the compiler keeps them in registers.
#![allow(clippy::needless_range_loop)]

use candle_core::Tensor;

use super::pixel::{BLOCKS, Blocks, LANES, LossKind, Pixelwise, Values, each_pixel, pixel_loss, sigmoid};
use crate::OpsError;
use crate::cpu::vectorised;
use crate::real::Real;

vectorised! {
    fn bce_sum<T: Real>(z: &[T], target: &[T], weights: &[T]) -> f64 {
        let zero = T::default();
        let blocks = Blocks::new(z, target, weights);
        let mut total = 0f64;
        for start in (0..blocks.count()).step_by(BLOCKS) {
            let mut lanes = [zero; LANES];
            for i in start..(start + BLOCKS).min(blocks.count()) {
                let [z, t, w] = blocks.get(i);
                for j in 0..LANES {
                    let (_, e) = sigmoid(z[j]);
                    lanes[j] += (z[j].maximum(zero) - z[j] * t[j] + e.ln_1p_unit()) * w[j];
                }
            }
            total += lanes.iter().map(|v| v.to_f64()).sum::<f64>();
        }
        total
    }
}

vectorised! {
    fn bce_gradient<T: Real>(z: &[T], target: &[T], weights: &[T], factor: T, dz: &mut [T]) {
        each_pixel!(dz, z, target, weights, |z, t, w| (sigmoid(z).0 - t) * factor * w);
    }
}

struct Bce;

impl Pixelwise for Bce {
    fn kind(&self) -> LossKind {
        LossKind::Bce
    }

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
