//! Losses of overlap: soft Dice and Tversky.

// Lanes are indexed by constants so that the compiler keeps them in registers.
#![allow(clippy::needless_range_loop)]

use candle_core::Tensor;

use super::pixel::{
    BLOCKS, Blocks, LANES, LossKind, Pixelwise, Values, both_sides, check, each_pixel, pixel_loss, sigmoid,
};
use crate::OpsError;
use crate::cpu::vectorised;
use crate::real::Real;

vectorised! {
    /// Weighted sums of `p y`, `p` and `y`.
    fn overlap_sums<T: Real>(z: &[T], target: &[T], weights: &[T]) -> [f64; 3] {
        let blocks = Blocks::new(z, target, weights);
        let mut total = [0f64; 3];
        for start in (0..blocks.count()).step_by(BLOCKS) {
            let mut lanes = [[T::default(); LANES]; 3];
            for i in start..(start + BLOCKS).min(blocks.count()) {
                let [z, t, w] = blocks.get(i);
                for j in 0..LANES {
                    let p = sigmoid(z[j]).0 * w[j];
                    lanes[0][j] += p * t[j];
                    lanes[1][j] += p;
                    lanes[2][j] += t[j] * w[j];
                }
            }
            for k in 0..3 {
                total[k] += lanes[k].iter().map(|v| v.to_f64()).sum::<f64>();
            }
        }
        total
    }
}

vectorised! {
    /// Weighted sums of `p y`, `p (1 - y)` and `(1 - p) y`.
    fn confusion_sums<T: Real>(z: &[T], target: &[T], weights: &[T]) -> [f64; 3] {
        let one = T::one();
        let blocks = Blocks::new(z, target, weights);
        let mut total = [0f64; 3];
        for start in (0..blocks.count()).step_by(BLOCKS) {
            let mut lanes = [[T::default(); LANES]; 3];
            for i in start..(start + BLOCKS).min(blocks.count()) {
                let [z, t, w] = blocks.get(i);
                for j in 0..LANES {
                    let [p, rest] = both_sides(z[j]);
                    lanes[0][j] += w[j] * p * t[j];
                    lanes[1][j] += w[j] * p * (one - t[j]);
                    lanes[2][j] += w[j] * rest * t[j];
                }
            }
            for k in 0..3 {
                total[k] += lanes[k].iter().map(|v| v.to_f64()).sum::<f64>();
            }
        }
        total
    }
}

vectorised! {
    /// `(a y + b) w p (1 - p)`.
    fn overlap_gradient<T: Real>(z: &[T], target: &[T], weights: &[T], ab: [T; 2], dz: &mut [T]) {
        each_pixel!(dz, z, target, weights, |z, t, w| {
            let [p, rest] = both_sides(z);
            (ab[0] * t + ab[1]) * w * (p * rest)
        });
    }
}

struct Dice {
    smooth: f64,
}

impl Pixelwise for Dice {
    fn kind(&self) -> LossKind {
        LossKind::Dice { smooth: self.smooth }
    }

    fn value<T: Real>(&self, z: &[T], target: &[T], weights: &[T]) -> Values {
        let sums = overlap_sums(z, target, weights);
        let [both, p, y] = sums;
        let loss = 1.0 - (2.0 * both + self.smooth) / (p + y + self.smooth);
        Values { loss, sums }
    }

    fn gradient<T: Real>(&self, z: &[T], [target, weights]: [&[T]; 2], grad: f64, values: &Values, dz: &mut [T]) {
        let [both, p, y] = values.sums;
        let total = p + y + self.smooth;
        let a = -2.0 * grad / total;
        let b = grad * (2.0 * both + self.smooth) / (total * total);
        overlap_gradient(z, target, weights, [T::from_f64(a), T::from_f64(b)], dz);
    }
}

/// One minus the soft Dice coefficient of each image: `1 - (2 Σ w p y + 1) / (Σ w p + Σ w y + 1)`, `p` the sigmoid.
///
/// The 1 in numerator and denominator makes two empty masks agree perfectly.
///
/// # Shapes
/// - `logits`, `target` (in [0, 1]), `weights`: `[batch, ...]`, one type
/// - result: `[batch]`, in [0, 1]
///
/// # Errors
/// [`OpsError`] if shapes or types differ, or anything is empty.
///
/// Source: Milletari et al. 2016 (V-Net), with plain sums in the denominator.
pub fn soft_dice(logits: &Tensor, target: &Tensor, weights: Option<&Tensor>) -> Result<Tensor, OpsError> {
    pixel_loss("soft_dice", Dice { smooth: 1.0 }, logits, target, weights)
}

/// What [`tversky`] counts.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TverskyParams {
    /// Weight of false positives, at least 0.
    pub alpha: f64,
    /// Weight of false negatives, at least 0; not 0 together with `alpha`.
    pub beta: f64,
    /// Exponent of one minus the index, over 0: 1 is the plain loss. Abraham & Khan write it as 1/γ and use 0.75.
    pub gamma: f64,
    /// Added to numerator and denominator, at least 0: two empty masks agree perfectly.
    pub smooth: f64,
}

impl Default for TverskyParams {
    /// Salehi's best weights, 0.3 and 0.7, without exponent; smoothing 1.
    fn default() -> Self {
        Self {
            alpha: 0.3,
            beta: 0.7,
            gamma: 1.0,
            smooth: 1.0,
        }
    }
}

impl TverskyParams {
    /// One minus the index as `missed / total`, from the sums of [`confusion_sums`].
    fn missed(&self, [both, positive, negative]: [f64; 3]) -> [f64; 2] {
        let missed = self.alpha * positive + self.beta * negative;
        [missed, both + missed + self.smooth]
    }
}

impl Pixelwise for TverskyParams {
    fn kind(&self) -> LossKind {
        LossKind::Tversky(*self)
    }

    fn value<T: Real>(&self, z: &[T], target: &[T], weights: &[T]) -> Values {
        let sums = confusion_sums(z, target, weights);
        let [missed, total] = self.missed(sums);
        // Nothing in either mask, and no smoothing: perfect agreement.
        let loss = if total == 0.0 {
            0.0
        } else {
            (missed / total).powf(self.gamma)
        };
        Values { loss, sums }
    }

    fn gradient<T: Real>(&self, z: &[T], [target, weights]: [&[T]; 2], grad: f64, values: &Values, dz: &mut [T]) {
        let [missed, total] = self.missed(values.sums);
        // With an exponent below 1 the slope at a perfect score is infinite; there is nothing left to gain there.
        let slope = if missed == 0.0 {
            0.0
        } else {
            self.gamma * (missed / total).powf(self.gamma - 1.0)
        };
        let limit = f64::from(f32::MAX);
        let coefficient = |v: f64| T::from_f64((grad * slope * v / total / total).clamp(-limit, limit));
        let kept = total - missed;
        let ab = if missed == 0.0 {
            [T::default(); 2]
        } else {
            [
                coefficient(-(self.alpha + self.beta) * kept - missed),
                coefficient(self.alpha * kept),
            ]
        };
        overlap_gradient(z, target, weights, ab, dz);
    }
}

/// The focal Tversky loss of each image, `(1 - TI)^gamma` with the soft Tversky index
/// `TI = (TP + smooth) / (TP + alpha FP + beta FN + smooth)`, `TP = Σ w p y`, `FP = Σ w p (1 - y)`, `FN = Σ w (1 - p) y`,
/// `p` the sigmoid.
///
/// `alpha = beta = 0.5` is the soft Dice loss; a larger `beta` punishes missed pixels more. At an exponent below 1 the slope
/// grows without limit towards a perfect score; at the perfect score itself the gradient is 0.
///
/// # Shapes
/// - `logits`, `target` (in [0, 1]), `weights` (not negative): `[batch, ...]`, one type
/// - result: `[batch]`, in [0, 1]
///
/// # Errors
/// [`OpsError`] if shapes or types differ, a parameter is out of range, or anything is empty.
///
/// Source: Salehi et al. 2017 (the index), Abraham & Khan 2019 (the exponent, there written 1/γ).
pub fn tversky(
    logits: &Tensor,
    target: &Tensor,
    weights: Option<&Tensor>,
    params: TverskyParams,
) -> Result<Tensor, OpsError> {
    const OP: &str = "tversky";
    for (name, value) in [
        ("alpha", params.alpha),
        ("beta", params.beta),
        ("smooth", params.smooth),
    ] {
        check(OP, name, value, |v| v >= 0.0, "finite and not negative")?;
    }
    let requirement = "over 0, or alpha must be: with both 0 the loss is constant";
    check(OP, "beta", params.beta, |beta| params.alpha + beta > 0.0, requirement)?;
    check(OP, "gamma", params.gamma, |v| v > 0.0, "finite and over 0")?;
    pixel_loss(OP, params, logits, target, weights)
}
