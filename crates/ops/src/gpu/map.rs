//! Maps on a device, `[batch, height, width, channels]`, and the place for their gradient.

use std::sync::{Arc, Mutex};

use candle_core::{DType, Result, Tensor};

use super::engine::{Arg, Engine};
use super::shape::{BLOCK, Walk, check_count, grid, room, small, typed};
use crate::Precision;
use crate::features::poisoned;
use crate::norm::{Activation, bounds};

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
        let values = to_channels_last(&*engine, x, dtype, turn(dims))?;
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
        from_channels_last(&*self.engine, &self.values, turn(self.dims))?.reshape(&self.dims)
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
        self.add_gradient(to_channels_last(
            &*self.engine,
            gradient,
            self.dtype(),
            turn(self.dims),
        )?)
    }

    /// The sum of two maps, within bounds.
    pub(crate) fn plus(&self, other: &Self, activation: Activation) -> Result<Self> {
        let sum = self.room(check_count(self.values.elem_count())?)?;
        if activation == Activation::None {
            add(&*self.engine, self.walk(), &self.values, &other.values, &sum)?;
        } else {
            self.within("add_within", [&self.values, &other.values, &sum], activation)?;
        }
        Ok(self.beside(self.dims, sum))
    }

    /// The gradient of [`plus`](Self::plus), of which this is the result, where it passes; in the place of `grad`.
    pub(crate) fn pass(&self, grad: &Tensor, activation: Activation) -> Result<()> {
        if activation == Activation::None {
            return Ok(());
        }
        self.within("pass_within", [&self.values, grad, grad], activation)
    }

    fn within(&self, kernel: &str, [x, y, z]: [&Tensor; 3], activation: Activation) -> Result<()> {
        let walk = self.walk();
        let packs = walk.packs_of(check_count(x.elem_count())?);
        let [low, high] = bounds::<f32>(activation).map(Arg::F32);
        let args = [
            Arg::Tensor(x),
            Arg::Tensor(y),
            Arg::Tensor(z),
            Arg::U32(packs),
            low,
            high,
        ];
        self.engine.launch(&walk.kernel(kernel), grid(packs), BLOCK, &args)
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

/// Channels and pixels of an image.
pub(super) fn turn([_, channels, height, width]: [usize; 4]) -> [u32; 2] {
    [small(channels), small(height * width)]
}

/// `z = x + y`; `z` may be `x`.
pub(super) fn add(engine: &dyn Engine, walk: Walk, x: &Tensor, y: &Tensor, z: &Tensor) -> Result<()> {
    let packs = walk.packs_of(check_count(x.elem_count())?);
    let args = [Arg::Tensor(x), Arg::Tensor(y), Arg::Tensor(z), Arg::U32(packs)];
    engine.launch(&walk.kernel("add"), grid(packs), BLOCK, &args)
}

/// `[rows, channels, area]` in f32 to `[rows, area, channels]`: maps of images, and convolution weights, whose rows are output
/// channels and whose area is that of the window.
pub(super) fn to_channels_last(
    engine: &dyn Engine,
    x: &Tensor,
    dtype: DType,
    [channels, area]: [u32; 2],
) -> Result<Tensor> {
    turned(engine, &typed("to_channels_last", dtype), x, dtype, [channels, area])
}

/// And back.
pub(super) fn from_channels_last(engine: &dyn Engine, x: &Tensor, [channels, area]: [u32; 2]) -> Result<Tensor> {
    let kernel = typed("from_channels_last", x.dtype());
    turned(engine, &kernel, x, DType::F32, [channels, area])
}

fn turned(engine: &dyn Engine, kernel: &str, x: &Tensor, to: DType, [channels, area]: [u32; 2]) -> Result<Tensor> {
    let count = check_count(x.elem_count())?;
    let out = room(count, to, x)?;
    let args = [
        Arg::Tensor(x),
        Arg::Tensor(&out),
        Arg::U32(channels),
        Arg::U32(area),
        Arg::U32(count),
    ];
    engine.launch(kernel, grid(count), BLOCK, &args)?;
    Ok(out)
}
