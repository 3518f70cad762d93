//! Transposed convolution: the gradient of a convolution's input, used as a layer.

use candle_core::Tensor;

use super::op::{ConvOp, Direction, with_bias};
use super::{Conv2dParams, Geometry};
use crate::OpsError;
use crate::Precision;
use crate::features::device;
use crate::portable;
use crate::real::{check_shape, dims4};

/// Stride, padding, output padding, dilation and groups of a transposed convolution, equal along both axes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConvTranspose2dParams {
    /// Step between the output positions of neighbouring inputs, at least 1.
    pub stride: usize,
    /// Rows and columns cut from every side of the result.
    pub padding: usize,
    /// Rows and columns added below and right, less than the larger of stride and dilation.
    pub output_padding: usize,
    /// Distance between taps, at least 1.
    pub dilation: usize,
    /// Independent groups of channels.
    pub groups: usize,
}

impl Default for ConvTranspose2dParams {
    fn default() -> Self {
        Self {
            stride: 1,
            padding: 0,
            output_padding: 0,
            dilation: 1,
            groups: 1,
        }
    }
}

fn parameter(op: &'static str, parameter: &'static str, requirement: &'static str, found: String) -> OpsError {
    OpsError::Parameter {
        op,
        parameter,
        requirement,
        found,
    }
}

/// The convolution whose input has the shape of our result, and whose result has (at least) the shape of our input.
fn mirrored(
    op: &'static str,
    x: [usize; 4],
    weight: [usize; 4],
    p: ConvTranspose2dParams,
) -> Result<Geometry, OpsError> {
    let [batch, cin, h, w] = x;
    let [rows, cog, kh, kw] = weight;
    for (name, value) in [("stride", p.stride), ("dilation", p.dilation), ("groups", p.groups)] {
        if value == 0 {
            return Err(parameter(op, name, "at least 1", "0".into()));
        }
    }
    if rows != cin {
        return Err(OpsError::Shape {
            op,
            argument: "weight",
            expected: vec![cin, cog, kh, kw],
            found: weight.to_vec(),
        });
    }
    if cin % p.groups != 0 {
        let found = format!("{} for input shape {x:?}", p.groups);
        return Err(parameter(op, "groups", "a divisor of the input's channels", found));
    }
    if p.output_padding >= p.stride.max(p.dilation) {
        let requirement = "less than the larger of stride and dilation";
        let found = format!(
            "{} for stride {} and dilation {}",
            p.output_padding, p.stride, p.dilation
        );
        return Err(parameter(op, "output_padding", requirement, found));
    }
    let extent = |size: usize, kernel: usize| {
        // Wide and saturating: no sum of parameters wraps around.
        let product = |a: usize, b: usize| a as u128 * b as u128;
        let full = product(size - 1, p.stride)
            .saturating_add(product(p.dilation, kernel - 1))
            .saturating_add(p.output_padding as u128 + 1);
        let cut = 2 * p.padding as u128;
        if full <= cut {
            let found = format!("{}, which cuts {cut} of {full} rows or columns", p.padding);
            return Err(parameter(op, "padding", "small enough to leave a result", found));
        }
        usize::try_from(full - cut).map_err(|_| too_large(op, p.stride))
    };
    let out = [batch, cog.saturating_mul(p.groups), extent(h, kh)?, extent(w, kw)?];
    if out.iter().try_fold(8usize, |n, &d| n.checked_mul(d)).is_none() {
        return Err(too_large(op, p.stride));
    }
    let params = Conv2dParams {
        stride: p.stride,
        padding: p.padding,
        dilation: p.dilation,
        groups: p.groups,
    };
    Geometry::new(op, out, weight, params)
}

fn too_large(op: &'static str, stride: usize) -> OpsError {
    parameter(
        op,
        "stride",
        "small enough for the result's size to be a number",
        stride.to_string(),
    )
}

/// Transposed two-dimensional convolution, `y = x *ᵀ weight + bias`: what `conv2d` of the same parameters does to the
/// gradient of its result.
///
/// # Shapes
/// - `x`: `[batch, in_channels, height, width]`, `f32` or `f64`
/// - `weight`: `[in_channels, out_channels / groups, kernel_height, kernel_width]`
/// - `bias`: `[out_channels]`
/// - result: `[batch, out_channels, (height - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1, ...]`
///
/// Differentiable in all inputs. The input's gradient is skipped if nothing behind `x` needs one.
///
/// # Errors
/// [`OpsError`] naming the shapes if they do not fit, for an `output_padding` that is not below stride or dilation, a
/// padding that leaves nothing, if anything is empty, on another type, or for inputs on several
/// devices.
///
/// Matches `torch.nn.functional.conv_transpose2d` (see `tests/torch_golden.rs`).
pub fn conv_transpose2d(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    params: ConvTranspose2dParams,
) -> Result<Tensor, OpsError> {
    const OP: &str = "conv_transpose2d";
    let xd = dims4(OP, "x", x)?;
    let wd = dims4(OP, "weight", weight)?;
    let geometry = mirrored(OP, xd, wd, params)?;
    check_shape(OP, "weight", weight, &wd, x)?;
    if let Some(bias) = bias {
        check_shape(OP, "bias", bias, &[geometry.cin], x)?;
    }
    // With an output padding of the stride or more (possible with dilation) the mirrored convolution sees more positions
    // than x has: they are zeros.
    let (below, right) = (geometry.oh - xd[2], geometry.ow - xd[3]);
    let padded = if below > 0 || right > 0 {
        x.pad_with_zeros(2, 0, below)?.pad_with_zeros(3, 0, right)?
    } else {
        x.clone()
    };
    if let Some((maps, map)) = device::enter(OP, "x", &padded, Precision::F32)? {
        return device::conv_transpose(&maps, &map, &geometry, weight, bias)?.into_tensor();
    }
    if portable::takes(x) {
        return Ok(portable::conv::transposed(geometry, &padded, weight, bias)?);
    }
    let (x, weight) = (padded.contiguous()?, weight.contiguous()?);
    let op = ConvOp {
        geometry,
        direction: Direction::Transposed,
        tracked: [x.track_op(), weight.track_op()],
    };
    let y = x.apply_op2(&weight, op)?;
    with_bias(OP, y, bias, geometry.cin, geometry.h * geometry.w)
}
