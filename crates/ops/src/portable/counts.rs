//! Counts of pixels.

use candle_core::{DType, Result, Tensor};

use super::sum_keep;

/// Pixels above a threshold in both maps, in the first and in the second, `[batch, 3]`.
pub(crate) fn overlap(map: &Tensor, truth: &Tensor, threshold: f64) -> Result<Tensor> {
    let rows = map.dims()[0];
    let above = |t: &Tensor| {
        t.reshape((rows, t.elem_count() / rows))?
            .gt(threshold)?
            .to_dtype(DType::F32)
    };
    let (map, truth) = (above(map)?, above(truth)?);
    // Whole numbers below 2^24: sums in f32 are exact.
    let sum = |t: &Tensor| sum_keep(t, &[1]);
    Tensor::cat(&[sum(&(&map * &truth)?)?, sum(&map)?, sum(&truth)?], 1)?.to_dtype(DType::U32)
}
