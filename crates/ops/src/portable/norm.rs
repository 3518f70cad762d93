//! Normalisation of batches, rows and groups: one formula over different axes.

use candle_core::{Result, Tensor};

use super::graph::attach;
use super::sum_keep;
use crate::norm::{Activation, BatchStatistics, Norm};

/// Which axes of which shape share what.
struct Plan {
    /// The shape that everything is computed in.
    shape: Vec<usize>,
    /// Axes that one mean and variance are taken over, the last first.
    moments: Vec<usize>,
    /// Gamma and beta in that shape.
    affine: Vec<usize>,
    activation: Activation,
    eps: f64,
}

impl Plan {
    /// Axes along which elements share gamma and beta, the last first.
    fn shared(&self) -> Vec<usize> {
        (0..self.shape.len())
            .rev()
            .filter(|&axis| self.affine[axis] == 1)
            .collect()
    }

    fn mean(&self, t: &Tensor) -> Result<Tensor> {
        let count: usize = self.moments.iter().map(|&axis| self.shape[axis]).product();
        sum_keep(t, &self.moments)?.affine(1.0 / count as f64, 0.0)
    }
}

/// Mean and biased variance, each with axes of 1.
#[derive(Clone)]
struct Moments {
    mean: Tensor,
    var: Tensor,
    /// Whether they are functions of the input.
    own: bool,
}

impl Moments {
    fn normalise(&self, x: &Tensor, eps: f64) -> Result<Tensor> {
        x.broadcast_sub(&self.mean)?.broadcast_mul(&self.inv_std(eps)?)
    }

    fn inv_std(&self, eps: f64) -> Result<Tensor> {
        self.var.affine(1.0, eps)?.sqrt()?.recip()
    }
}

/// `activation(gamma * (x - mean) / sqrt(var + eps) + beta)` and the moments; those of `x` itself if none are given.
fn normalise(
    name: &'static str,
    plan: Plan,
    x: &Tensor,
    [gamma, beta]: [&Tensor; 2],
    given: Option<Moments>,
) -> Result<(Tensor, Moments)> {
    let values = x.detach().contiguous()?.reshape(&*plan.shape)?;
    let moments = match given {
        Some(moments) => moments,
        None => {
            let mean = plan.mean(&values)?;
            let var = plan.mean(&values.broadcast_sub(&mean)?.sqr()?)?;
            Moments { mean, var, own: true }
        }
    };
    let shaped = |t: &Tensor, plan: &Plan| t.detach().reshape(&*plan.affine);
    let (scale, shift) = (shaped(gamma, &plan)?, shaped(beta, &plan)?);
    let z = moments
        .normalise(&values, plan.eps)?
        .broadcast_mul(&scale)?
        .broadcast_add(&shift)?;
    let y = activate(&z, plan.activation)?.reshape(x.shape())?;
    let kept = moments.clone();
    let tracked = [x.track_op(), gamma.track_op(), beta.track_op()];
    let y = attach(name, &[x, gamma, beta], y, move |inputs, grad| {
        let [x, gamma, beta] = [&inputs[0], &inputs[1], &inputs[2]];
        let scale = gamma.reshape(&*plan.affine)?;
        let normal = kept.normalise(&x.reshape(&*plan.shape)?, plan.eps)?;
        let mut grad = grad.reshape(&*plan.shape)?;
        if plan.activation != Activation::None {
            let z = normal
                .broadcast_mul(&scale)?
                .broadcast_add(&beta.reshape(&*plan.affine)?)?;
            grad = passed(&z, &grad, plan.activation)?;
        }
        let weighted = (&grad * &normal)?;
        let dx = || {
            // Of the normalised value: what has the same mean and variance for the others is taken off.
            let by_normal = grad.broadcast_mul(&scale)?;
            let inner = if kept.own {
                let mean = plan.mean(&by_normal)?;
                let turn = plan.mean(&weighted.broadcast_mul(&scale)?)?;
                by_normal.broadcast_sub(&mean)?.sub(&normal.broadcast_mul(&turn)?)?
            } else {
                by_normal
            };
            inner.broadcast_mul(&kept.inv_std(plan.eps)?)?.reshape(x.shape())
        };
        let total = |t: &Tensor, like: &Tensor| sum_keep(t, &plan.shared())?.reshape(like.shape());
        Ok(vec![
            tracked[0].then(dx).transpose()?,
            tracked[1].then(|| total(&weighted, gamma)).transpose()?,
            tracked[2].then(|| total(&grad, beta)).transpose()?,
        ])
    })?;
    Ok((y, moments))
}

/// `activation(x + y)`.
pub(crate) fn add(x: &Tensor, y: &Tensor, activation: Activation) -> Result<Tensor> {
    if activation == Activation::None {
        return x + y;
    }
    let sum = activate(&(x.detach() + y.detach())?, activation)?;
    let (z, tracked) = (sum.clone(), [x.track_op(), y.track_op()]);
    attach("htl-portable-add", &[x, y], sum, move |_, grad| {
        let grad = passed(&z, grad, activation)?;
        Ok(tracked.map(|tracked| tracked.then(|| grad.clone())).to_vec())
    })
}

/// In this form NaN stays NaN.
fn activate(z: &Tensor, activation: Activation) -> Result<Tensor> {
    let z = match activation {
        Activation::None => return Ok(z.clone()),
        Activation::Relu | Activation::Relu6 => z.lt(0.0)?.where_cond(&z.zeros_like()?, z)?,
    };
    match activation {
        Activation::Relu6 => z.gt(6.0)?.where_cond(&super::full(6.0, z.shape(), &z)?, &z),
        _ => Ok(z),
    }
}

/// The gradient where the activation is not flat; 0 at the kinks.
fn passed(z: &Tensor, grad: &Tensor, activation: Activation) -> Result<Tensor> {
    let zeros = grad.zeros_like()?;
    let grad = match activation {
        Activation::None => grad.clone(),
        Activation::Relu | Activation::Relu6 => z.gt(0.0)?.where_cond(grad, &zeros)?,
    };
    match activation {
        Activation::Relu6 => z.lt(6.0)?.where_cond(&grad, &zeros),
        _ => Ok(grad),
    }
}

/// `batch_norm`.
pub(crate) fn batch_norm(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    norm: &Norm,
    activation: Activation,
) -> Result<(Tensor, Option<BatchStatistics>)> {
    let (batch, channels, h, w) = x.dims4()?;
    let (Norm::Batch { eps } | Norm::Running { eps, .. }) = *norm;
    let plan = Plan {
        shape: vec![batch, channels, h, w],
        moments: vec![3, 2, 0],
        affine: vec![1, channels, 1, 1],
        activation,
        eps,
    };
    let given = match norm {
        Norm::Batch { .. } => None,
        Norm::Running { mean, var, .. } => {
            let shaped = |t: &Tensor| t.detach().to_dtype(x.dtype())?.reshape((1, channels, 1, 1));
            Some(Moments {
                mean: shaped(mean)?,
                var: shaped(var)?,
                own: false,
            })
        }
    };
    let (y, moments) = normalise("htl-portable-batch-norm", plan, x, [gamma, beta], given)?;
    if !moments.own {
        return Ok((y, None));
    }
    let count = batch * h * w;
    let correction = count as f64 / (count.max(2) - 1) as f64;
    let statistics = BatchStatistics {
        mean: moments.mean.flatten_all()?,
        var: moments.var.flatten_all()?.affine(correction, 0.0)?,
    };
    Ok((y, Some(statistics)))
}

/// Normalisation of rows of `len` elements, gamma and beta by element.
pub(crate) fn layer_norm(x: &Tensor, len: usize, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    let plan = Plan {
        shape: vec![x.elem_count() / len, len],
        moments: vec![1],
        affine: vec![1, len],
        activation: Activation::None,
        eps,
    };
    Ok(normalise("htl-portable-layer-norm", plan, x, [gamma, beta], None)?.0)
}

/// Normalisation of `groups` groups of channels, gamma and beta by channel.
pub(crate) fn group_norm(
    x: &Tensor,
    groups: usize,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    activation: Activation,
) -> Result<Tensor> {
    let (batch, channels) = (x.dims()[0], gamma.elem_count());
    let area = x.elem_count() / (batch * channels);
    let plan = Plan {
        shape: vec![batch, groups, channels / groups, area],
        moments: vec![3, 2],
        affine: vec![1, groups, channels / groups, 1],
        activation,
        eps,
    };
    Ok(normalise("htl-portable-group-norm", plan, x, [gamma, beta], None)?.0)
}
