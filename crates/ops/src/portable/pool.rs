//! Pooling.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::graph::attach;
use super::grid::Grid;
use crate::pool::Window;

/// For every tap the input positions along one axis. Those outside are moved to the edge, which such a window sees anyway:
/// padding never wins, and a gradient that it would get goes to the pixel that it repeats.
fn clamped(size: usize, out: usize, w: &Window) -> Vec<Vec<u32>> {
    let at = |tap: usize, o: usize| (o * w.stride + tap).saturating_sub(w.padding).min(size - 1) as u32;
    (0..w.kernel)
        .map(|tap| (0..out).map(|o| at(tap, o)).collect())
        .collect()
}

/// Likewise for bins of different lengths: shorter ones repeat their last position.
fn binned(bins: &[Range<usize>]) -> Vec<Vec<u32>> {
    let taps = bins.iter().map(Range::len).max().unwrap_or(0);
    (0..taps)
        .map(|tap| {
            bins.iter()
                .map(|bin| (bin.start + tap).min(bin.end - 1) as u32)
                .collect()
        })
        .collect()
}

/// `max_pool2d`.
pub(crate) fn max(w: Window, x: &Tensor) -> Result<Tensor> {
    let grid = Grid::new((w.h, &clamped(w.h, w.oh, &w)), (w.w, &clamped(w.w, w.ow, &w)), x)?;
    largest("htl-portable-max-pool2d", grid, x)
}

/// `adaptive_max_pool2d`.
pub(crate) fn adaptive_max(x: &Tensor, rows: &[Range<usize>], columns: &[Range<usize>]) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    let grid = Grid::new((h, &binned(rows)), (w, &binned(columns)), x)?;
    largest("htl-portable-adaptive-max-pool2d", grid, x)
}

/// The largest of all taps, the first NaN above all; the gradient goes to the first that is largest.
fn largest(name: &'static str, grid: Grid, x: &Tensor) -> Result<Tensor> {
    let values = x.detach().contiguous()?;
    let mut best = grid.pick(&values, 0)?;
    let mut first = best.zeros_like()?;
    for tap in 1..grid.len() {
        let value = grid.pick(&values, tap)?;
        // False for NaN on either side: NaN comes in, and stays.
        let stays = (value.le(&best)?.to_dtype(x.dtype())? + best.ne(&best)?.to_dtype(x.dtype())?)?.gt(0.0)?;
        best = stays.where_cond(&best, &value)?;
        first = stays.where_cond(&first, &super::full(tap as f64, first.shape(), x)?)?;
    }
    attach(name, &[x], best, move |_, grad| {
        let zeros = grad.zeros_like()?;
        Ok(vec![Some(
            grid.put(|tap| first.eq(tap as f64)?.where_cond(grad, &zeros))?,
        )])
    })
}

/// Mean of every plane, `[batch, channels]`.
pub(crate) fn global_average(x: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    x.contiguous()?.sum(3)?.sum(2)?.affine(1.0 / (h * w) as f64, 0.0)
}
