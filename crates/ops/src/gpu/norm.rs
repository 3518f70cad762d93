//! Normalisation and activation.

use candle_core::{DType, Result, Tensor};

use super::engine::Arg;
use super::map::Map;
use super::shape::{BLOCK, WARP, grid, room};
use crate::norm::{Activation, BatchStatistics, Norm, bounds};

/// Scale, shift and limits that maps pass.
pub(crate) struct Affine<'a> {
    pub gamma: &'a Tensor,
    pub beta: &'a Tensor,
    pub norm: &'a Norm,
    pub activation: Activation,
}

/// What the backward pass needs.
pub(crate) struct Normalised {
    /// What was normalised.
    y: Map,
    /// Mean, inverse deviation, scale and shift of every channel.
    saved: Tensor,
    bounds: [f32; 2],
    batch_statistics: bool,
}

impl Normalised {
    pub(crate) fn forward(y: Map, affine: &Affine<'_>) -> Result<(Self, Map, Option<BatchStatistics>)> {
        let (saved, statistics) = constants(&y, affine)?;
        let bounds = bounds::<f32>(affine.activation);
        let z = apply(&y, &saved, bounds)?;
        let normalised = Self {
            y,
            saved,
            bounds,
            batch_statistics: statistics.is_some(),
        };
        Ok((normalised, z, statistics))
    }

    /// The gradients of scale and shift, and those of what was normalised in the place of `grad`.
    pub(crate) fn backward(&self, grad: &Tensor) -> Result<[Tensor; 2]> {
        let (engine, y, walk) = (&*self.y.engine, &self.y, self.y.walk());
        let channels = y.channels();
        let [low, high] = self.bounds.map(Arg::F32);
        let columns = walk.columns(y.pixels());
        let partial = room(columns.splits * 2 * channels, DType::F32, grad)?;
        let args = [
            Arg::Tensor(&y.values),
            Arg::Tensor(grad),
            Arg::U32(y.pixels()),
            Arg::U32(walk.row()),
            Arg::Tensor(&self.saved),
            low,
            high,
            Arg::Tensor(&partial),
        ];
        engine.launch(&walk.kernel("norm_gradient_sums"), columns.grid, columns.block, &args)?;
        let (gamma, beta) = (room(channels, DType::F32, grad)?, room(channels, DType::F32, grad)?);
        let abc = room(3 * channels, DType::F32, grad)?;
        let args = [
            Arg::Tensor(&partial),
            Arg::U32(columns.splits),
            Arg::U32(y.pixels()),
            Arg::U32(channels),
            Arg::Tensor(&self.saved),
            Arg::U32(u32::from(self.batch_statistics)),
            Arg::Tensor(&gamma),
            Arg::Tensor(&beta),
            Arg::Tensor(&abc),
        ];
        engine.launch("norm_gradient_finish", [channels, 1, 1], WARP, &args)?;
        let packs = y.pixels() * walk.row();
        let [low, high] = self.bounds.map(Arg::F32);
        let args = [
            Arg::Tensor(&y.values),
            Arg::Tensor(grad),
            Arg::Tensor(&self.saved),
            Arg::Tensor(&abc),
            Arg::U32(channels),
            Arg::U32(packs),
            low,
            high,
            Arg::Tensor(grad),
        ];
        engine.launch(&walk.kernel("norm_gradient"), walk.grid(packs), BLOCK, &args)?;
        Ok([gamma, beta])
    }
}

/// Mean, inverse deviation, scale and shift of every channel, and the batch's statistics where they are its own.
fn constants(y: &Map, affine: &Affine<'_>) -> Result<(Tensor, Option<BatchStatistics>)> {
    let (engine, walk, channels) = (&*y.engine, y.walk(), y.channels());
    let saved = room(4 * channels, DType::F32, &y.values)?;
    let (gamma, beta) = (affine.gamma.contiguous()?, affine.beta.contiguous()?);
    match affine.norm {
        Norm::Running { mean, var, eps } => {
            let (mean, var) = (mean.detach().contiguous()?, var.detach().contiguous()?);
            let args = [
                Arg::Tensor(&mean),
                Arg::Tensor(&var),
                Arg::U32(channels),
                Arg::F32(*eps as f32),
                Arg::Tensor(&gamma),
                Arg::Tensor(&beta),
                Arg::Tensor(&saved),
            ];
            engine.launch("norm_running", grid(channels), BLOCK, &args)?;
            Ok((saved, None))
        }
        Norm::Batch { eps } => {
            let columns = walk.columns(y.pixels());
            let partial = room(columns.splits * 2 * channels, DType::F32, &y.values)?;
            let args = [
                Arg::Tensor(&y.values),
                Arg::U32(y.pixels()),
                Arg::U32(walk.row()),
                Arg::Tensor(&partial),
            ];
            engine.launch(&walk.kernel("norm_moments"), columns.grid, columns.block, &args)?;
            let statistics = room(2 * channels, DType::F32, &y.values)?;
            let args = [
                Arg::Tensor(&partial),
                Arg::U32(columns.splits),
                Arg::Tensor(&y.values),
                Arg::U32(y.pixels()),
                Arg::U32(channels),
                Arg::F32(*eps as f32),
                Arg::Tensor(&gamma),
                Arg::Tensor(&beta),
                Arg::Tensor(&saved),
                Arg::Tensor(&statistics),
            ];
            let finish = super::shape::typed("norm_finish", y.dtype());
            engine.launch(&finish, [channels, 1, 1], WARP, &args)?;
            let channels = channels as usize;
            let statistics = BatchStatistics {
                mean: statistics.narrow(0, 0, channels)?,
                var: statistics.narrow(0, channels, channels)?,
            };
            Ok((saved, Some(statistics)))
        }
    }
}

fn apply(y: &Map, saved: &Tensor, [low, high]: [f32; 2]) -> Result<Map> {
    let walk = y.walk();
    let packs = y.pixels() * walk.row();
    let z = y.room(y.pixels() * y.channels())?;
    let args = [
        Arg::Tensor(&y.values),
        Arg::Tensor(saved),
        Arg::U32(y.channels()),
        Arg::U32(packs),
        Arg::F32(low),
        Arg::F32(high),
        Arg::Tensor(&z),
    ];
    y.engine
        .launch(&walk.kernel("norm_apply"), walk.grid(packs), BLOCK, &args)?;
    Ok(y.beside(y.dims, z))
}
