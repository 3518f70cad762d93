//! Pooling.

use candle_core::{Result, Tensor};

use super::engine::Arg;
use super::map::Map;
use super::shape::{BLOCK, Shape, grid};
use crate::pool::Window;

/// Maxima of windows.
pub(crate) fn max_pool(x: &Map, window: &Window) -> Result<Map> {
    forward("max_pool", x, window)
}

/// Means of windows.
pub(crate) fn average_pool(x: &Map, window: &Window) -> Result<Map> {
    forward("average_pool", x, window)
}

fn forward(kernel: &str, x: &Map, window: &Window) -> Result<Map> {
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

/// The gradient of [`max_pool`]'s input.
pub(crate) fn max_pool_backward(x: &Map, window: &Window, dy: &Tensor) -> Result<Tensor> {
    let read = [Arg::Tensor(&x.values), Arg::Tensor(dy)];
    if window.is_halving() && window.h.is_multiple_of(2) && window.w.is_multiple_of(2) {
        return backward("max_halve_backward", x, window, &read, x.pixels() / 4);
    }
    backward("max_pool_backward", x, window, &read, x.pixels())
}

/// The gradient of [`average_pool`]'s input.
pub(crate) fn average_pool_backward(x: &Map, window: &Window, dy: &Tensor) -> Result<Tensor> {
    backward("average_pool_backward", x, window, &[Arg::Tensor(dy)], x.pixels())
}

/// `pixels`: how many the kernel goes over.
fn backward(kernel: &str, x: &Map, window: &Window, read: &[Arg<'_>], pixels: u32) -> Result<Tensor> {
    let shape = Shape::window(x.dims, window)?;
    let walk = x.walk();
    let packs = pixels * walk.row();
    let dx = x.room(x.pixels() * x.channels())?;
    let bytes = shape.bytes();
    let mut args = vec![Arg::Bytes(&bytes)];
    args.extend_from_slice(read);
    args.extend([Arg::Tensor(&dx), Arg::U32(packs)]);
    x.engine.launch(&walk.kernel(kernel), grid(packs), BLOCK, &args)?;
    Ok(dx)
}
