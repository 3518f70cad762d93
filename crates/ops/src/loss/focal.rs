//! Focal loss.

// Lanes are indexed by constants so that the compiler keeps them in registers.
#![allow(clippy::needless_range_loop)]

use candle_core::Tensor;

use super::pixel::{
    BLOCKS, Blocks, LANES, LossKind, Pixelwise, Values, both_sides, check, each_pixel, pixel_loss, sigmoid,
};
use crate::OpsError;
use crate::cpu::vectorised;
use crate::real::Real;

/// What [`focal_with_logits`] emphasises.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FocalParams {
    /// Weight of the positive class, that of the negative class being `1 - alpha`; in [0, 1]. No weights if absent.
    pub alpha: Option<f64>,
    /// Exponent of the factor that silences easy pixels, at least 0; 0 is plain cross entropy.
    pub gamma: f64,
}

impl Default for FocalParams {
    /// `alpha` 0.25 and `gamma` 2, as in the paper and in torchvision.
    fn default() -> Self {
        Self {
            alpha: Some(0.25),
            gamma: 2.0,
        }
    }
}

/// What the loss of one pixel is made of.
struct Parts<T> {
    /// Sigmoid.
    p: T,
    /// `p (1 - p)`.
    slope: T,
    /// Cross entropy.
    entropy: T,
    /// Probability missed, `p (1 - t) + (1 - p) t`; over 0, so that it has a logarithm.
    missed: T,
    /// `missed^gamma`.
    power: T,
}

#[inline(always)]
fn parts<T: Real>(z: T, t: T, gamma: T, least: T) -> Parts<T> {
    let (zero, one) = (T::default(), T::one());
    let (_, e) = sigmoid(z);
    let [p, rest] = both_sides(z);
    let entropy = z.maximum(zero) - z * t + e.ln_1p_unit();
    let missed = (p * (one - t) + rest * t).maximum(least);
    Parts {
        p,
        slope: p * rest,
        entropy,
        missed,
        power: (gamma * missed.ln_normal()).exp(),
    }
}

/// Derivative of one pixel's `missed^gamma CE`.
#[inline(always)]
fn slope<T: Real>(v: Parts<T>, t: T, gamma: T) -> T {
    // d missed^gamma = gamma missed^gamma (1 - 2 t) p (1 - p) / missed; the quotient is at most 1 for hard targets.
    let turn = gamma * (T::one() - t - t) * (v.slope / v.missed);
    v.power * (v.p - t + v.entropy * turn)
}

vectorised! {
    /// `factors[0]` weights the negative class, `factors[1]` the difference to the positive one.
    fn focal_sum<T: Real>(z: &[T], target: &[T], weights: &[T], factors: [T; 2], gamma: T) -> f64 {
        let least = T::from_f64(T::LEAST_NORMAL);
        let blocks = Blocks::new(z, target, weights);
        let mut total = 0f64;
        for start in (0..blocks.count()).step_by(BLOCKS) {
            let mut lanes = [T::default(); LANES];
            for i in start..(start + BLOCKS).min(blocks.count()) {
                let [z, t, w] = blocks.get(i);
                for j in 0..LANES {
                    let v = parts(z[j], t[j], gamma, least);
                    lanes[j] += v.entropy * v.power * (factors[0] + factors[1] * t[j]) * w[j];
                }
            }
            total += lanes.iter().map(|v| v.to_f64()).sum::<f64>();
        }
        total
    }
}

vectorised! {
    fn focal_gradient<T: Real>(
        z: &[T], target: &[T], weights: &[T], factors: [T; 2], gamma: T, scale: T, dz: &mut [T],
    ) {
        let least = T::from_f64(T::LEAST_NORMAL);
        each_pixel!(dz, z, target, weights, |z, t, w| {
            slope(parts(z, t, gamma, least), t, gamma) * ((factors[0] + factors[1] * t) * scale * w)
        });
    }
}

impl FocalParams {
    fn factors<T: Real>(&self) -> [T; 2] {
        match self.alpha {
            Some(alpha) => [T::from_f64(1.0 - alpha), T::from_f64(2.0 * alpha - 1.0)],
            None => [T::one(), T::default()],
        }
    }
}

impl Pixelwise for FocalParams {
    fn kind(&self) -> LossKind {
        LossKind::Focal(*self)
    }

    fn value<T: Real>(&self, z: &[T], target: &[T], weights: &[T]) -> Values {
        let sum = focal_sum(z, target, weights, self.factors(), T::from_f64(self.gamma));
        Values::of(sum / z.len() as f64)
    }

    fn gradient<T: Real>(&self, z: &[T], [target, weights]: [&[T]; 2], grad: f64, _: &Values, dz: &mut [T]) {
        let scale = T::from_f64(grad / z.len() as f64);
        focal_gradient(z, target, weights, self.factors(), T::from_f64(self.gamma), scale, dz);
    }
}

/// Focal loss of logits, averaged over each image's pixels: `alpha_t (1 - p_t)^gamma CE`, with `CE` the binary cross
/// entropy, `p_t = p y + (1 - p) (1 - y)`, `alpha_t = alpha y + (1 - alpha) (1 - y)`, `p` the sigmoid.
///
/// With pixel weights the sum of `weight * loss` is still divided by the number of pixels, as in
/// [`bce_with_logits`](crate::bce_with_logits). `1 - p_t` is computed without cancellation, so very easy pixels keep
/// their (small) loss and gradient.
///
/// # Shapes
/// - `logits`, `target` (in [0, 1], soft targets allowed), `weights`: `[batch, ...]`, one type
/// - result: `[batch]`
///
/// # Errors
/// [`OpsError`] if shapes or types differ, a parameter is out of range, or anything is empty.
///
/// Matches `torchvision.ops.sigmoid_focal_loss(..., reduction="none")` averaged per image (`alpha: None` is its -1).
/// Source: Lin et al. 2017.
pub fn focal_with_logits(
    logits: &Tensor,
    target: &Tensor,
    weights: Option<&Tensor>,
    params: FocalParams,
) -> Result<Tensor, OpsError> {
    const OP: &str = "focal_with_logits";
    if let Some(alpha) = params.alpha {
        check(OP, "alpha", alpha, |v| (0.0..=1.0).contains(&v), "in [0, 1], or absent")?;
    }
    check(OP, "gamma", params.gamma, |v| v >= 0.0, "finite and not negative")?;
    pixel_loss(OP, params, logits, target, weights)
}
