//! Resizing of planes.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};

use super::engine::{Arg, Engine};
use super::shape::{BLOCK, check_count, grid, room, small};
use crate::portable::graph::attach;
use crate::upsample::Corners;

/// Which input positions an output position reads; `Positions` of the kernels.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Positions {
    Nearest,
    Bilinear(Corners),
}

/// `ResizeShape` of the kernels.
fn shape(positions: Positions, from: (usize, usize), to: (usize, usize)) -> Vec<u8> {
    let positions = match positions {
        Positions::Nearest => 0,
        Positions::Bilinear(Corners::HalfPixel) => 1,
        Positions::Bilinear(Corners::Aligned) => 2,
    };
    let fields = [positions, small(from.0), small(from.1), small(to.0), small(to.1)];
    fields.iter().flat_map(|field| field.to_ne_bytes()).collect()
}

/// The planes of `x`, `[batch, channels, height, width]`, resized.
pub(crate) fn resize(engine: Arc<dyn Engine>, x: &Tensor, to: (usize, usize), positions: Positions) -> Result<Tensor> {
    let (batch, channels, h, w) = x.dims4()?;
    let shape = shape(positions, (h, w), to);
    let inputs = check_count(x.elem_count())?;
    let outputs = check_count(batch * channels * to.0 * to.1)?;
    let y = room(outputs, DType::F32, x)?;
    let args = [
        Arg::Tensor(&x.detach().contiguous()?),
        Arg::Bytes(&shape),
        Arg::Tensor(&y),
        Arg::U32(outputs),
    ];
    engine.launch("resize", grid(outputs), BLOCK, &args)?;
    let y = y.reshape((batch, channels, to.0, to.1))?;
    attach("htl-resize2d", &[x], y, move |inputs_of, grad| {
        let dx = room(inputs, DType::F32, grad)?;
        let args = [
            Arg::Tensor(grad),
            Arg::Bytes(&shape),
            Arg::Tensor(&dx),
            Arg::U32(inputs),
        ];
        engine.launch("resize_backward", grid(inputs), BLOCK, &args)?;
        Ok(vec![Some(dx.reshape(inputs_of[0].shape())?)])
    })
}
