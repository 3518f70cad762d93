//! Losses, one value per image, so that the caller can weight images.
//!
//! Targets, labels and pixel weights are constants: no gradient flows to them.

// Lanes are indexed by constants so that the compiler keeps them in registers.
#![allow(clippy::needless_range_loop)]

use std::sync::{Arc, OnceLock};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor, WithDType};

use crate::OpsError;
use crate::cpu::vectorised;
use crate::parallel;
use crate::real::{Reading, Real, by_dtype, check_cpu_real, check_shape, elements};

const LANES: usize = 16;

/// `1 / (1 + e^-z)` and `e^-|z|`.
#[inline(always)]
fn sigmoid<T: Real>(z: T) -> (T, T) {
    let e = (-z.abs()).exp();
    let r = T::one() / (T::one() + e);
    (if z >= T::default() { r } else { e * r }, e)
}

/// Element `i` of the weights, 1 without weights.
#[inline(always)]
fn weight_at<T: Real>(weights: &[T], i: usize) -> T {
    if weights.is_empty() { T::one() } else { weights[i] }
}

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

vectorised! {
    /// Weighted sums of `p y`, `p` and `y`.
    fn overlap_sums<T: Real>(z: &[T], target: &[T], weights: &[T]) -> [f64; 3] {
        let zero = T::default();
        let mut total = [0f64; 3];
        let mut start = 0;
        while start < z.len() {
            let end = (start + 64 * LANES).min(z.len());
            let mut lanes = [[zero; LANES]; 3];
            for base in (start..end).step_by(LANES) {
                let n = (end - base).min(LANES);
                for j in 0..n {
                    let i = base + j;
                    let w = weight_at(weights, i);
                    let p = sigmoid(z[i]).0 * w;
                    lanes[0][j] += p * target[i];
                    lanes[1][j] += p;
                    lanes[2][j] += target[i] * w;
                }
            }
            for k in 0..3 {
                total[k] += lanes[k].iter().map(|v| v.to_f64()).sum::<f64>();
            }
            start = end;
        }
        total
    }
}

vectorised! {
    /// `(a y + b) w p (1 - p)`.
    fn overlap_gradient<T: Real>(z: &[T], target: &[T], weights: &[T], ab: [T; 2], dz: &mut [T]) {
        for i in 0..dz.len() {
            let (p, e) = sigmoid(z[i]);
            // p (1 - p) without cancellation.
            let r = T::one() / (T::one() + e);
            let _ = p;
            dz[i] = (ab[0] * target[i] + ab[1]) * weight_at(weights, i) * (e * r * r);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Bce,
    Dice { smooth: f64 },
}

/// A loss over pixels; constants live in the operation.
struct PixelLoss {
    kind: Kind,
    target: Tensor,
    weights: Option<Tensor>,
    sums: Arc<OnceLock<Vec<[f64; 3]>>>,
}

impl PixelLoss {
    fn constants<T: Real, R>(&self, run: impl FnOnce(&[T], &[T]) -> candle_core::Result<R>) -> candle_core::Result<R> {
        let target = Reading::of(&self.target);
        let weights = self.weights.as_ref().map(Reading::of);
        let weights = match &weights {
            Some(weights) => weights.get::<T>()?,
            None => &[],
        };
        run(target.get::<T>()?, weights)
    }

    fn forward<T: Real>(&self, z: &[T], batch: usize) -> candle_core::Result<Vec<T>> {
        let area = z.len() / batch;
        self.constants(|target: &[T], weights: &[T]| {
            let mut values = vec![[0f64; 4]; batch];
            parallel::chunks(&mut values, 1, |i, value| {
                let part = i * area..(i + 1) * area;
                let weights = if weights.is_empty() {
                    weights
                } else {
                    &weights[part.clone()]
                };
                let (z, target) = (&z[part.clone()], &target[part]);
                match self.kind {
                    Kind::Bce => value[0][0] = bce_sum(z, target, weights) / area as f64,
                    Kind::Dice { smooth } => {
                        let [both, p, y] = overlap_sums(z, target, weights);
                        value[0] = [1.0 - (2.0 * both + smooth) / (p + y + smooth), both, p, y];
                    }
                }
            });
            let _ = self.sums.set(values.iter().map(|v| [v[1], v[2], v[3]]).collect());
            Ok(values.iter().map(|v| T::from_f64(v[0])).collect())
        })
    }

    fn backward<T: Real>(&self, z: &[T], grad: &[T]) -> candle_core::Result<Vec<T>> {
        let area = z.len() / grad.len();
        let empty = Vec::new();
        let sums = self.sums.get().unwrap_or(&empty);
        self.constants(|target: &[T], weights: &[T]| {
            let mut dz = vec![T::default(); z.len()];
            parallel::chunks(&mut dz, area, |i, dz| {
                let part = i * area..(i + 1) * area;
                let weights = if weights.is_empty() {
                    weights
                } else {
                    &weights[part.clone()]
                };
                let (z, target, g) = (&z[part.clone()], &target[part], grad[i].to_f64());
                match self.kind {
                    Kind::Bce => bce_gradient(z, target, weights, T::from_f64(g / area as f64), dz),
                    Kind::Dice { smooth } => {
                        let [both, p, y] = sums[i];
                        let total = p + y + smooth;
                        let a = -2.0 * g / total;
                        let b = g * (2.0 * both + smooth) / (total * total);
                        overlap_gradient(z, target, weights, [T::from_f64(a), T::from_f64(b)], dz);
                    }
                }
            });
            Ok(dz)
        })
    }
}

impl CustomOp1 for PixelLoss {
    fn name(&self) -> &'static str {
        "htl-pixel-loss"
    }

    fn cpu_fwd(&self, z: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let batch = layout.dims().first().copied().unwrap_or(1);
        let loss = by_dtype!(z.dtype(), self.name(), T => {
            Ok(T::to_cpu_storage_owned(self.forward::<T>(elements(z, layout)?, batch)?))
        })?;
        Ok((loss, Shape::from(batch)))
    }

    fn bwd(&self, z: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        by_dtype!(z.dtype(), self.name(), T => {
            let dz = self.backward::<T>(Reading::of(z).get()?, Reading::of(&grad).get()?)?;
            Tensor::from_vec(dz, z.shape(), z.device()).map(Some)
        })
    }
}

fn pixel_loss(
    op: &'static str,
    kind: Kind,
    logits: &Tensor,
    target: &Tensor,
    weights: Option<&Tensor>,
) -> Result<Tensor, OpsError> {
    if logits.rank() < 2 {
        let found = logits.dims().to_vec();
        return Err(OpsError::Rank {
            op,
            argument: "logits",
            expected: "[batch, ...]",
            found,
        });
    }
    check_cpu_real(op, "logits", logits)?;
    check_shape(op, "target", target, logits.dims(), logits)?;
    if let Some(weights) = weights {
        check_shape(op, "weights", weights, logits.dims(), logits)?;
    }
    let op = PixelLoss {
        kind,
        target: target.detach().contiguous()?,
        weights: weights.map(|w| w.detach().contiguous()).transpose()?,
        sums: Arc::default(),
    };
    Ok(logits.contiguous()?.apply_op1(op)?)
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
    pixel_loss("bce_with_logits", Kind::Bce, logits, target, weights)
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
    pixel_loss("soft_dice", Kind::Dice { smooth: 1.0 }, logits, target, weights)
}

struct CrossEntropy {
    labels: Vec<u32>,
    classes: usize,
}

impl CrossEntropy {
    /// `ln Σ e^z` and the largest logit of a row.
    fn log_sum<T: Real>(row: &[T]) -> f64 {
        let largest = row.iter().map(|v| v.to_f64()).fold(f64::NEG_INFINITY, f64::max);
        largest + row.iter().map(|v| (v.to_f64() - largest).exp()).sum::<f64>().ln()
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "htl-cross-entropy"
    }

    fn cpu_fwd(&self, z: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let loss = by_dtype!(z.dtype(), self.name(), T => {
            let rows = elements::<T>(z, layout)?.chunks(self.classes).zip(&self.labels);
            let loss: Vec<T> =
                rows.map(|(row, &label)| T::from_f64(Self::log_sum(row) - row[label as usize].to_f64())).collect();
            Ok(T::to_cpu_storage_owned(loss))
        })?;
        Ok((loss, Shape::from(self.labels.len())))
    }

    fn bwd(&self, z: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        by_dtype!(z.dtype(), self.name(), T => {
            let (z_read, g_read) = (Reading::of(z), Reading::of(&grad));
            let rows = z_read.get::<T>()?.chunks(self.classes).zip(g_read.get::<T>()?).zip(&self.labels);
            let mut dz = Vec::with_capacity(z.elem_count());
            for ((row, g), &label) in rows {
                let log_sum = Self::log_sum(row);
                dz.extend(row.iter().enumerate().map(|(class, v)| {
                    let p = (v.to_f64() - log_sum).exp();
                    T::from_f64(g.to_f64() * (p - f64::from(u8::from(class == label as usize))))
                }));
            }
            Tensor::from_vec(dz, z.shape(), z.device()).map(Some)
        })
    }
}

/// Cross entropy of each row's softmax with its label.
///
/// # Shapes
/// - `logits`: `[batch, classes]`, `f32` or `f64`
/// - `labels`: `[batch]`, `u32`
/// - result: `[batch]`
///
/// # Errors
/// [`OpsError::Label`] for a label that is not below `classes`; [`OpsError`] for shapes and types.
///
/// Matches `torch.nn.functional.cross_entropy(..., reduction="none")`.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor, OpsError> {
    const OP: &str = "cross_entropy";
    let &[batch, classes] = logits.dims() else {
        let found = logits.dims().to_vec();
        return Err(OpsError::Rank {
            op: OP,
            argument: "logits",
            expected: "[batch, classes]",
            found,
        });
    };
    check_cpu_real(OP, "logits", logits)?;
    if labels.dims() != [batch] {
        let found = labels.dims().to_vec();
        return Err(OpsError::Shape {
            op: OP,
            argument: "labels",
            expected: vec![batch],
            found,
        });
    }
    if labels.dtype() != DType::U32 {
        return Err(OpsError::DType {
            op: OP,
            argument: "labels",
            expected: "u32",
            found: labels.dtype(),
        });
    }
    let labels = labels.to_vec1::<u32>()?;
    if let Some((row, &label)) = labels.iter().enumerate().find(|&(_, &label)| label as usize >= classes) {
        return Err(OpsError::Label { row, label, classes });
    }
    Ok(logits.contiguous()?.apply_op1(CrossEntropy { labels, classes })?)
}
