//! Convolution of either direction. The three maps below are candle's forward convolution in different roles.

use candle_core::{Result, Tensor};

use super::graph::attach;
use super::grid::Grid;
use super::{full, sum_keep};
use crate::conv::{Conv2dParams, Geometry};

/// `conv2d` with an optional bias.
pub(crate) fn conv2d(g: Geometry, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = forward(&g, &x.detach(), &weight.detach())?;
    let tracked = [x.track_op(), weight.track_op()];
    finish("htl-portable-conv2d", [x, weight], bias, y, move |x, weight, grad| {
        Ok([
            tracked[0].then(|| input_gradient(&g, grad, weight)).transpose()?,
            tracked[1].then(|| weight_gradient(&g, x, grad)).transpose()?,
        ])
    })
}

/// The convolution `g` from its result to its input, with an optional bias.
pub(crate) fn transposed(g: Geometry, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = input_gradient(&g, &x.detach(), &weight.detach())?;
    let tracked = [x.track_op(), weight.track_op()];
    finish(
        "htl-portable-conv-transpose2d",
        [x, weight],
        bias,
        y,
        move |x, weight, grad| {
            Ok([
                tracked[0].then(|| forward(&g, grad, weight)).transpose()?,
                tracked[1].then(|| weight_gradient(&g, grad, x)).transpose()?,
            ])
        },
    )
}

/// Adds the bias and attaches the gradients.
fn finish(
    name: &'static str,
    [x, weight]: [&Tensor; 2],
    bias: Option<&Tensor>,
    y: Tensor,
    backward: impl Fn(&Tensor, &Tensor, &Tensor) -> Result<[Option<Tensor>; 2]> + Send + Sync + 'static,
) -> Result<Tensor> {
    let Some(bias) = bias else {
        return attach(name, &[x, weight], y, move |inputs, grad| {
            Ok(backward(&inputs[0], &inputs[1], grad)?.into())
        });
    };
    let y = y.broadcast_add(&bias.detach().reshape((1, bias.elem_count(), 1, 1))?)?;
    let tracked = bias.track_op();
    attach(name, &[x, weight, bias], y, move |inputs, grad| {
        let [dx, dw] = backward(&inputs[0], &inputs[1], grad)?;
        let db = tracked.then(|| sum_keep(grad, &[3, 2, 0])?.flatten_all()).transpose()?;
        Ok(vec![dx, dw, db])
    })
}

/// Mean over windows: every plane an image of one channel, all taps of one weight.
pub(crate) fn average(plane: Geometry, x: &Tensor) -> Result<Tensor> {
    let (batch, channels, h, w) = x.dims4()?;
    let g = Geometry {
        batch: batch * channels,
        ..plane
    };
    let taps = g.kh * g.kw;
    let weight = full(1.0 / taps as f64, (1, 1, g.kh, g.kw), x)?;
    let planes = x.detach().contiguous()?.reshape((g.batch, 1, h, w))?;
    let y = forward(&g, &planes, &weight)?.reshape((batch, channels, g.oh, g.ow))?;
    attach("htl-portable-avg-pool2d", &[x], y, move |_, grad| {
        let grad = grad.reshape((g.batch, 1, g.oh, g.ow))?;
        let dx = input_gradient(&g, &grad, &weight)?;
        Ok(vec![Some(dx.reshape((batch, channels, h, w))?)])
    })
}

/// One group's share of a convolution.
fn group(g: &Geometry) -> Geometry {
    Geometry {
        cin: g.cin / g.p.groups,
        cout: g.cout / g.p.groups,
        p: Conv2dParams { groups: 1, ..g.p },
        ..*g
    }
}

/// Part `i` of `n` along an axis.
fn part(t: &Tensor, axis: usize, i: usize, n: usize) -> Result<Tensor> {
    let size = t.dims()[axis] / n;
    t.narrow(axis, i * size, size)?.contiguous()
}

/// Runs every group by itself and joins the results.
fn by_group(g: &Geometry, axis: usize, run: impl Fn(&Geometry, usize) -> Result<Tensor>) -> Result<Tensor> {
    let one = group(g);
    let parts = (0..g.p.groups).map(|i| run(&one, i)).collect::<Result<Vec<_>>>()?;
    Tensor::cat(&parts, axis)
}

fn is_depthwise(g: &Geometry) -> bool {
    g.p.groups > 1 && g.p.groups == g.cin
}

/// The result of the convolution.
fn forward(g: &Geometry, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    if is_depthwise(g) {
        return depthwise::forward(g, x, weight);
    }
    let n = g.p.groups;
    if n > 1 {
        return by_group(g, 1, |g, i| forward(g, &part(x, 1, i, n)?, &part(weight, 0, i, n)?));
    }
    let p = g.p;
    x.contiguous()?
        .conv2d(&weight.contiguous()?, p.padding, p.stride, p.dilation, 1)
}

/// Gradient of the input: a convolution of the result's gradient, its positions `stride` apart, with the mirrored weight.
fn input_gradient(g: &Geometry, grad: &Tensor, weight: &Tensor) -> Result<Tensor> {
    if is_depthwise(g) {
        return depthwise::input_gradient(g, grad, weight);
    }
    let n = g.p.groups;
    if n > 1 {
        return by_group(g, 1, |g, i| {
            input_gradient(g, &part(grad, 1, i, n)?, &part(weight, 0, i, n)?)
        });
    }
    let mirrored = reversed(&reversed(&weight.transpose(0, 1)?.contiguous()?, 2)?, 3)?;
    let mut grad = grad.contiguous()?;
    for (axis, kernel, size) in [(2, g.kh, g.h), (3, g.kw, g.w)] {
        let reach = g.p.dilation * (kernel - 1);
        grad = apart(&grad, axis, g.p.stride)?;
        let before = reach as isize - g.p.padding as isize;
        let after = (size + reach) as isize - before - grad.dims()[axis] as isize;
        grad = fitted(&grad, axis, before, after)?;
    }
    grad.contiguous()?.conv2d(&mirrored, 0, 1, g.p.dilation, 1)
}

/// Gradient of the weight: the input's convolution with the result's gradient, images as channels, stride and dilation
/// exchanged.
fn weight_gradient(g: &Geometry, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
    if is_depthwise(g) {
        return depthwise::weight_gradient(g, x, grad);
    }
    let n = g.p.groups;
    if n > 1 {
        return by_group(g, 0, |g, i| {
            weight_gradient(g, &part(x, 1, i, n)?, &part(grad, 1, i, n)?)
        });
    }
    // Contiguous, above all the gradient, which stands for the weight: Metal's convolution takes no other.
    let (x, grad) = (x.transpose(0, 1)?.contiguous()?, grad.transpose(0, 1)?.contiguous()?);
    let dw = x.conv2d(&grad, g.p.padding, g.p.dilation, g.p.stride, 1)?;
    // Rows that no window reaches make it larger.
    dw.narrow(2, 0, g.kh)?.narrow(3, 0, g.kw)?.transpose(0, 1)?.contiguous()
}

/// The same elements in reverse along an axis. `t` must be contiguous.
fn reversed(t: &Tensor, axis: usize) -> Result<Tensor> {
    let size = t.dims()[axis] as u32;
    if size == 1 {
        return Ok(t.clone());
    }
    let ids: Vec<u32> = (0..size).rev().collect();
    t.index_select(&Tensor::from_vec(ids, size as usize, t.device())?, axis)
}

/// Puts `stride - 1` zeros between neighbours along an axis.
fn apart(t: &Tensor, axis: usize, stride: usize) -> Result<Tensor> {
    let size = t.dims()[axis];
    if stride == 1 || size == 1 {
        return Ok(t.clone());
    }
    let mut dims = t.dims().to_vec();
    dims[axis] = size * stride;
    t.unsqueeze(axis + 1)?
        .pad_with_zeros(axis + 1, 0, stride - 1)?
        .reshape(dims)?
        .narrow(axis, 0, (size - 1) * stride + 1)
}

/// Adds zeros at both ends of an axis, or cuts where the number is negative.
fn fitted(t: &Tensor, axis: usize, before: isize, after: isize) -> Result<Tensor> {
    let cut = |n: isize| n.min(0).unsigned_abs();
    let (from, to) = (cut(before), t.dims()[axis].saturating_sub(cut(after)));
    if from >= to {
        // Nothing is left but zeros.
        let mut dims = t.dims().to_vec();
        dims[axis] = (dims[axis] as isize + before + after).max(0) as usize;
        return Tensor::zeros(dims, t.dtype(), t.device());
    }
    t.narrow(axis, from, to - from)?
        .pad_with_zeros(axis, before.max(0) as usize, after.max(0) as usize)
}

/// Convolutions of every channel by itself: a product per tap, not a convolution per channel.
mod depthwise {
    use super::*;

    /// The padded input's taps.
    fn grid(g: &Geometry, like: &Tensor) -> Result<Grid> {
        let ids = |positions: usize, taps: usize| -> Vec<Vec<u32>> {
            let at = |tap: usize, o: usize| (o * g.p.stride + tap * g.p.dilation) as u32;
            (0..taps)
                .map(|tap| (0..positions).map(|o| at(tap, o)).collect())
                .collect()
        };
        let padded = [g.h, g.w].map(|size| size + 2 * g.p.padding);
        Grid::new((padded[0], &ids(g.oh, g.kh)), (padded[1], &ids(g.ow, g.kw)), like)
    }

    fn padded(g: &Geometry, x: &Tensor) -> Result<Tensor> {
        let p = g.p.padding;
        x.pad_with_zeros(2, p, p)?.pad_with_zeros(3, p, p)?.contiguous()
    }

    /// Result or its gradient with the channels that one input channel makes on an axis of their own.
    fn fan(g: &Geometry, y: &Tensor) -> Result<Tensor> {
        y.reshape((g.batch, g.cin, g.cout / g.cin, g.oh, g.ow))
    }

    /// The weights of all taps, each `[1, channels, multiplier, 1, 1]`.
    fn taps(g: &Geometry, weight: &Tensor) -> Result<Vec<Tensor>> {
        let weight = weight.reshape((g.cout, g.kh * g.kw))?;
        (0..g.kh * g.kw)
            .map(|tap| {
                weight
                    .narrow(1, tap, 1)?
                    .contiguous()?
                    .reshape((1, g.cin, g.cout / g.cin, 1, 1))
            })
            .collect()
    }

    pub(super) fn forward(g: &Geometry, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let (x, grid) = (padded(g, x)?, grid(g, x)?);
        let mut y: Option<Tensor> = None;
        for (tap, weight) in taps(g, weight)?.iter().enumerate() {
            let term = grid.pick(&x, tap)?.unsqueeze(2)?.broadcast_mul(weight)?;
            y = Some(match y {
                Some(y) => (y + term)?,
                None => term,
            });
        }
        let none = || candle_core::Error::Msg("htl-ops: a window without taps".into()).bt();
        y.ok_or_else(none)?.reshape((g.batch, g.cout, g.oh, g.ow))
    }

    pub(super) fn input_gradient(g: &Geometry, grad: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let (grad, taps, p) = (fan(g, &grad.contiguous()?)?, taps(g, weight)?, g.p.padding);
        let dx = grid(g, &grad)?.put(|tap| grad.broadcast_mul(&taps[tap])?.sum(2))?;
        dx.narrow(2, p, g.h)?.narrow(3, p, g.w)?.contiguous()
    }

    pub(super) fn weight_gradient(g: &Geometry, x: &Tensor, grad: &Tensor) -> Result<Tensor> {
        let (x, grid, grad) = (padded(g, x)?, grid(g, x)?, fan(g, &grad.contiguous()?)?);
        let taps = (0..grid.len())
            .map(|tap| {
                let product = grad.broadcast_mul(&grid.pick(&x, tap)?.unsqueeze(2)?)?;
                sum_keep(&product, &[4, 3, 0])?.reshape(g.cout)
            })
            .collect::<Result<Vec<_>>>()?;
        Tensor::stack(&taps, 1)?.reshape((g.cout, 1, g.kh, g.kw))
    }
}
