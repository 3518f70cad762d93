//! Batch normalisation, fused with the activation behind it.

mod sums;

pub(crate) use sums::{CHUNK, LANES, Planes, Sums, moments};

use std::sync::{Arc, OnceLock};

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor, Var, WithDType};

use crate::OpsError;
use crate::Precision;
use crate::cpu::vectorised;
use crate::features::device;
use crate::gpu::{self, Affine, Entry};
use crate::parallel;
use crate::portable;
use crate::real::{Reading, Real, by_dtype, check_device, check_shape, dims4, elements};
use sums::gradient_sums;

/// What follows the normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(z, 0)`; gradient 0 at 0.
    Relu,
    /// `min(max(z, 0), 6)`; gradient 0 at 0 and at 6.
    Relu6,
}

/// Where mean and variance come from.
#[derive(Debug, Clone)]
pub enum Norm {
    /// From the batch itself (training).
    Batch {
        /// Added to the variance.
        eps: f64,
    },
    /// Given (evaluation). The tensors are constants: no gradient flows to them.
    Running {
        /// Mean of every channel, `[channels]`.
        mean: Tensor,
        /// Variance of every channel, `[channels]`.
        var: Tensor,
        /// Added to the variance.
        eps: f64,
    },
}

/// Mean and variance of every channel over one batch, for running averages.
#[derive(Debug, Clone)]
pub struct BatchStatistics {
    /// `[channels]`.
    pub mean: Tensor,
    /// `[channels]`, divided by n − 1 (as `torch.nn.BatchNorm2d` keeps it); by n if n is 1.
    pub var: Tensor,
}

impl BatchStatistics {
    /// Moves running statistics towards these: `running = (1 - momentum) running + momentum batch`.
    ///
    /// # Errors
    /// [`OpsError::Shape`] if one of them is not `[channels]`.
    pub fn update_running(&self, mean: &Var, var: &Var, momentum: f64) -> Result<(), OpsError> {
        const OP: &str = "update_running";
        let pairs = [("mean", mean, &self.mean), ("var", var, &self.var)];
        for (argument, running, batch) in pairs {
            check_shape(OP, argument, running, batch.dims(), running)?;
        }
        if let Some(engine) = gpu::engine_of_all(pairs.iter().flat_map(|(_, r, b)| [r.as_tensor(), b]))? {
            let entries = pairs.map(|(_, running, batch)| Entry::plain(running, batch, None));
            return Ok(gpu::follow(&*engine, &entries, momentum as f32)?);
        }
        for (_, running, batch) in pairs {
            let old = (running.as_detached_tensor() * (1.0 - momentum))?;
            let new = (batch.detach().to_dtype(running.dtype())? * momentum)?;
            running.set(&(old + new)?)?;
        }
        Ok(())
    }
}

/// What `Norm` becomes before an operation is made: plain numbers.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Batch { eps: f64 },
    Running { mean: Vec<f64>, var: Vec<f64>, eps: f64 },
}

impl Source {
    /// Checks what [`Norm`] holds: `like` is the input.
    pub(crate) fn check(op: &'static str, norm: &Norm, channels: usize, like: &Tensor) -> Result<(), OpsError> {
        let (Norm::Batch { eps } | Norm::Running { eps, .. }) = norm;
        if !(*eps >= 0.0 && eps.is_finite()) {
            let found = eps.to_string();
            return Err(OpsError::Parameter {
                op,
                parameter: "eps",
                requirement: "finite and not negative",
                found,
            });
        }
        if let Norm::Running { mean, var, .. } = norm {
            for (argument, tensor) in [("mean", mean), ("var", var)] {
                if tensor.dims() != [channels] {
                    let found = tensor.dims().to_vec();
                    return Err(OpsError::Shape {
                        op,
                        argument,
                        expected: vec![channels],
                        found,
                    });
                }
                check_device(op, argument, tensor, like)?;
            }
        }
        Ok(())
    }

    pub(crate) fn of(op: &'static str, norm: &Norm, channels: usize, like: &Tensor) -> Result<Self, OpsError> {
        Self::check(op, norm, channels, like)?;
        Ok(match norm {
            Norm::Batch { eps } => Source::Batch { eps: *eps },
            Norm::Running { mean, var, eps } => {
                let values = |t: &Tensor| t.detach().to_dtype(DType::F64)?.to_vec1();
                Source::Running {
                    mean: values(mean)?,
                    var: values(var)?,
                    eps: *eps,
                }
            }
        })
    }

    pub(crate) fn is_batch(&self) -> bool {
        matches!(self, Source::Batch { .. })
    }
}

/// Per-channel numbers saved by the forward pass.
#[derive(Debug, Clone)]
pub(crate) struct Saved {
    pub mean: Vec<f64>,
    /// Biased variance (divided by n).
    pub var: Vec<f64>,
    /// `1 / sqrt(var + eps)`.
    pub inv_std: Vec<f64>,
}

impl Saved {
    pub(crate) fn from_moments(mean: Vec<f64>, var: Vec<f64>, eps: f64) -> Self {
        let inv_std = var.iter().map(|v| 1.0 / (v + eps).sqrt()).collect();
        Self { mean, var, inv_std }
    }

    /// Scale and shift of `z = scale * y + shift`.
    pub(crate) fn affine<T: Real>(&self, gamma: &[T], beta: &[T]) -> Vec<[T; 2]> {
        (0..gamma.len())
            .map(|c| {
                let scale = gamma[c].to_f64() * self.inv_std[c];
                [T::from_f64(scale), T::from_f64(beta[c].to_f64() - scale * self.mean[c])]
            })
            .collect()
    }

    pub(crate) fn statistics(&self, count: usize, like: &Tensor) -> candle_core::Result<BatchStatistics> {
        let correction = count as f64 / (count.max(2) - 1) as f64;
        let tensor = |values: Vec<f64>| {
            let n = values.len();
            Tensor::from_vec(values, n, like.device())?.to_dtype(like.dtype())
        };
        Ok(BatchStatistics {
            mean: tensor(self.mean.clone())?,
            var: tensor(self.var.iter().map(|v| v * correction).collect())?,
        })
    }
}

vectorised! {
    /// `out = scale * y + shift`, kept within bounds; NaN stays NaN.
    fn affine_within<T: Real>(y: &[T], affine: [T; 2], bounds: [T; 2], out: &mut [T]) {
        for (o, &v) in out.iter_mut().zip(y) {
            *o = within(v * affine[0] + affine[1], bounds);
        }
    }
}

vectorised! {
    /// The same in place.
    fn make_affine_within<T: Real>(y: &mut [T], affine: [T; 2], bounds: [T; 2]) {
        for v in y {
            *v = within(*v * affine[0] + affine[1], bounds);
        }
    }
}

/// The nearest number within bounds; in this form NaN stays NaN.
#[inline(always)]
pub(crate) fn within<T: Real>(z: T, [low, high]: [T; 2]) -> T {
    let z = if z < low { low } else { z };
    if z > high { high } else { z }
}

/// Bounds of the pre-activation inside which the gradient passes.
pub(crate) fn bounds<T: Real>(activation: Activation) -> [T; 2] {
    let (low, high) = match activation {
        Activation::None => (f64::NEG_INFINITY, f64::INFINITY),
        Activation::Relu => (0.0, f64::INFINITY),
        Activation::Relu6 => (0.0, 6.0),
    };
    [T::from_f64(low), T::from_f64(high)]
}

vectorised! {
    /// `dy = a * g + b * y + c`.
    fn gradient_input<T: Real>(y: &[T], grad: &[T], affine: [T; 2], abc: [T; 3], bounds: [T; 2], dy: &mut [T]) {
        let zero = T::default();
        for ((d, &y), &grad) in dy.iter_mut().zip(y).zip(grad) {
            let z = y * affine[0] + affine[1];
            let g = if (z > bounds[0]) & (z < bounds[1]) { grad } else { zero };
            *d = abc[0] * g + (abc[1] * y + abc[2]);
        }
    }
}

/// Mean and biased variance of every channel of `[batch, channels, area]`.
pub(crate) fn batch_moments<T: Real>(y: &[T], channels: usize, area: usize) -> (Vec<f64>, Vec<f64>) {
    let count = (y.len() / channels) as f64;
    let mut sums = vec![[0f64; 2]; channels];
    parallel::chunks(&mut sums, 1, |c, out| {
        // Sums around about the mean: no cancellation when it is large, and no single value decides.
        let first = &y[c * area..][..area.min(256)];
        let pivot = T::from_f64(crate::math::plane_sum(first) / first.len() as f64);
        out[0] = moments(
            y,
            Planes {
                channel: c,
                channels,
                area,
                len: y.len(),
            },
            pivot,
        );
        let d = out[0][0] / count;
        // `clamp` keeps NaN.
        out[0] = [
            pivot.to_f64() + d,
            (out[0][1] / count - d * d).clamp(0.0, f64::INFINITY),
        ];
    });
    sums.into_iter().map(|[m, v]| (m, v)).unzip()
}

/// `out = activation(scale * y + shift)`.
pub(crate) fn apply<T: Real>(y: &[T], affine: &[[T; 2]], area: usize, activation: Activation, out: &mut [T]) {
    let bounds = bounds(activation);
    parallel::chunks(out, area, |i, out| {
        affine_within(&y[i * area..][..area], affine[i % affine.len()], bounds, out);
    });
}

/// `y = activation(scale * y + shift)`.
pub(crate) fn apply_in_place<T: Real>(y: &mut [T], affine: &[[T; 2]], area: usize, activation: Activation) {
    let bounds = bounds(activation);
    parallel::chunks(y, area, |i, y| make_affine_within(y, affine[i % affine.len()], bounds));
}

/// Gradients of gamma and beta, and what the input's gradient needs.
pub(crate) struct Backward<T> {
    pub dgamma: Vec<T>,
    pub dbeta: Vec<T>,
    affine: Vec<[T; 2]>,
    abc: Vec<[T; 3]>,
    bounds: [T; 2],
    area: usize,
}

impl<T: Real> Backward<T> {
    /// First pass: sums of the gradient over `y` (the normalisation's input).
    pub(crate) fn new(
        y: &[T],
        grad: &[T],
        area: usize,
        (gamma, beta): (&[T], &[T]),
        saved: &Saved,
        batch: bool,
        activation: Activation,
    ) -> Self {
        let channels = gamma.len();
        let count = (y.len() / channels) as f64;
        let affine = saved.affine(gamma, beta);
        let bounds = bounds(activation);
        let mut sums = vec![[0f64; 2]; channels];
        parallel::chunks(&mut sums, 1, |c, out| {
            let mean = T::from_f64(saved.mean[c]);
            let planes = Planes {
                channel: c,
                channels,
                area,
                len: y.len(),
            };
            out[0] = gradient_sums(y, grad, planes, affine[c], mean, bounds);
        });
        let abc = (0..channels)
            .map(|c| {
                let inv_std = saved.inv_std[c];
                let a = gamma[c].to_f64() * inv_std;
                if !batch {
                    return [T::from_f64(a), T::default(), T::default()];
                }
                // dy = a * (g - mean(g) - (y - mean) / (var + eps) * mean(g * (y - mean)))
                let b = -a * inv_std * inv_std * sums[c][1] / count;
                [
                    T::from_f64(a),
                    T::from_f64(b),
                    T::from_f64(-a * sums[c][0] / count - b * saved.mean[c]),
                ]
            })
            .collect();
        Self {
            dgamma: (0..channels)
                .map(|c| T::from_f64(sums[c][1] * saved.inv_std[c]))
                .collect(),
            dbeta: sums.iter().map(|s| T::from_f64(s[0])).collect(),
            affine,
            abc,
            bounds,
            area,
        }
    }

    /// Second pass: the gradient of `y`.
    pub(crate) fn input(&self, y: &[T], grad: &[T], dy: &mut [T]) {
        parallel::chunks(dy, self.area, |i, dy| {
            let c = i % self.abc.len();
            let at = i * self.area;
            let (y, grad) = (&y[at..][..self.area], &grad[at..][..self.area]);
            gradient_input(y, grad, self.affine[c], self.abc[c], self.bounds, dy);
        });
    }
}

/// Checks gamma and beta of an input.
pub(crate) fn check_affine(
    op: &'static str,
    gamma: &Tensor,
    beta: &Tensor,
    channels: usize,
    like: &Tensor,
) -> Result<(), OpsError> {
    check_shape(op, "gamma", gamma, &[channels], like)?;
    check_shape(op, "beta", beta, &[channels], like)
}

/// Batch normalisation and activation: `activation(gamma * (x - mean) / sqrt(var + eps) + beta)`.
///
/// With [`Norm::Batch`] mean and (biased) variance are the batch's own, part of the gradient, and returned for running
/// averages with the variance unbiased.
///
/// # Shapes
/// - `x`: `[batch, channels, height, width]`, `f32` or `f64`
/// - `gamma`, `beta`: `[channels]`
/// - result: the shape of `x`
///
/// # Errors
/// [`OpsError`] naming the shapes if they do not fit, or if anything is empty.
///
/// Matches `torch.nn.functional.batch_norm` followed by `relu` or `relu6`.
pub fn batch_norm(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    norm: &Norm,
    activation: Activation,
) -> Result<(Tensor, Option<BatchStatistics>), OpsError> {
    const OP: &str = "batch_norm";
    let [batch, channels, h, w] = dims4(OP, "x", x)?;
    check_affine(OP, gamma, beta, channels, x)?;
    if let Some((maps, map)) = device::enter(OP, "x", x, Precision::F32)? {
        Source::check(OP, norm, channels, x)?;
        let affine = Affine {
            gamma,
            beta,
            norm,
            activation,
        };
        let (maps, statistics) = device::norm(&maps, &map, &affine)?;
        return Ok((maps.into_tensor()?, statistics));
    }
    if portable::takes(x) {
        Source::check(OP, norm, channels, x)?;
        return Ok(portable::norm::batch_norm(x, gamma, beta, norm, activation)?);
    }
    let affine = Tensor::stack(&[gamma, beta], 0)?;
    let source = Source::of(OP, norm, channels, x)?;
    let is_batch = source.is_batch();
    let x = x.contiguous()?;
    let saved = Arc::new(OnceLock::new());
    let op = BatchNormOp {
        source,
        activation,
        area: h * w,
        saved: saved.clone(),
        x_tracked: x.track_op(),
    };
    let out = x.apply_op2(&affine, op)?;
    let statistics = match saved.get() {
        Some(saved) if is_batch => Some(saved.statistics(batch * h * w, &x)?),
        _ => None,
    };
    Ok((out, statistics))
}

struct BatchNormOp {
    source: Source,
    activation: Activation,
    area: usize,
    saved: Arc<OnceLock<Saved>>,
    x_tracked: bool,
}

/// Moments by the source's rule.
pub(crate) fn save<T: Real>(source: &Source, y: &[T], channels: usize, area: usize) -> Saved {
    match source {
        Source::Batch { eps } => {
            let (mean, var) = batch_moments(y, channels, area);
            Saved::from_moments(mean, var, *eps)
        }
        Source::Running { mean, var, eps } => Saved::from_moments(mean.clone(), var.clone(), *eps),
    }
}

impl CustomOp2 for BatchNormOp {
    fn name(&self) -> &'static str {
        "htl-batch-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        a: &CpuStorage,
        al: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = by_dtype!(x.dtype(), self.name(), T => {
            let (x, affine) = (elements::<T>(x, xl)?, elements::<T>(a, al)?);
            let (gamma, beta) = affine.split_at(affine.len() / 2);
            let saved = self.saved.get_or_init(|| save(&self.source, x, gamma.len(), self.area));
            let mut out = vec![T::default(); x.len()];
            apply(x, &saved.affine(gamma, beta), self.area, self.activation, &mut out);
            Ok(T::to_cpu_storage_owned(out))
        })?;
        Ok((out, xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        by_dtype!(x.dtype(), self.name(), T => {
            let (xs, affine, gs) = (Reading::of(x), Reading::of(a), Reading::of(&grad));
            let (xs, affine, gs) = (xs.get::<T>()?, affine.get::<T>()?, gs.get::<T>()?);
            let (gamma, beta) = affine.split_at(affine.len() / 2);
            let saved = self.saved.get_or_init(|| save(&self.source, xs, gamma.len(), self.area));
            let batch = self.source.is_batch();
            let back = Backward::new(xs, gs, self.area, (gamma, beta), saved, batch, self.activation);
            let dx = if self.x_tracked {
                let mut dx = vec![T::default(); xs.len()];
                back.input(xs, gs, &mut dx);
                Some(Tensor::from_vec(dx, x.shape(), x.device())?)
            } else {
                None
            };
            let da = a.track_op().then(|| Tensor::from_vec([back.dgamma, back.dbeta].concat(), a.shape(), a.device()));
            Ok((dx, da.transpose()?))
        })
    }
}
