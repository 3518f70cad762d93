//! What all losses over pixels share: checks, one result per image, constants.

use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};

use super::{FocalParams, TverskyParams};
use crate::OpsError;
use crate::gpu;
use crate::parallel;
use crate::portable::{self, loss::Pixels};
use crate::real::{Reading, Real, by_dtype, check_real, check_shape, elements};

/// A loss over the pixels of each image.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LossKind {
    Bce,
    Focal(FocalParams),
    Dice { smooth: f64 },
    Tversky(TverskyParams),
}

pub(super) const LANES: usize = 16;

/// `1 / (1 + e^-z)` and `e^-|z|`.
#[inline(always)]
pub(super) fn sigmoid<T: Real>(z: T) -> (T, T) {
    let e = (-z.abs()).exp();
    let r = T::one() / (T::one() + e);
    (if z >= T::default() { r } else { e * r }, e)
}

/// The sigmoid and one minus the sigmoid, neither by subtraction from 1.
#[inline(always)]
pub(super) fn both_sides<T: Real>(z: T) -> [T; 2] {
    let (_, e) = sigmoid(z);
    let near = T::one() / (T::one() + e);
    let far = e * near;
    if z >= T::default() { [near, far] } else { [far, near] }
}

/// Pixels whose sums are added in the lanes' own precision before the total goes to `f64`, in blocks of [`LANES`].
pub(super) const BLOCKS: usize = 64;

/// Logits, targets and weights in blocks of whole vectors.
pub(super) struct Blocks<'a, T> {
    z: &'a [T],
    target: &'a [T],
    weights: &'a [T],
}

impl<'a, T: Real> Blocks<'a, T> {
    #[inline(always)]
    pub(super) fn new(z: &'a [T], target: &'a [T], weights: &'a [T]) -> Self {
        Self { z, target, weights }
    }

    #[inline(always)]
    pub(super) fn count(&self) -> usize {
        self.z.len().div_ceil(LANES)
    }

    /// Logits, targets and weights (1 if there are none) of block `i`; the last one is filled up with pixels of weight 0.
    #[inline(always)]
    pub(super) fn get(&self, i: usize) -> [[T; LANES]; 3] {
        let from = i * LANES;
        let n = LANES.min(self.z.len() - from);
        let mut block = [[T::default(); LANES]; 3];
        if n == LANES {
            // A length known when compiling: plain vector loads.
            block[0].copy_from_slice(&self.z[from..from + LANES]);
            block[1].copy_from_slice(&self.target[from..from + LANES]);
        } else {
            block[0][..n].copy_from_slice(&self.z[from..]);
            block[1][..n].copy_from_slice(&self.target[from..]);
        }
        match (self.weights.is_empty(), n == LANES) {
            (true, true) => block[2] = [T::one(); LANES],
            (true, false) => block[2][..n].fill(T::one()),
            (false, true) => block[2].copy_from_slice(&self.weights[from..from + LANES]),
            (false, false) => block[2][..n].copy_from_slice(&self.weights[from..]),
        }
        block
    }
}

/// Writes an expression of logit, target and weight (1 if there are none) to every pixel. A macro and not a function of a
/// closure: a closure might stay a call, compiled without the instructions of the function around it.
macro_rules! each_pixel {
    ($dz:expr, $zs:expr, $targets:expr, $weights:expr, |$z:ident, $t:ident, $w:ident| $element:expr) => {
        if $weights.is_empty() {
            let $w = T::one();
            for ((d, &$z), &$t) in $dz.iter_mut().zip($zs).zip($targets) {
                *d = $element;
            }
        } else {
            for (((d, &$z), &$t), &$w) in $dz.iter_mut().zip($zs).zip($targets).zip($weights) {
                *d = $element;
            }
        }
    };
}
pub(super) use each_pixel;

/// The loss of one image and sums that its gradient needs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Values {
    pub loss: f64,
    pub sums: [f64; 3],
}

impl Values {
    pub(super) fn of(loss: f64) -> Self {
        Self { loss, sums: [0.0; 3] }
    }
}

/// A loss over the pixels of one image. `weights` is empty if there are none.
pub(super) trait Pixelwise: Send + Sync + 'static {
    fn value<T: Real>(&self, z: &[T], target: &[T], weights: &[T]) -> Values;
    /// Which loss it is, for devices.
    fn kind(&self) -> LossKind;
    /// Writes `grad` times the gradient of the loss.
    fn gradient<T: Real>(&self, z: &[T], target_weights: [&[T]; 2], grad: f64, values: &Values, dz: &mut [T]);
}

/// The operation; constants live in it.
struct PixelLoss<L> {
    loss: L,
    target: Tensor,
    weights: Option<Tensor>,
    values: OnceLock<Vec<Values>>,
}

/// Pixels `part` of the weights, if there are any.
fn weights_of<T>(weights: &[T], part: std::ops::Range<usize>) -> &[T] {
    if weights.is_empty() { weights } else { &weights[part] }
}

impl<L: Pixelwise> PixelLoss<L> {
    fn constants<T: Real, R>(&self, run: impl FnOnce(&[T], &[T]) -> candle_core::Result<R>) -> candle_core::Result<R> {
        let target = Reading::of(&self.target);
        let weights = self.weights.as_ref().map(Reading::of);
        let weights = match &weights {
            Some(weights) => weights.get::<T>()?,
            None => &[],
        };
        run(target.get::<T>()?, weights)
    }

    fn values<T: Real>(&self, z: &[T], target: &[T], weights: &[T], batch: usize) -> &[Values] {
        self.values.get_or_init(|| {
            let area = z.len() / batch;
            let mut values = vec![Values::default(); batch];
            parallel::chunks(&mut values, 1, |i, value| {
                let part = i * area..(i + 1) * area;
                let weights = weights_of(weights, part.clone());
                value[0] = self.loss.value(&z[part.clone()], &target[part], weights);
            });
            values
        })
    }

    fn forward<T: Real>(&self, z: &[T], batch: usize) -> candle_core::Result<Vec<T>> {
        self.constants(|target: &[T], weights: &[T]| {
            let values = self.values(z, target, weights, batch);
            Ok(values.iter().map(|v| T::from_f64(v.loss)).collect())
        })
    }

    fn backward<T: Real>(&self, z: &[T], grad: &[T]) -> candle_core::Result<Vec<T>> {
        let area = z.len() / grad.len();
        self.constants(|target: &[T], weights: &[T]| {
            let values = self.values(z, target, weights, grad.len());
            let mut dz = vec![T::default(); z.len()];
            parallel::chunks(&mut dz, area, |i, dz| {
                let part = i * area..(i + 1) * area;
                let weights = weights_of(weights, part.clone());
                let constants = [&target[part.clone()], weights];
                self.loss
                    .gradient(&z[part], constants, grad[i].to_f64(), &values[i], dz);
            });
            Ok(dz)
        })
    }
}

impl<L: Pixelwise> CustomOp1 for PixelLoss<L> {
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

pub(super) fn pixel_loss(
    op: &'static str,
    loss: impl Pixelwise,
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
    check_real(op, "logits", logits)?;
    check_shape(op, "target", target, logits.dims(), logits)?;
    if let Some(weights) = weights {
        check_shape(op, "weights", weights, logits.dims(), logits)?;
    }
    let pixels = Pixels {
        logits,
        target,
        weights,
    };
    if let Some(engine) = gpu::engine_of(logits)? {
        return Ok(gpu::pixel_loss(engine, loss.kind(), &pixels)?);
    }
    if portable::takes(logits) {
        return Ok(portable::loss::pixel_loss(loss.kind(), &pixels)?);
    }
    let op = PixelLoss {
        loss,
        target: target.detach().contiguous()?,
        weights: weights.map(|w| w.detach().contiguous()).transpose()?,
        values: OnceLock::new(),
    };
    Ok(logits.contiguous()?.apply_op1(op)?)
}

/// Checks one parameter of a loss.
pub(super) fn check(
    op: &'static str,
    parameter: &'static str,
    value: f64,
    holds: impl FnOnce(f64) -> bool,
    requirement: &'static str,
) -> Result<(), OpsError> {
    if value.is_finite() && holds(value) {
        return Ok(());
    }
    Err(OpsError::Parameter {
        op,
        parameter,
        requirement,
        found: value.to_string(),
    })
}
