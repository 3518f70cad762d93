//! Layer and group normalisation: a block for each row.

use std::sync::Arc;

use candle_core::{DType, Result, Tensor};

use super::engine::{Arg, Engine};
use super::shape::{BLOCK, check_count, room, small};
use crate::norm::{Activation, bounds};
use crate::portable::graph::attach;

/// Rows of a tensor; `RowShape` of the kernels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    /// Elements of a row.
    pub len: usize,
    /// Rows of an image.
    pub groups: usize,
    /// Neighbouring elements that share a scale and a shift.
    pub run: usize,
}

/// What every launch reads.
struct Constants {
    x: Tensor,
    gamma: Tensor,
    beta: Tensor,
    /// Mean and inverse deviation of every row.
    saved: Tensor,
    shape: Vec<u8>,
    bounds: [f32; 2],
    rows: u32,
}

impl Constants {
    fn gradient(&self, engine: &dyn Engine, kernel: &str, blocks: u32, grad: &Tensor, out: [&Tensor; 2]) -> Result<()> {
        let args = [
            Arg::Tensor(&self.x),
            Arg::Bytes(&self.shape),
            Arg::Tensor(&self.gamma),
            Arg::Tensor(&self.beta),
            Arg::Tensor(&self.saved),
            Arg::Tensor(grad),
            Arg::F32(self.bounds[0]),
            Arg::F32(self.bounds[1]),
            Arg::Tensor(out[0]),
            Arg::Tensor(out[1]),
        ];
        engine.launch(kernel, [blocks, 1, 1], BLOCK, &args)
    }
}

/// Rows with mean 0 and variance 1, scaled, shifted and activated, in candle's graph.
pub(crate) fn row_norm(
    engine: Arc<dyn Engine>,
    x: &Tensor,
    [gamma, beta]: [&Tensor; 2],
    layout: Rows,
    eps: f64,
    activation: Activation,
) -> Result<Tensor> {
    let count = check_count(x.elem_count())?;
    let rows = count / small(layout.len);
    let fields = [rows, small(layout.len), small(layout.groups), small(layout.run)];
    let constants = Constants {
        x: x.detach().contiguous()?,
        gamma: gamma.detach().contiguous()?,
        beta: beta.detach().contiguous()?,
        saved: room(2 * rows, DType::F32, x)?,
        shape: fields.iter().flat_map(|field| field.to_ne_bytes()).collect(),
        bounds: bounds::<f32>(activation),
        rows,
    };
    let y = room(count, DType::F32, x)?;
    let args = [
        Arg::Tensor(&constants.x),
        Arg::Bytes(&constants.shape),
        Arg::Tensor(&constants.gamma),
        Arg::Tensor(&constants.beta),
        Arg::F32(eps as f32),
        Arg::F32(constants.bounds[0]),
        Arg::F32(constants.bounds[1]),
        Arg::Tensor(&constants.saved),
        Arg::Tensor(&y),
    ];
    engine.launch("row_norm", [rows, 1, 1], BLOCK, &args)?;
    let tracked = [x, gamma, beta].map(Tensor::track_op);
    let y = y.reshape(x.shape())?;
    attach("htl-row-norm", &[x, gamma, beta], y, move |inputs, grad| {
        let engine = &*engine;
        let mut gradients = vec![None, None, None];
        if tracked[0] {
            let dx = room(count, DType::F32, grad)?;
            constants.gradient(engine, "row_norm_gradient", constants.rows, grad, [&dx, &dx])?;
            gradients[0] = Some(dx.reshape(inputs[0].shape())?);
        }
        if tracked[1] || tracked[2] {
            let numbers = small(constants.gamma.elem_count());
            let like = || room(numbers, DType::F32, grad);
            let (dgamma, dbeta) = (like()?, like()?);
            constants.gradient(engine, "row_norm_affine", numbers, grad, [&dgamma, &dbeta])?;
            gradients[1] = tracked[1].then(|| dgamma.reshape(inputs[1].shape())).transpose()?;
            gradients[2] = tracked[2].then(|| dbeta.reshape(inputs[2].shape())).transpose()?;
        }
        Ok(gradients)
    })
}
