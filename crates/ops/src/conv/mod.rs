//! Two-dimensional convolution.

#[cfg(target_arch = "x86_64")]
mod across;
pub(crate) mod depthwise;
mod direct;
mod doubled;
mod general;
mod listed;
mod micro;
mod op;
mod pack;
#[cfg(test)]
mod samples;
mod strip;
mod transposed;
mod vector;

pub(crate) use doubled::Doubled;
pub use op::conv2d;
pub use transposed::{ConvTranspose2dParams, conv_transpose2d};

use crate::OpsError;
use crate::error::check_extents;
use crate::real::Real;

/// Stride, padding, dilation and groups of a convolution, equal along both axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conv2dParams {
    /// Step between output positions, at least 1.
    pub stride: usize,
    /// Zeros added on every side.
    pub padding: usize,
    /// Distance between taps, at least 1.
    pub dilation: usize,
    /// Independent groups of channels; equal to the channels for a depthwise convolution.
    pub groups: usize,
}

impl Default for Conv2dParams {
    fn default() -> Self {
        Self {
            stride: 1,
            padding: 0,
            dilation: 1,
            groups: 1,
        }
    }
}

impl Conv2dParams {
    /// Stride 1 and the padding that keeps the size for an odd kernel.
    pub fn same(kernel: usize) -> Self {
        Self {
            padding: kernel / 2,
            ..Self::default()
        }
    }
}

/// The sizes of one convolution, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub batch: usize,
    pub cin: usize,
    pub h: usize,
    pub w: usize,
    pub cout: usize,
    pub kh: usize,
    pub kw: usize,
    pub oh: usize,
    pub ow: usize,
    pub p: Conv2dParams,
}

impl Geometry {
    pub(crate) fn new(op: &'static str, x: [usize; 4], weight: [usize; 4], p: Conv2dParams) -> Result<Self, OpsError> {
        let [batch, cin, h, w] = x;
        let [cout, cig, kh, kw] = weight;
        for (parameter, value) in [("stride", p.stride), ("dilation", p.dilation), ("groups", p.groups)] {
            if value == 0 {
                return Err(OpsError::Parameter {
                    op,
                    parameter,
                    requirement: "at least 1",
                    found: "0".into(),
                });
            }
        }
        if cig.checked_mul(p.groups) != Some(cin) || cout % p.groups != 0 {
            return Err(OpsError::Channels {
                op,
                input: x.to_vec(),
                channels: cin,
                weight: weight.to_vec(),
                groups: p.groups,
            });
        }
        let extent = |size: usize, kernel: usize| {
            let window = p.dilation.saturating_mul(kernel - 1).saturating_add(1);
            let available = p.padding.saturating_mul(2).saturating_add(size);
            if window > available {
                Err(OpsError::Window {
                    op,
                    window,
                    available,
                    shape: x.to_vec(),
                })
            } else {
                Ok((available - window) / p.stride + 1)
            }
        };
        let geometry = Self {
            batch,
            cin,
            h,
            w,
            cout,
            kh,
            kw,
            oh: extent(h, kh)?,
            ow: extent(w, kw)?,
            p,
        };
        let padded = [h, w].map(|size| p.padding.saturating_mul(2).saturating_add(size));
        check_extents(op, "padded input", &[batch, cin, padded[0], padded[1]])?;
        check_extents(op, "result", &geometry.out_dims())?;
        Ok(geometry)
    }

    pub(crate) fn x_len(&self) -> usize {
        self.batch * self.cin * self.h * self.w
    }

    pub(crate) fn y_len(&self) -> usize {
        self.batch * self.cout * self.oh * self.ow
    }

    pub(crate) fn out_dims(&self) -> [usize; 4] {
        [self.batch, self.cout, self.oh, self.ow]
    }

    pub(crate) fn w_len(&self) -> usize {
        self.cout * (self.cin / self.p.groups) * self.kh * self.kw
    }
}

/// `y = conv(x, weight)`, every element of `y` written.
pub(crate) fn forward<T: Real>(g: &Geometry, x: &[T], weight: &[T], y: &mut [T]) {
    debug_assert_eq!((x.len(), weight.len(), y.len()), (g.x_len(), g.w_len(), g.y_len()));
    if direct::applies(g)
        && let (Some(x), Some(weight), Some(y)) = (T::as_f32(x), T::as_f32(weight), T::as_f32_mut(y))
    {
        return direct::forward(g, x, weight, y);
    }
    if depthwise::applies(g) {
        return depthwise::forward(g, x, weight, y);
    }
    if listed::applies(g)
        && let (Some(x), Some(weight), Some(y)) = (T::as_f32(x), T::as_f32(weight), T::as_f32_mut(y))
    {
        return listed::forward(g, x, weight, y);
    }
    general::forward(g, x, weight, y);
}

/// Gradient of the input, every element of `dx` written.
pub(crate) fn backward_input<T: Real>(g: &Geometry, dy: &[T], weight: &[T], dx: &mut [T]) {
    debug_assert_eq!((dx.len(), weight.len(), dy.len()), (g.x_len(), g.w_len(), g.y_len()));
    if direct::applies(g)
        && let (Some(dy), Some(weight), Some(dx)) = (T::as_f32(dy), T::as_f32(weight), T::as_f32_mut(dx))
    {
        return direct::backward_input(g, dy, weight, dx);
    }
    if depthwise::applies(g) {
        return depthwise::backward_input(g, dy, weight, dx);
    }
    if listed::applies(g)
        && let (Some(dy), Some(weight), Some(dx)) = (T::as_f32(dy), T::as_f32(weight), T::as_f32_mut(dx))
    {
        return listed::backward_input(g, dy, weight, dx);
    }
    general::backward_input(g, dy, weight, dx);
}

/// Gradient of the weight, every element of `dw` written.
pub(crate) fn backward_weight<T: Real>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T]) {
    debug_assert_eq!((x.len(), dw.len(), dy.len()), (g.x_len(), g.w_len(), g.y_len()));
    if direct::applies(g)
        && let (Some(x), Some(dy), Some(dw)) = (T::as_f32(x), T::as_f32(dy), T::as_f32_mut(dw))
    {
        return direct::backward_weight(g, x, dy, dw);
    }
    if depthwise::applies(g) {
        return depthwise::backward_weight(g, x, dy, dw);
    }
    if listed::applies(g)
        && let (Some(x), Some(dy), Some(dw)) = (T::as_f32(x), T::as_f32(dy), T::as_f32_mut(dw))
    {
        return listed::backward_weight(g, x, dy, dw);
    }
    general::backward_weight(g, x, dy, dw);
}

/// Adds `bias[c]` to every plane of `area` elements.
pub(crate) fn add_bias<T: Real>(y: &mut [T], area: usize, bias: &[T]) {
    crate::parallel::chunks(y, area, |i, plane| {
        let b = bias[i % bias.len()];
        plane.iter_mut().for_each(|v| *v += b);
    });
}

/// Sum of every channel's gradient.
pub(crate) fn backward_bias<T: Real>(dy: &[T], area: usize, channels: usize) -> Vec<T> {
    let mut db = vec![T::default(); channels];
    crate::parallel::chunks(&mut db, 1, |c, out| {
        let mut total = 0f64;
        for plane in dy.chunks(area).skip(c).step_by(channels) {
            total += crate::math::plane_sum(plane);
        }
        out[0] = T::from_f64(total);
    });
    db
}
