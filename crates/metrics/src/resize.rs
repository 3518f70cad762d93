use crate::error::{MetricError, check_size};

/// Resizes a map bilinearly with half-pixel centres and without antialiasing.
///
/// The same values as `torch.nn.functional.interpolate(mode="bilinear", align_corners=False)` to rounding
/// (`tests/golden/torch.rs`). This is how probabilities reach the stored mask's size before they are binarised.
///
/// # Shapes
/// - `map`: `[height * width]` of `from = (height, width)`
/// - result: `[height * width]` of `to = (height, width)`
///
/// # Errors
/// [`MetricError::Size`] or [`MetricError::NoPixels`] for a buffer of another size or a side of zero.
pub fn resize_bilinear(map: &[f32], from: (usize, usize), to: (usize, usize)) -> Result<Vec<f32>, MetricError> {
    check_size("a map", from.0, from.1, map.len())?;
    check_size("the resized map", to.0, to.1, to.0.saturating_mul(to.1))?;
    if from == to {
        return Ok(map.to_vec());
    }
    let (rows, columns) = (taps(from.0, to.0), taps(from.1, to.1));
    let mut out = Vec::with_capacity(to.0 * to.1);
    for row in &rows {
        let upper = &map[row.low * from.1..][..from.1];
        let lower = &map[row.high * from.1..][..from.1];
        for column in &columns {
            let above = upper[column.low] * (1.0 - column.weight) + upper[column.high] * column.weight;
            let below = lower[column.low] * (1.0 - column.weight) + lower[column.high] * column.weight;
            out.push(above * (1.0 - row.weight) + below * row.weight);
        }
    }
    Ok(out)
}

/// Two neighbours and the share of the second.
struct Tap {
    low: usize,
    high: usize,
    weight: f32,
}

fn taps(from: usize, to: usize) -> Vec<Tap> {
    let scale = from as f32 / to as f32;
    (0..to)
        .map(|at| {
            let centre = ((at as f32 + 0.5) * scale - 0.5).max(0.0);
            let low = (centre as usize).min(from - 1);
            Tap {
                low,
                high: (low + 1).min(from - 1),
                weight: (centre - low as f32).clamp(0.0, 1.0),
            }
        })
        .collect()
}
