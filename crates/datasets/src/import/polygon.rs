//! Polygons as masks, pixel by pixel those of pycocotools (`frPyObjects`, `decode`), which annotation programs are checked with.

use htl_metrics::{Mask, MetricError};

/// Outlines are drawn at five times the resolution.
const FINE: f64 = 5.0;

/// The mask of a polygon; `corners` are x and y in turn, in pixels from the top left corner of the image. The outline closes itself.
/// What lies outside the image is cut off.
pub(super) fn polygon_mask(corners: &[f64], height: usize, width: usize) -> Result<Mask, MetricError> {
    let mut changes = changes(&fine_outline(corners), height, width);
    changes.sort_unstable();
    // From every change on, down its column and through the next ones, inside and outside are exchanged.
    let (mut counts, mut last) = (Vec::with_capacity(changes.len() + 1), 0);
    for change in changes {
        counts.push(change - last);
        last = change;
    }
    counts.push(height * width - last);
    htl_metrics::RunLengths::new(height, width, counts).map(|runs| runs.mask())
}

/// Every point of the outline on the fine grid, each next to the one before.
fn fine_outline(corners: &[f64]) -> Vec<(i64, i64)> {
    let fine = |value: f64| (FINE * value + 0.5) as i64;
    let corners: Vec<(i64, i64)> = corners
        .chunks_exact(2)
        .map(|pair| (fine(pair[0]), fine(pair[1])))
        .collect();
    let mut outline = Vec::new();
    for (index, from) in corners.iter().enumerate() {
        let to = corners[(index + 1) % corners.len()];
        edge(*from, to, &mut outline);
    }
    outline
}

/// The points between two corners. Rounding is that of the edge drawn from its lower end, whichever way it is walked.
fn edge(from: (i64, i64), to: (i64, i64), outline: &mut Vec<(i64, i64)>) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let steps = dx.abs().max(dy.abs());
    let along_x = dx.abs() >= dy.abs();
    let backwards = if along_x { dx < 0 } else { dy < 0 };
    let (low, high) = if backwards { (to, from) } else { (from, to) };
    let slope = match steps {
        0 => 0.0,
        _ if along_x => (high.1 - low.1) as f64 / steps as f64,
        _ => (high.0 - low.0) as f64 / steps as f64,
    };
    for walked in 0..=steps {
        let step = if backwards { steps - walked } else { walked };
        let beside = |start: i64| (start as f64 + slope * step as f64 + 0.5) as i64;
        outline.push(if along_x {
            (low.0 + step, beside(low.1))
        } else {
            (beside(low.0), low.1 + step)
        });
    }
}

/// Where a column's middle is crossed: positions column by column.
fn changes(outline: &[(i64, i64)], height: usize, width: usize) -> Vec<usize> {
    let crossings = outline.windows(2).filter(|pair| pair[0].0 != pair[1].0);
    let coarse = |fine: i64| (fine as f64 + 0.5) / FINE - 0.5;
    crossings
        .filter_map(|pair| {
            let column = coarse(pair[0].0.min(pair[1].0));
            let inside = column.fract() == 0.0 && column >= 0.0 && column <= width as f64 - 1.0;
            let row = coarse(pair[0].1.min(pair[1].1)).clamp(0.0, height as f64).ceil();
            inside.then_some(column as usize * height + row as usize)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use htl_metrics::RunLengths;

    use super::*;

    type Golden = (usize, usize, Vec<f64>, Vec<usize>);

    /// Masks of pycocotools 2.0.11 (tests/golden/coco_polygons.py).
    #[test]
    fn masks_are_those_of_pycocotools() {
        let golden: Vec<Golden> = serde_json::from_str(include_str!("../../tests/golden/coco_polygons.json")).unwrap();
        assert!(golden.len() > 20);
        for (height, width, corners, counts) in golden {
            let mask = polygon_mask(&corners, height, width).unwrap();
            assert_eq!(RunLengths::of(&mask).counts(), counts, "{height}x{width} {corners:?}");
        }
    }
}
