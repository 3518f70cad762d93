//! The three products of a convolution: by the device's library, or by kernels of our own.

use candle_core::{DType, Result, Tensor};

use super::engine::{Arg, Operands, Pass};
use super::map::{Map, from_channels_last, to_channels_last};
use super::shape::{BLOCK, Shape, WARP, Walk, grid, room, typed};

/// A convolution on maps, and its weight as the kernels take it.
pub(crate) struct Convolution {
    pub shape: Shape,
    /// `[out, kh, kw, in / groups]` in the maps' type; for a depthwise convolution `[kh, kw, channels]` in f32.
    weight: Tensor,
}

impl Convolution {
    pub(crate) fn new(x: &Map, weight: &Tensor, shape: Shape) -> Result<Self> {
        let engine = &*x.engine;
        let (dtype, channels) = if shape.is_depthwise() {
            // The channels are the rows of `[channels, taps]`: as if they were input channels of one row.
            (DType::F32, shape.cin)
        } else {
            (x.dtype(), shape.cin / shape.groups)
        };
        let weight = to_channels_last(engine, weight, dtype, [channels, shape.taps()])?;
        Ok(Self { shape, weight })
    }

    fn walk(&self, x: &Map) -> Walk {
        Walk::new(x.dtype(), self.shape.cin, &[])
    }

    fn operands<'a>(&'a self, x: &'a Tensor, y: &'a Tensor) -> Operands<'a> {
        Operands {
            x,
            weight: &self.weight,
            y,
        }
    }

    /// The result, channels last.
    pub(crate) fn forward(&self, x: &Map) -> Result<Tensor> {
        let s = &self.shape;
        let y = x.room(s.y_pixels() * s.cout)?;
        self.product(Pass::Forward, "forward", x, [&x.values, &y], s.y_pixels(), s.cout)?;
        Ok(y)
    }

    /// The gradient of the input.
    pub(crate) fn backward_input(&self, x: &Map, dy: &Tensor) -> Result<Tensor> {
        let s = &self.shape;
        let dx = x.room(s.x_pixels() * s.cin)?;
        self.product(Pass::BackwardInput, "backward_input", x, [dy, &dx], s.x_pixels(), s.cin)?;
        Ok(dx)
    }

    /// Forward, and the gradient of the input: from one map to another.
    fn product(
        &self,
        pass: Pass,
        name: &str,
        x: &Map,
        [from, to]: [&Tensor; 2],
        pixels: u32,
        channels: u32,
    ) -> Result<()> {
        let s = &self.shape;
        let bytes = s.bytes();
        let args = |count| {
            [
                Arg::Bytes(&bytes),
                Arg::Tensor(from),
                Arg::Tensor(&self.weight),
                Arg::Tensor(to),
                Arg::U32(count),
            ]
        };
        if s.is_depthwise() {
            let walk = self.walk(x);
            let packs = pixels * walk.row();
            return x.engine.launch(
                &walk.kernel(&format!("depthwise_{name}")),
                grid(packs),
                BLOCK,
                &args(packs),
            );
        }
        let operands = match pass {
            Pass::BackwardInput => self.operands(to, from),
            _ => self.operands(from, to),
        };
        if x.engine.convolve(pass, s, x.precision, &operands)? {
            return Ok(());
        }
        let count = pixels * channels;
        x.engine.launch(
            &typed(&format!("conv_{name}"), x.dtype()),
            grid(count),
            BLOCK,
            &args(count),
        )
    }

    /// The gradient of the weight, `[out, in / groups, kh, kw]` in f32.
    pub(crate) fn backward_weight(&self, x: &Map, dy: &Tensor, like: &Tensor) -> Result<Tensor> {
        let s = &self.shape;
        let engine = &*x.engine;
        let bytes = s.bytes();
        if s.is_depthwise() {
            let dw = room(s.weights(), DType::F32, dy)?;
            let walk = self.walk(x);
            let columns = walk.columns(s.y_pixels());
            let partial = room(s.taps() * columns.splits * s.cin, DType::F32, dy)?;
            let grid = [columns.grid[0], columns.grid[1], s.taps()];
            let args = [
                Arg::Bytes(&bytes),
                Arg::Tensor(&x.values),
                Arg::Tensor(dy),
                Arg::Tensor(&partial),
            ];
            engine.launch(&walk.kernel("depthwise_weight_sums"), grid, columns.block, &args)?;
            let args = [
                Arg::Tensor(&partial),
                Arg::U32(columns.splits),
                Arg::U32(s.cin),
                Arg::U32(s.taps()),
                Arg::Tensor(&dw),
            ];
            engine.launch("depthwise_weight_finish", [s.weights(), 1, 1], WARP, &args)?;
            return dw.reshape(like.shape());
        }
        let last = x.room(s.weights())?;
        let operands = Operands {
            x: &x.values,
            weight: &last,
            y: dy,
        };
        if !engine.convolve(Pass::BackwardWeight, s, x.precision, &operands)? {
            let args = [
                Arg::Bytes(&bytes),
                Arg::Tensor(&x.values),
                Arg::Tensor(dy),
                Arg::Tensor(&last),
            ];
            engine.launch(
                &typed("conv_backward_weight", x.dtype()),
                [s.weights(), 1, 1],
                BLOCK,
                &args,
            )?;
        }
        from_channels_last(engine, &last, [s.cin / s.groups, s.taps()])?.reshape(like.shape())
    }
}

/// Adds a bias to every pixel, in place.
pub(crate) fn add_bias(x: &Map, bias: &Tensor) -> Result<()> {
    let walk = x.walk();
    let packs = x.pixels() * walk.row();
    let args = [
        Arg::Tensor(&x.values),
        Arg::Tensor(bias),
        Arg::U32(walk.row()),
        Arg::U32(packs),
    ];
    x.engine.launch(&walk.kernel("add_bias"), grid(packs), BLOCK, &args)
}

/// The gradient of a bias.
pub(crate) fn backward_bias(y: &Map, dy: &Tensor) -> Result<Tensor> {
    let walk = y.walk();
    let columns = walk.columns(y.pixels());
    let partial = room(columns.splits * y.channels(), DType::F32, dy)?;
    let args = [
        Arg::Tensor(dy),
        Arg::U32(y.pixels()),
        Arg::U32(walk.row()),
        Arg::Tensor(&partial),
    ];
    y.engine
        .launch(&walk.kernel("bias_sums"), columns.grid, columns.block, &args)?;
    let db = room(y.channels(), DType::F32, dy)?;
    let args = [
        Arg::Tensor(&partial),
        Arg::U32(columns.splits),
        Arg::U32(y.channels()),
        Arg::Tensor(&db),
    ];
    y.engine.launch("finish_sums", [y.channels(), 1, 1], WARP, &args)?;
    Ok(db)
}
