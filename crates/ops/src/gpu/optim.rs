//! Optimisers: all parameters in a few launches, gradients clipped without the host.

use candle_core::{DType, Result, Tensor};

use super::engine::{Arg, Engine};
use super::shape::{BLOCK, THREADS, WARP, check_count, room, small};

/// Tensors of one launch; `Entries` of the kernels has as many.
const MOST: usize = 64;

/// One parameter's part of an update. Tensors are f32 and contiguous, and all as long as the parameter.
pub(crate) struct Entry<'a> {
    pub parameter: &'a Tensor,
    pub gradient: &'a Tensor,
    /// Both moments; where an update keeps less, the parameter stands in.
    pub state: [&'a Tensor; 2],
    /// Share kept by the decay.
    pub keep: f32,
    /// Step size.
    pub size: f32,
    /// Correction of the second moment.
    pub correction: f32,
}

/// The numbers that all parameters of a step share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moments {
    pub beta1: f32,
    pub beta2: f32,
    pub eps: f32,
}

impl<'a> Entry<'a> {
    /// For updates with one number for each element beside the parameter, or none.
    pub(crate) fn plain(parameter: &'a Tensor, gradient: &'a Tensor, state: Option<&'a Tensor>) -> Self {
        Self {
            parameter,
            gradient,
            state: [state.unwrap_or(parameter), parameter],
            keep: 1.0,
            size: 0.0,
            correction: 1.0,
        }
    }
}

/// The table that kernels take by value: four addresses, a count and three numbers each.
fn table(entries: &[Entry<'_>], address: &dyn Fn(&Tensor) -> Result<u64>) -> Result<Vec<u8>> {
    const BYTES: usize = 48;
    let mut bytes = Vec::with_capacity(MOST * BYTES);
    for entry in entries {
        for tensor in [entry.parameter, entry.state[0], entry.state[1], entry.gradient] {
            bytes.extend(address(tensor)?.to_ne_bytes());
        }
        bytes.extend(check_count(entry.parameter.elem_count())?.to_ne_bytes());
        for number in [entry.keep, entry.size, entry.correction] {
            bytes.extend(number.to_ne_bytes());
        }
    }
    bytes.resize(MOST * BYTES, 0);
    Ok(bytes)
}

/// Blocks for each tensor in updates, and in sums, whose results one warp adds up.
const BLOCKS: u32 = 256;
const SUMMING_BLOCKS: u32 = 32;

/// Blocks for the largest of some tensors, at most so many, so that one launch serves all.
fn grid(entries: &[Entry<'_>], most: u32) -> [u32; 3] {
    let longest = entries
        .iter()
        .map(|entry| entry.parameter.elem_count())
        .max()
        .unwrap_or(1);
    [
        small(longest).div_ceil(4 * THREADS).clamp(1, most),
        small(entries.len()),
        1,
    ]
}

/// `[norm, factor]` of all gradients together, on the device: the factor brings the norm down to `most`.
pub(crate) fn clip(engine: &dyn Engine, entries: &[Entry<'_>], most: f32) -> Result<Tensor> {
    let like = entries[0].parameter;
    let groups: Vec<_> = entries.chunks(MOST).collect();
    let grids: Vec<_> = groups.iter().map(|group| grid(group, SUMMING_BLOCKS)).collect();
    let count: u32 = grids.iter().map(|[x, y, _]| x * y).sum();
    let partial = room(count, DType::F32, like)?;
    let mut at = 0;
    for (group, grid) in groups.into_iter().zip(grids) {
        let part = partial.narrow(0, at, (grid[0] * grid[1]) as usize)?;
        at += (grid[0] * grid[1]) as usize;
        let table = table(group, &|tensor| engine.address(tensor))?;
        engine.launch("square_sums", grid, BLOCK, &[Arg::Bytes(&table), Arg::Tensor(&part)])?;
    }
    let out = room(2, DType::F32, like)?;
    let args = [
        Arg::Tensor(&partial),
        Arg::U32(count),
        Arg::F32(most),
        Arg::Tensor(&out),
    ];
    engine.launch("clip_finish", [1, 1, 1], WARP, &args)?;
    Ok(out)
}

/// One step of AdamW for all parameters; `factor` (one element) scales the gradients.
pub(crate) fn adamw(engine: &dyn Engine, entries: &[Entry<'_>], moments: Moments, factor: &Tensor) -> Result<()> {
    let numbers = [1.0 - moments.beta1, moments.beta2, moments.eps].map(Arg::F32);
    update(
        engine,
        "adamw",
        entries,
        &[&[Arg::Tensor(factor)], &numbers[..]].concat(),
    )
}

/// One step of SGD for all parameters; the first moment is the velocity.
pub(crate) fn sgd(engine: &dyn Engine, entries: &[Entry<'_>], lr: f32, momentum: f32, decay: f32) -> Result<()> {
    update(engine, "sgd", entries, &[lr, momentum, decay].map(Arg::F32))
}

/// `parameter += rate * (gradient - parameter)` for all: averages that follow values.
pub(crate) fn follow(engine: &dyn Engine, entries: &[Entry<'_>], rate: f32) -> Result<()> {
    update(engine, "follow", entries, &[Arg::F32(rate)])
}

/// Launches a kernel of a table and what all its entries share.
fn update(engine: &dyn Engine, kernel: &str, entries: &[Entry<'_>], shared: &[Arg<'_>]) -> Result<()> {
    for group in entries.chunks(MOST) {
        let table = table(group, &|tensor| engine.address(tensor))?;
        let args = [&[Arg::Bytes(&table)], shared].concat();
        engine.launch(kernel, grid(group, BLOCKS), BLOCK, &args)?;
    }
    Ok(())
}
