//! Layer and group normalisation: runs of consecutive elements ("rows") are brought to mean 0 and variance 1, then
//! scaled and shifted, element by element or channel by channel.

mod loops;

use std::sync::OnceLock;

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor, WithDType};

use crate::OpsError;
use crate::gpu::{self, Rows};
use crate::math::plane_sum;
use crate::norm::{Activation, Planes, bounds, moments};
use crate::parallel::{self, Shared};
use crate::portable;
use crate::real::{Reading, Real, by_dtype, check_real, check_shape, elements};
use loops::{add_affine_gradient, row_gradient, row_sums, run_gradient, run_sums, scale_row, scale_run};

/// Rows of one task of layer normalisation's backward pass: gradients of gamma and beta are added in the tensors' own
/// precision within a task and in `f64` across tasks. Few where rows are long, so that there is work to share.
fn rows_per_task(len: usize) -> usize {
    ((1 << 14) / len).clamp(4, 32)
}

/// Mean and `1 / sqrt(var + eps)` of one row.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    mean: f64,
    inv_std: f64,
}

impl Moments {
    fn of<T: Real>(row: &[T], eps: f64) -> Self {
        let count = row.len() as f64;
        // The variance is summed around (almost) the mean: no cancellation, whatever the row's offset or first value.
        let pivot = T::from_f64(plane_sum(row) / count);
        let [s1, s2] = moments(row, Planes::one(row.len()), pivot);
        let d = s1 / count;
        let var = (s2 / count - d * d).clamp(0.0, f64::INFINITY);
        Self {
            mean: pivot.to_f64() + d,
            inv_std: 1.0 / (var + eps).sqrt(),
        }
    }

    /// `[pivot, scale, shift]` of the normalised value `(x - pivot) * scale + shift`. The pivot is the mean rounded to
    /// the tensor's type, so that a large mean costs no digits of the difference.
    fn centred<T: Real>(self) -> [T; 3] {
        let pivot = T::from_f64(self.mean);
        let shift = (pivot.to_f64() - self.mean) * self.inv_std;
        [pivot, T::from_f64(self.inv_std), T::from_f64(shift)]
    }

    /// `[pivot, scale, shift]` of `gamma * normalised + beta`.
    fn affine<T: Real>(self, gamma: T, beta: T) -> [T; 3] {
        let pivot = T::from_f64(self.mean);
        let scale = gamma.to_f64() * self.inv_std;
        let shift = beta.to_f64() + (pivot.to_f64() - self.mean) * scale;
        [pivot, T::from_f64(scale), T::from_f64(shift)]
    }
}

/// What gamma and beta are indexed by.
#[derive(Debug, Clone, Copy)]
enum Affine {
    /// The position in the row.
    Element,
    /// The channel.
    Channel(Channels),
}

/// A row holds `channels` of `area` elements each, and `groups` rows make an image.
#[derive(Debug, Clone, Copy)]
struct Channels {
    groups: usize,
    channels: usize,
    area: usize,
    activation: Activation,
}

struct RowNormOp {
    name: &'static str,
    /// Elements of a row.
    len: usize,
    affine: Affine,
    eps: f64,
    moments: OnceLock<Vec<Moments>>,
    /// Whether x, gamma and beta need a gradient.
    tracked: [bool; 3],
}

/// Gradients of x, gamma and beta.
type Gradients<T> = (Option<Vec<T>>, Vec<T>, Vec<T>);

impl RowNormOp {
    fn moments<T: Real>(&self, x: &[T]) -> &[Moments] {
        self.moments.get_or_init(|| {
            let mut rows = vec![Moments::default(); x.len() / self.len];
            parallel::chunks(&mut rows, 1, |i, row| {
                row[0] = Moments::of(&x[i * self.len..][..self.len], self.eps)
            });
            rows
        })
    }

    fn forward<T: Real>(&self, x: &[T], gamma: &[T], beta: &[T]) -> Vec<T> {
        let moments = self.moments(x);
        let mut out = vec![T::default(); x.len()];
        parallel::chunks(&mut out, self.len, |i, out| {
            let x = &x[i * self.len..][..self.len];
            match self.affine {
                Affine::Element => scale_row(x, moments[i].centred(), gamma, beta, out),
                Affine::Channel(by_channel) => {
                    let bounds = bounds(by_channel.activation);
                    let first = (i % by_channel.groups) * by_channel.channels;
                    let area = by_channel.area;
                    for (c, (out, x)) in out.chunks_mut(area).zip(x.chunks(area)).enumerate() {
                        let by = moments[i].affine(gamma[first + c], beta[first + c]);
                        scale_run(x, by, bounds, out);
                    }
                }
            }
        });
        out
    }

    fn backward<T: Real>(&self, x: &[T], gamma: &[T], beta: &[T], grad: &[T]) -> Gradients<T> {
        let mut dx = vec![T::default(); if self.tracked[0] { x.len() } else { 0 }];
        let (dgamma, dbeta) = match self.affine {
            Affine::Element => self.elements_back(x, gamma, grad, &mut dx),
            Affine::Channel(by_channel) => self.channels_back(by_channel, x, [gamma, beta], grad, &mut dx),
        };
        (self.tracked[0].then_some(dx), dgamma, dbeta)
    }

    /// `dx` is left alone if it is empty.
    fn elements_back<T: Real>(&self, x: &[T], gamma: &[T], grad: &[T], dx: &mut [T]) -> (Vec<T>, Vec<T>) {
        let n = self.len;
        let moments = self.moments(x);
        let (wants_x, wants_affine) = (!dx.is_empty(), self.tracked[1] || self.tracked[2]);
        let rows = rows_per_task(n);
        let tasks = moments.len().div_ceil(rows);
        let mut partial = vec![T::default(); if wants_affine { tasks * 2 * n } else { 0 }];
        let (dx, shared) = (Shared::new(dx), Shared::new(&mut partial));
        parallel::each(tasks, |task| {
            // SAFETY: every task has rows and a partial sum of its own, and both buffers outlive the call.
            let sums = wants_affine.then(|| unsafe { shared.part(task * 2 * n, 2 * n) });
            let mut sums = sums.map(|s| s.split_at_mut(n));
            for i in task * rows..((task + 1) * rows).min(moments.len()) {
                let (x, grad) = (&x[i * n..][..n], &grad[i * n..][..n]);
                let by = moments[i].centred();
                if wants_x {
                    // SAFETY: as above.
                    let dx = unsafe { dx.part(i * n, n) };
                    let means = row_sums(x, grad, gamma, by).map(|s| T::from_f64(s / n as f64));
                    row_gradient(x, grad, gamma, by, means, dx);
                }
                if let Some((dgamma, dbeta)) = &mut sums {
                    add_affine_gradient(x, grad, by, dgamma, dbeta);
                }
            }
        });
        let mut totals = vec![0f64; if wants_affine { 2 * n } else { 0 }];
        for part in partial.chunks(2 * n) {
            totals.iter_mut().zip(part).for_each(|(t, &v)| *t += v.to_f64());
        }
        let mut dgamma: Vec<T> = totals.into_iter().map(T::from_f64).collect();
        let dbeta = dgamma.split_off(dgamma.len() / 2);
        (dgamma, dbeta)
    }

    /// `dx` is left alone if it is empty.
    fn channels_back<T: Real>(
        &self,
        by_channel: Channels,
        x: &[T],
        [gamma, beta]: [&[T]; 2],
        grad: &[T],
        dx: &mut [T],
    ) -> (Vec<T>, Vec<T>) {
        let Channels {
            groups,
            channels,
            area,
            activation,
        } = by_channel;
        let n = self.len;
        let moments = self.moments(x);
        let bounds = bounds(activation);
        let wants_x = !dx.is_empty();
        // Per image and channel: sums of g and of g times the normalised value.
        let mut sums = vec![[0f64; 2]; x.len() / area];
        let dx = Shared::new(dx);
        parallel::chunks(&mut sums, channels, |i, sums| {
            let (x, grad) = (&x[i * n..][..n], &grad[i * n..][..n]);
            let first = (i % groups) * channels;
            let Moments { mean, inv_std } = moments[i];
            let by = |c: usize| moments[i].affine(gamma[first + c], beta[first + c]);
            let residue = T::from_f64(mean).to_f64() - mean;
            let mut means = [0f64; 2];
            for (c, sums) in sums.iter_mut().enumerate() {
                let part = c * area..(c + 1) * area;
                let [s1, s2] = run_sums(&x[part.clone()], &grad[part], by(c), bounds);
                *sums = [s1, (s2 + residue * s1) * inv_std];
                let gamma = gamma[first + c].to_f64();
                means[0] += gamma * sums[0] / n as f64;
                means[1] += gamma * sums[1] / n as f64;
            }
            if !wants_x {
                return;
            }
            // SAFETY: every task has a row of its own, and `dx` outlives the call.
            let dx = unsafe { dx.part(i * n, n) };
            // dx = inv_std * (gamma * g - means[0] - (x - mean) * inv_std * means[1])
            let b = -inv_std * inv_std * means[1];
            let shift = T::from_f64(-inv_std * means[0] + b * residue);
            for (c, dx) in dx.chunks_mut(area).enumerate() {
                let part = c * area..(c + 1) * area;
                let a = T::from_f64(gamma[first + c].to_f64() * inv_std);
                let abc = [a, T::from_f64(b), shift];
                run_gradient(&x[part.clone()], &grad[part], by(c), abc, bounds, dx);
            }
        });
        let all = gamma.len();
        let total = |which: usize| -> Vec<T> {
            (0..all)
                .map(|c| T::from_f64(sums.iter().skip(c).step_by(all).map(|s| s[which]).sum()))
                .collect()
        };
        (total(1), total(0))
    }
}

impl CustomOp3 for RowNormOp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        g: &CpuStorage,
        gl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let out = by_dtype!(x.dtype(), self.name, T => {
            let out = self.forward::<T>(elements(x, xl)?, elements(g, gl)?, elements(b, bl)?);
            Ok(T::to_cpu_storage_owned(out))
        })?;
        Ok((out, xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        g: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        by_dtype!(x.dtype(), self.name, T => {
            let (xs, gamma, beta, gs) = (Reading::of(x), Reading::of(g), Reading::of(b), Reading::of(&grad));
            let (dx, dgamma, dbeta) = self.backward::<T>(xs.get()?, gamma.get()?, beta.get()?, gs.get()?);
            let dx = dx.map(|dx| Tensor::from_vec(dx, x.shape(), x.device())).transpose()?;
            let dgamma = self.tracked[1].then(|| Tensor::from_vec(dgamma, g.shape(), g.device())).transpose()?;
            let dbeta = self.tracked[2].then(|| Tensor::from_vec(dbeta, b.shape(), b.device())).transpose()?;
            Ok((dx, dgamma, dbeta))
        })
    }
}

/// Checks what both functions share and runs the operation.
fn row_norm(
    op: &'static str,
    x: &Tensor,
    len: usize,
    affine: Affine,
    parameters: [(&'static str, Option<&Tensor>, f64); 2],
    shape: &[usize],
    eps: f64,
) -> Result<Tensor, OpsError> {
    if !(eps >= 0.0 && eps.is_finite()) {
        return Err(OpsError::Parameter {
            op,
            parameter: "eps",
            requirement: "finite and not negative",
            found: eps.to_string(),
        });
    }
    let [gamma, beta] = parameters.map(|(argument, tensor, missing)| match tensor {
        Some(tensor) => {
            check_shape(op, argument, tensor, shape, x)?;
            Ok::<_, OpsError>(tensor.contiguous()?)
        }
        None => Ok(portable::full(missing, shape, x)?),
    });
    let (gamma, beta) = (gamma?, beta?);
    if let Some(engine) = gpu::engine_of(x)? {
        let (groups, run, activation) = match affine {
            Affine::Element => (1, 1, Activation::None),
            Affine::Channel(channels) => (channels.groups, channels.area, channels.activation),
        };
        let rows = Rows { len, groups, run };
        return Ok(gpu::row_norm(engine, x, [&gamma, &beta], rows, eps, activation)?);
    }
    if portable::takes(x) {
        return Ok(match affine {
            Affine::Element => portable::norm::layer_norm(x, len, &gamma, &beta, eps)?,
            Affine::Channel(Channels { groups, activation, .. }) => {
                portable::norm::group_norm(x, groups, &gamma, &beta, eps, activation)?
            }
        });
    }
    let x = x.contiguous()?;
    let op = RowNormOp {
        name: op,
        len,
        affine,
        eps,
        moments: OnceLock::new(),
        tracked: [x.track_op(), gamma.track_op(), beta.track_op()],
    };
    Ok(x.apply_op3(&gamma, &beta, op)?)
}

/// Layer normalisation over the last `axes` axes: `gamma * (x - mean) / sqrt(var + eps) + beta`, with mean and biased
/// variance of the elements of those axes.
///
/// # Shapes
/// - `x`: any shape of at least `axes` axes, `f32` or `f64`
/// - `gamma`, `beta`: the last `axes` axes of `x`; 1 and 0 if absent
/// - result: the shape of `x`
///
/// # Errors
/// [`OpsError`] for `axes` of 0 or over the rank, for shapes that do not fit, for a negative `eps`, or for empty input.
///
/// Matches `torch.nn.functional.layer_norm(x, x.shape[-axes:], gamma, beta, eps)`.
pub fn layer_norm(
    x: &Tensor,
    axes: usize,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    eps: f64,
) -> Result<Tensor, OpsError> {
    const OP: &str = "layer_norm";
    if axes == 0 || axes > x.rank() {
        return Err(OpsError::Parameter {
            op: OP,
            parameter: "axes",
            requirement: "at least 1 and at most the number of axes of x",
            found: format!("{axes} for shape {:?}", x.dims()),
        });
    }
    check_real(OP, "x", x)?;
    let shape = &x.dims()[x.rank() - axes..];
    let parameters = [("gamma", gamma, 1.0), ("beta", beta, 0.0)];
    row_norm(OP, x, shape.iter().product(), Affine::Element, parameters, shape, eps)
}

/// Group normalisation and activation: channels are split into `groups`, each normalised within its image, then scaled
/// and shifted by channel: `activation(gamma * (x - mean) / sqrt(var + eps) + beta)`, the variance biased.
///
/// One group normalises each image, as many groups as channels each plane (instance normalisation).
///
/// # Shapes
/// - `x`: `[batch, channels, ...]`, `f32` or `f64`
/// - `gamma`, `beta`: `[channels]`; 1 and 0 if absent
/// - result: the shape of `x`
///
/// # Errors
/// [`OpsError`] for a number of groups that does not divide the channels, for shapes that do not fit, for a negative
/// `eps`, or for empty input.
///
/// Matches `torch.nn.functional.group_norm`, followed by `relu` or `relu6`.
pub fn group_norm(
    x: &Tensor,
    groups: usize,
    gamma: Option<&Tensor>,
    beta: Option<&Tensor>,
    eps: f64,
    activation: Activation,
) -> Result<Tensor, OpsError> {
    const OP: &str = "group_norm";
    let &[_, channels, ref rest @ ..] = x.dims() else {
        return Err(OpsError::Rank {
            op: OP,
            argument: "x",
            expected: "[batch, channels, ...]",
            found: x.dims().to_vec(),
        });
    };
    check_real(OP, "x", x)?;
    if groups == 0 || channels % groups != 0 {
        return Err(OpsError::Parameter {
            op: OP,
            parameter: "groups",
            requirement: "at least 1 and a divisor of the channels",
            found: format!("{groups} for input shape {:?}", x.dims()),
        });
    }
    let area = rest.iter().product::<usize>();
    let affine = Affine::Channel(Channels {
        groups,
        channels: channels / groups,
        area,
        activation,
    });
    let parameters = [("gamma", gamma, 1.0), ("beta", beta, 0.0)];
    row_norm(OP, x, channels / groups * area, affine, parameters, &[channels], eps)
}
