//! Pooling.

use candle_core::{Result, Tensor};

use super::engine::Arg;
use super::map::Map;
use super::shape::{BLOCK, Shape, grid};
use crate::pool::{Kind, Window};

/// Maxima or means of windows.
pub(crate) fn pool(kind: Kind, x: &Map, window: &Window) -> Result<Map> {
    let kernel = match kind {
        Kind::Max => "max_pool",
        Kind::Average => "average_pool",
    };
    let shape = Shape::window(x.dims, window)?;
    let [batch, channels, _, _] = x.dims;
    let walk = x.walk();
    let packs = shape.y_pixels() * walk.row();
    let y = x.room(shape.y_pixels() * x.channels())?;
    let bytes = shape.bytes();
    let args = [
        Arg::Bytes(&bytes),
        Arg::Tensor(&x.values),
        Arg::Tensor(&y),
        Arg::U32(packs),
    ];
    x.engine.launch(&walk.kernel(kernel), grid(packs), BLOCK, &args)?;
    Ok(x.beside([batch, channels, window.oh, window.ow], y))
}

/// The gradient of the input.
pub(crate) fn pool_backward(kind: Kind, x: &Map, window: &Window, dy: &Tensor) -> Result<Tensor> {
    let (values, dy) = (Arg::Tensor(&x.values), Arg::Tensor(dy));
    let whole = window.h.is_multiple_of(2) && window.w.is_multiple_of(2);
    // And the pixels that the kernel goes over.
    let (kernel, read, pixels) = match kind {
        Kind::Max if window.is_halving() && whole => ("max_halve_backward", vec![values, dy], x.pixels() / 4),
        Kind::Max => ("max_pool_backward", vec![values, dy], x.pixels()),
        Kind::Average => ("average_pool_backward", vec![dy], x.pixels()),
    };
    let shape = Shape::window(x.dims, window)?;
    let walk = x.walk();
    let packs = pixels * walk.row();
    let dx = x.room(x.pixels() * x.channels())?;
    let bytes = shape.bytes();
    let mut args = vec![Arg::Bytes(&bytes)];
    args.extend(read);
    args.extend([Arg::Tensor(&dx), Arg::U32(packs)]);
    x.engine.launch(&walk.kernel(kernel), grid(packs), BLOCK, &args)?;
    Ok(dx)
}
