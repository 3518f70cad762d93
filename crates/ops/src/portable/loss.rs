//! Losses, one value per image.

use candle_core::{DType, Result, Tensor};

use super::graph::attach;
use super::{from_host, full, sum_keep};
use crate::loss::{FocalParams, LossKind, TverskyParams};

/// What a loss of pixels is computed from; the weights, if any, are constants like the target.
pub(crate) struct Pixels<'a> {
    pub logits: &'a Tensor,
    pub target: &'a Tensor,
    pub weights: Option<&'a Tensor>,
}

/// Target and weights, detached.
#[derive(Clone)]
struct Constants {
    target: Tensor,
    weights: Option<Tensor>,
}

impl Constants {
    fn weigh(&self, t: Tensor) -> Result<Tensor> {
        match &self.weights {
            Some(weights) => t * weights,
            None => Ok(t),
        }
    }
}

impl Pixels<'_> {
    fn logits(&self) -> Result<Tensor> {
        self.logits.detach().contiguous()
    }

    fn constants(&self) -> Result<Constants> {
        Ok(Constants {
            target: self.target.detach().contiguous()?,
            weights: self.weights.map(|w| w.detach().contiguous()).transpose()?,
        })
    }

    /// Attaches `gradient(logits, gradient of each image's loss as a column)`.
    fn finish(
        &self,
        name: &'static str,
        loss: Tensor,
        gradient: impl Fn(&Tensor, &Tensor) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Result<Tensor> {
        let loss = loss.flatten_all()?;
        attach(name, &[self.logits], loss, move |inputs, grad| {
            Ok(vec![Some(gradient(&inputs[0], &column(grad, &inputs[0])?)?)])
        })
    }
}

/// One value per image in a shape that spreads over its pixels.
fn column(values: &Tensor, like: &Tensor) -> Result<Tensor> {
    let mut dims = vec![1; like.rank()];
    dims[0] = values.elem_count();
    values.reshape(dims)
}

/// Sum over each image's pixels, as a column.
fn per_image(t: &Tensor) -> Result<Tensor> {
    let axes: Vec<usize> = (1..t.rank()).rev().collect();
    sum_keep(t, &axes)
}

fn pixels_per_image(t: &Tensor) -> f64 {
    (t.elem_count() / t.dims()[0]) as f64
}

/// The sigmoid, one minus the sigmoid (neither by subtraction from 1) and `e^-|z|`.
struct Sides {
    p: Tensor,
    rest: Tensor,
    e: Tensor,
}

impl Sides {
    fn of(z: &Tensor) -> Result<Self> {
        let e = z.abs()?.neg()?.exp()?;
        let near = (&e + 1.0)?.recip()?;
        let far = (&e * &near)?;
        let positive = z.ge(0.0)?;
        Ok(Self {
            p: positive.where_cond(&near, &far)?,
            rest: positive.where_cond(&far, &near)?,
            e,
        })
    }

    /// `p (1 - p)`.
    fn slope(&self) -> Result<Tensor> {
        &self.p * &self.rest
    }

    /// Cross entropy with the target, `max(z, 0) - z t + ln(1 + e)`.
    fn entropy(&self, z: &Tensor, target: &Tensor) -> Result<Tensor> {
        // ln(1 + e) without losing a small e: the error of the sum is in its difference to 1, too.
        let sum = (&self.e + 1.0)?;
        let exact = (sum.log()? * &self.e)?.div(&(&sum - 1.0)?)?;
        let log = sum.eq(1.0)?.where_cond(&self.e, &exact)?;
        z.maximum(0.0)?.sub(&(z * target)?)? + log
    }
}

/// A loss of every image.
pub(crate) fn pixel_loss(kind: LossKind, pixels: &Pixels) -> Result<Tensor> {
    match kind {
        LossKind::Bce => bce(pixels),
        LossKind::Focal(params) => focal(pixels, params),
        LossKind::Dice { smooth } => dice(pixels, smooth),
        LossKind::Tversky(params) => tversky(pixels, params),
    }
}

/// `bce_with_logits`.
fn bce(pixels: &Pixels) -> Result<Tensor> {
    let (z, constants) = (pixels.logits()?, pixels.constants()?);
    let count = pixels_per_image(&z);
    let loss = constants.weigh(Sides::of(&z)?.entropy(&z, &constants.target)?)?;
    let loss = per_image(&loss)?.affine(1.0 / count, 0.0)?;
    pixels.finish("htl-portable-bce", loss, move |z, grad| {
        let slope = constants.weigh((Sides::of(z)?.p - &constants.target)?)?;
        slope.broadcast_mul(&grad.affine(1.0 / count, 0.0)?)
    })
}

/// The parts of one focal loss.
struct Focal {
    sides: Sides,
    entropy: Tensor,
    missed: Tensor,
    power: Tensor,
    /// Weight of the pixel's class.
    factor: Tensor,
}

impl Focal {
    fn of(params: &FocalParams, z: &Tensor, target: &Tensor) -> Result<Self> {
        let least = if z.dtype() == DType::F64 {
            f64::MIN_POSITIVE
        } else {
            f64::from(f32::MIN_POSITIVE)
        };
        let sides = Sides::of(z)?;
        let entropy = sides.entropy(z, target)?;
        let missed = ((&sides.p * target.affine(-1.0, 1.0)?)? + (&sides.rest * target)?)?.maximum(least)?;
        let power = missed.log()?.affine(params.gamma, 0.0)?.exp()?;
        let factor = match params.alpha {
            Some(alpha) => target.affine(2.0 * alpha - 1.0, 1.0 - alpha)?,
            None => target.ones_like()?,
        };
        Ok(Self {
            sides,
            entropy,
            missed,
            power,
            factor,
        })
    }
}

/// `focal_with_logits`.
fn focal(pixels: &Pixels, params: FocalParams) -> Result<Tensor> {
    let (z, constants) = (pixels.logits()?, pixels.constants()?);
    let count = pixels_per_image(&z);
    let v = Focal::of(&params, &z, &constants.target)?;
    let loss = constants.weigh(((v.entropy * v.power)? * v.factor)?)?;
    let loss = per_image(&loss)?.affine(1.0 / count, 0.0)?;
    pixels.finish("htl-portable-focal", loss, move |z, grad| {
        let target = &constants.target;
        let v = Focal::of(&params, z, target)?;
        let turn = (v.sides.slope()? / &v.missed)?.affine(params.gamma, 0.0)?;
        let turn = (turn * target.affine(-2.0, 1.0)?)?;
        let slope = ((&v.sides.p - target)? + (&v.entropy * turn)?)?;
        let slope = constants.weigh(((slope * v.power)? * v.factor)?)?;
        slope.broadcast_mul(&grad.affine(1.0 / count, 0.0)?)
    })
}

/// `(a t + b) w p (1 - p)` with one `a` and `b` per image.
fn overlap_gradient(z: &Tensor, constants: &Constants, [a, b]: [&Tensor; 2]) -> Result<Tensor> {
    let turn = constants.target.broadcast_mul(a)?.broadcast_add(b)?;
    constants.weigh((turn * Sides::of(z)?.slope()?)?)
}

/// `soft_dice` with this smoothing.
fn dice(pixels: &Pixels, smooth: f64) -> Result<Tensor> {
    let (z, constants) = (pixels.logits()?, pixels.constants()?);
    let p = constants.weigh(Sides::of(&z)?.p)?;
    let both = per_image(&(&p * &constants.target)?)?;
    let all = (per_image(&p)? + per_image(&constants.weigh(constants.target.clone())?)?)?;
    let (over, total) = (both.affine(2.0, smooth)?, all.affine(1.0, smooth)?);
    let loss = (&over / &total)?.affine(-1.0, 1.0)?;
    pixels.finish("htl-portable-dice", loss, move |z, grad| {
        let a = (grad / &total)?;
        let b = ((&a * &over)? / &total)?;
        overlap_gradient(z, &constants, [&a.affine(-2.0, 0.0)?, &b])
    })
}

/// `tversky`.
fn tversky(pixels: &Pixels, params: TverskyParams) -> Result<Tensor> {
    let (z, constants) = (pixels.logits()?, pixels.constants()?);
    let TverskyParams {
        alpha,
        beta,
        gamma,
        smooth,
    } = params;
    let Sides { p, rest, .. } = Sides::of(&z)?;
    let target = &constants.target;
    let sum = |t: Tensor| per_image(&constants.weigh(t)?);
    let positive = sum((&p * target.affine(-1.0, 1.0)?)?)?;
    let negative = sum((rest * target)?)?;
    let kept = sum((p * target)?)?.affine(1.0, smooth)?;
    let missed = (positive.affine(alpha, 0.0)? + negative.affine(beta, 0.0)?)?;
    let total = (&kept + &missed)?;
    // Nothing in either mask, and no smoothing: perfect agreement.
    let empty = total.eq(0.0)?;
    let ones = total.ones_like()?;
    let zeros = total.zeros_like()?;
    let total = empty.where_cond(&ones, &total)?;
    let power = |base: &Tensor, exponent: f64| {
        if exponent == 1.0 {
            Ok(base.clone())
        } else {
            base.powf(exponent)
        }
    };
    let loss = empty.where_cond(&zeros, &power(&(&missed / &total)?, gamma)?)?;
    pixels.finish("htl-portable-tversky", loss, move |z, grad| {
        // With an exponent below 1 the slope at a perfect score is infinite; there is nothing left to gain there.
        let perfect = missed.eq(0.0)?;
        let some = perfect.where_cond(&ones, &missed)?;
        let slope = if gamma == 1.0 {
            ones.clone()
        } else {
            (&some / &total)?.powf(gamma - 1.0)?.affine(gamma, 0.0)?
        };
        let limit = f64::from(f32::MAX);
        let coefficient = |v: Tensor| {
            let v = ((((grad * &slope)? * v)? / &total)? / &total)?;
            perfect.where_cond(&zeros, &v.clamp(-limit, limit)?)
        };
        let a = coefficient((kept.affine(-(alpha + beta), 0.0)? - &missed)?)?;
        let b = coefficient(kept.affine(alpha, 0.0)?)?;
        overlap_gradient(z, &constants, [&a, &b])
    })
}

/// `cross_entropy` with labels that are known to the host, and in range.
pub(crate) fn cross_entropy(logits: &Tensor, labels: &[u32], classes: usize) -> Result<Tensor> {
    let mut hot = vec![0.0; labels.len() * classes];
    for (row, &label) in hot.chunks_mut(classes).zip(labels) {
        row[label as usize] = 1.0;
    }
    let hot = from_host(hot, (labels.len(), classes), logits)?;
    let z = logits.detach().contiguous()?;
    let largest = z.max_keepdim(1)?;
    let log_sum = (z.broadcast_sub(&largest)?.exp()?.sum_keepdim(1)?.log()? + largest)?;
    // Chosen, not multiplied: a logit of another class may be infinite.
    let own = hot
        .gt(0.5)?
        .where_cond(&z, &full(0.0, z.shape(), &z)?)?
        .sum_keepdim(1)?;
    let loss = (&log_sum - own)?.flatten_all()?;
    attach("htl-portable-cross-entropy", &[logits], loss, move |inputs, grad| {
        let p = inputs[0].broadcast_sub(&log_sum)?.exp()?;
        Ok(vec![Some((p - &hot)?.broadcast_mul(&column(grad, &inputs[0])?)?)])
    })
}
