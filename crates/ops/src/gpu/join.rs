//! A map doubled beside a skip connection.

use candle_core::{Result, Tensor};

use super::engine::Arg;
use super::map::Map;
use super::shape::{BLOCK, Walk, check_count, grid};

fn walk(low: &Map, skip: Option<&Map>) -> Walk {
    let high = skip.map_or(0, Map::channels);
    Walk::new(low.dtype(), low.channels() + high, &[low.channels(), high])
}

/// `[low doubled | skip]`, or the first alone.
pub(crate) fn join(low: &Map, skip: Option<&Map>) -> Result<Map> {
    let walk = walk(low, skip);
    let [batch, a, h, w] = low.dims;
    let (b, h, w) = (skip.map_or(0, |skip| skip.dims[1]), 2 * h, 2 * w);
    let count = check_count(batch * (a + b) * h * w)?;
    let y = low.room(count)?;
    let packs = walk.packs_of(count);
    let args = [
        Arg::Tensor(&low.values),
        skip.map_or(Arg::Missing, |skip| Arg::Tensor(&skip.values)),
        Arg::Tensor(&y),
        Arg::U32(walk.packs_of(low.channels())),
        Arg::U32(walk.packs_of(skip.map_or(0, Map::channels))),
        Arg::U32(super::shape::small(h)),
        Arg::U32(super::shape::small(w)),
        Arg::U32(packs),
    ];
    low.engine.launch(&walk.kernel("join"), grid(packs), BLOCK, &args)?;
    Ok(low.beside([batch, a + b, h, w], y))
}

/// The low map's share of the gradient.
pub(crate) fn backward_low(low: &Map, skip: Option<&Map>, dy: &Tensor) -> Result<Tensor> {
    let walk = walk(low, skip);
    let (a, b) = (
        walk.packs_of(low.channels()),
        walk.packs_of(skip.map_or(0, Map::channels)),
    );
    let packs = low.pixels() * a;
    let dlow = low.room(low.pixels() * low.channels())?;
    let args = [
        Arg::Tensor(dy),
        Arg::Tensor(&dlow),
        Arg::U32(a),
        Arg::U32(b),
        Arg::U32(super::shape::small(low.dims[3])),
        Arg::U32(packs),
    ];
    low.engine
        .launch(&walk.kernel("join_backward_low"), grid(packs), BLOCK, &args)?;
    Ok(dlow)
}

/// The skip connection's share.
pub(crate) fn backward_skip(low: &Map, skip: &Map, dy: &Tensor) -> Result<Tensor> {
    let walk = walk(low, Some(skip));
    let (a, b) = (walk.packs_of(low.channels()), walk.packs_of(skip.channels()));
    let packs = skip.pixels() * b;
    let dskip = skip.room(skip.pixels() * skip.channels())?;
    let args = [
        Arg::Tensor(dy),
        Arg::Tensor(&dskip),
        Arg::U32(a),
        Arg::U32(b),
        Arg::U32(packs),
    ];
    low.engine
        .launch(&walk.kernel("join_backward_skip"), grid(packs), BLOCK, &args)?;
    Ok(dskip)
}
