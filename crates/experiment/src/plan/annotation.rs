use htl_datasets::{DataFolder, read_mask};
use htl_metrics::Mask;
use htl_vocabulary::campaign::Annotation;

use crate::ExperimentError;

/// What it takes to annotate images, by their masks.
pub(super) fn effort(data: &DataFolder, ids: &[String]) -> Result<Annotation, ExperimentError> {
    let mut effort = Annotation::default();
    for id in ids {
        let unfit = |problem: String| ExperimentError::UnfitData {
            folder: data.root().into(),
            reason: format!("`{id}` was bought, but {problem}"),
        };
        let path = data.get(id).and_then(|sample| sample.mask.as_deref());
        let luma = read_mask(path.ok_or_else(|| unfit("has no mask".into()))?)?;
        let (height, width) = (luma.height() as usize, luma.width() as usize);
        let mask = Mask::from_luma(height, width, luma.as_raw()).map_err(|error| unfit(error.to_string()))?;
        effort.images += 1;
        effort.area += mask.area_fraction();
        effort.outline += outline(&mask);
    }
    let images = effort.images.max(1) as f64;
    Ok(Annotation {
        area: effort.area / images,
        outline: effort.outline / images,
        ..effort
    })
}

/// Sides that a pixel of the lesion shares with one that is none, or with the frame, in diagonals of the image.
///
/// It counts steps of a staircase: a circle's is 4 / pi times its length, whatever the resolution.
fn outline(mask: &Mask) -> f64 {
    let (height, width) = (mask.height(), mask.width());
    let inside = |row: usize, column: usize| row < height && column < width && mask.get(row, column);
    let mut sides = 0usize;
    for row in 0..height {
        for column in 0..width {
            if !mask.get(row, column) {
                continue;
            }
            let around = [
                (row.wrapping_sub(1), column),
                (row + 1, column),
                (row, column.wrapping_sub(1)),
                (row, column + 1),
            ];
            sides += around.into_iter().filter(|&(y, x)| !inside(y, x)).count();
        }
    }
    sides as f64 / (height as f64).hypot(width as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_is_its_sides() {
        // Two by three pixels at the frame, in 3 by 4.
        let pixels = (0..12).map(|at| u8::from(at % 4 < 3 && at / 4 < 2)).collect();
        let mask = Mask::new(3, 4, pixels).unwrap();
        assert!((outline(&mask) - 10.0 / 5.0).abs() < 1e-12);
        assert_eq!(outline(&Mask::filled(3, 4, 0).unwrap()), 0.0);
    }
}
