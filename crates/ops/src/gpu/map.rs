//! Maps on a device, `[batch, height, width, channels]`, and the place for their gradient.

use std::sync::{Arc, Mutex};

use candle_core::{DType, Result, Tensor};

use super::engine::{Arg, Engine};
use super::shape::{BLOCK, Shape, Walk, check_count, grid, room, small, typed};
use crate::Precision;
use crate::features::poisoned;

/// Where the gradient of a map adds up during a backward pass.
pub(crate) struct Slot(Mutex<Option<Tensor>>);

/// Values, held by the operations that need them, and their gradient's place.
#[derive(Clone)]
pub(crate) struct Map {
    pub engine: Arc<dyn Engine>,
    pub precision: Precision,
    /// Batch, channels, height, width.
    pub dims: [usize; 4],
    /// One dimension, channels last.
    pub values: Tensor,
    slot: Arc<Slot>,
}

/// The type that maps of this precision are kept in.
pub(super) fn dtype_of(precision: Precision) -> DType {
    match precision {
        Precision::F32 | Precision::Tf32 => DType::F32,
        Precision::Bf16 => DType::BF16,
    }
}

impl Map {
    /// A map of the same device and precision.
    pub(crate) fn beside(&self, dims: [usize; 4], values: Tensor) -> Self {
        Self {
            engine: self.engine.clone(),
            precision: self.precision,
            dims,
            values,
            slot: Arc::new(Slot(Mutex::new(None))),
        }
    }

    /// From `[batch, channels, height, width]` in f32.
    pub(crate) fn of(x: &Tensor, engine: Arc<dyn Engine>, precision: Precision, dims: [usize; 4]) -> Result<Self> {
        let dtype = dtype_of(precision);
        let values = to_channels_last(&*engine, x, dtype, dims)?;
        Ok(Self {
            engine,
            precision,
            dims,
            values,
            slot: Arc::new(Slot(Mutex::new(None))),
        })
    }

    /// As `[batch, channels, height, width]` in f32.
    pub(crate) fn to_tensor(&self) -> Result<Tensor> {
        from_channels_last(&*self.engine, &self.values, self.dims)
    }

    pub(super) fn dtype(&self) -> DType {
        self.values.dtype()
    }

    pub(super) fn channels(&self) -> u32 {
        small(self.dims[1])
    }

    /// Pixels of all images.
    pub(super) fn pixels(&self) -> u32 {
        small(self.dims[0] * self.dims[2] * self.dims[3])
    }

    pub(super) fn walk(&self) -> Walk {
        Walk::new(self.dtype(), self.channels(), &[])
    }

    /// Room for a map of `channels` x `pixels` of the same type.
    pub(super) fn room(&self, count: u32) -> Result<Tensor> {
        room(count, self.dtype(), &self.values)
    }

    /// Adds a gradient; the first is kept as it is.
    pub(super) fn add_gradient(&self, gradient: Tensor) -> Result<()> {
        let mut slot = self.slot.0.lock().map_err(poisoned)?;
        if let Some(sum) = &*slot {
            add(&*self.engine, self.walk(), sum, &gradient, sum)?;
        } else {
            *slot = Some(gradient);
        }
        Ok(())
    }

    /// Adds a gradient `[batch, channels, height, width]` in f32.
    pub(crate) fn add_tensor_gradient(&self, gradient: &Tensor) -> Result<()> {
        self.add_gradient(to_channels_last(&*self.engine, gradient, self.dtype(), self.dims)?)
    }

    /// The sum of two maps.
    pub(crate) fn plus(&self, other: &Self) -> Result<Self> {
        let sum = self.room(check_count(self.values.elem_count())?)?;
        add(&*self.engine, self.walk(), &self.values, &other.values, &sum)?;
        Ok(self.beside(self.dims, sum))
    }

    /// The gradient; the slot is ready for the next backward pass.
    pub(crate) fn take_gradient(&self) -> Result<Tensor> {
        let missing = || candle_core::Error::Msg("htl-ops: two backward passes share features at one time".into()).bt();
        self.slot.0.lock().map_err(poisoned)?.take().ok_or_else(missing)
    }

    /// Adds a gradient to the slot, if there is one, and returns what candle adds up in its place.
    pub(crate) fn receive(&self, gradient: Option<Tensor>) -> Result<Option<Tensor>> {
        let Some(gradient) = gradient else {
            return Ok(None);
        };
        self.add_gradient(gradient)?;
        Ok(Some(self.engine.token()))
    }
}

/// `z = x + y`; `z` may be `x`.
pub(super) fn add(engine: &dyn Engine, walk: Walk, x: &Tensor, y: &Tensor, z: &Tensor) -> Result<()> {
    let packs = walk.packs_of(check_count(x.elem_count())?);
    let args = [Arg::Tensor(x), Arg::Tensor(y), Arg::Tensor(z), Arg::U32(packs)];
    engine.launch(&walk.kernel("add"), grid(packs), BLOCK, &args)
}

/// `[batch, channels, height, width]` in f32 to channels last.
pub(super) fn to_channels_last(engine: &dyn Engine, x: &Tensor, dtype: DType, dims: [usize; 4]) -> Result<Tensor> {
    let count = check_count(x.elem_count())?;
    let out = room(count, dtype, x)?;
    let [_, channels, height, width] = dims;
    let args = [
        Arg::Tensor(x),
        Arg::Tensor(&out),
        Arg::U32(small(channels)),
        Arg::U32(small(height * width)),
        Arg::U32(count),
    ];
    engine.launch(&typed("to_channels_last", dtype), grid(count), BLOCK, &args)?;
    Ok(out)
}

/// Channels last to `[batch, channels, height, width]` in f32.
pub(super) fn from_channels_last(engine: &dyn Engine, x: &Tensor, dims: [usize; 4]) -> Result<Tensor> {
    let count = check_count(x.elem_count())?;
    let out = room(count, DType::F32, x)?;
    let [batch, channels, height, width] = dims;
    let args = [
        Arg::Tensor(x),
        Arg::Tensor(&out),
        Arg::U32(small(channels)),
        Arg::U32(small(height * width)),
        Arg::U32(count),
    ];
    engine.launch(&typed("from_channels_last", x.dtype()), grid(count), BLOCK, &args)?;
    out.reshape((batch, channels, height, width))
}

/// A convolution weight `[out, in / groups, kh, kw]` as the kernels take it.
pub(super) fn weight_channels_last(
    engine: &dyn Engine,
    weight: &Tensor,
    dtype: DType,
    shape: &Shape,
) -> Result<Tensor> {
    let out = room(shape.weights(), dtype, weight)?;
    let args = [
        Arg::Tensor(weight),
        Arg::Tensor(&out),
        Arg::U32(shape.cin / shape.groups),
        Arg::U32(shape.taps()),
        Arg::U32(shape.weights()),
    ];
    engine.launch(
        &typed("weight_channels_last", dtype),
        grid(shape.weights()),
        BLOCK,
        &args,
    )?;
    Ok(out)
}
