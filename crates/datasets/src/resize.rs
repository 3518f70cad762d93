use image::{GrayImage, RgbImage, imageops::FilterType};

/// Resizes an image to `width` x `height` with the Lanczos filter (radius 3, widened when shrinking, so nothing
/// aliases). The aspect is not kept.
pub fn resize_rgb(image: &RgbImage, width: u32, height: u32) -> RgbImage {
    if image.dimensions() == (width, height) {
        return image.clone();
    }
    image::imageops::resize(image, width, height, FilterType::Lanczos3)
}

/// Resizes a 0/255 mask: the exact area average over each new pixel, then 255 where it is at least one half.
pub fn resize_mask(mask: &GrayImage, width: u32, height: u32) -> GrayImage {
    if mask.dimensions() == (width, height) || mask.width() == 0 || mask.height() == 0 {
        return mask.clone();
    }
    let columns = coverage(mask.width(), width);
    let rows = coverage(mask.height(), height);
    let (wide, tall) = (mask.width() as usize, mask.height() as usize);
    let mut narrowed = vec![0f64; width as usize * tall];
    for (source, target) in mask
        .as_raw()
        .chunks_exact(wide)
        .zip(narrowed.chunks_exact_mut(width as usize))
    {
        for (value, cells) in target.iter_mut().zip(&columns) {
            *value = cells
                .iter()
                .map(|(index, share)| f64::from(source[*index]) * share)
                .sum();
        }
    }
    GrayImage::from_fn(width, height, |x, y| {
        let cells = &rows[y as usize];
        let mean: f64 = cells
            .iter()
            .map(|(row, share)| narrowed[row * width as usize + x as usize] * share)
            .sum();
        // A hair under one half, so that rounding of the shares does not decide ties.
        image::Luma([if mean >= 127.5 - 1e-6 { 255 } else { 0 }])
    })
}

/// For each new pixel, the old pixels it covers and their shares (sum 1).
fn coverage(from: u32, to: u32) -> Vec<Vec<(usize, f64)>> {
    let ratio = f64::from(from) / f64::from(to);
    (0..to)
        .map(|index| {
            let (low, high) = (f64::from(index) * ratio, f64::from(index + 1) * ratio);
            (low.floor() as usize..(high.ceil() as usize).min(from as usize))
                .map(|cell| {
                    (
                        cell,
                        ((cell as f64 + 1.).min(high) - (cell as f64).max(low)).max(0.) / ratio,
                    )
                })
                .filter(|(_, share)| *share > 0.)
                .collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mask_halves_by_area() {
        let mask = GrayImage::from_raw(4, 2, vec![255, 0, 255, 255, 0, 0, 0, 255]).unwrap();
        assert_eq!(resize_mask(&mask, 2, 1).into_raw(), vec![0, 255]);
        let tie = GrayImage::from_raw(2, 1, vec![255, 0]).unwrap();
        assert_eq!(resize_mask(&tie, 1, 1).into_raw(), vec![255]);
    }

    #[test]
    fn fractional_cells_share() {
        // Three pixels to two: the middle one is split in half; 2/3 of the left cell is white.
        let mask = GrayImage::from_raw(3, 1, vec![255, 0, 0]).unwrap();
        assert_eq!(resize_mask(&mask, 2, 1).into_raw(), vec![255, 0]);
        let mask = GrayImage::from_raw(3, 1, vec![0, 255, 0]).unwrap();
        assert_eq!(resize_mask(&mask, 2, 1).into_raw(), vec![0, 0]);
    }

    #[test]
    fn enlarging_repeats() {
        let mask = GrayImage::from_raw(2, 1, vec![255, 0]).unwrap();
        assert_eq!(
            resize_mask(&mask, 4, 2).into_raw(),
            vec![255, 255, 0, 0, 255, 255, 0, 0]
        );
    }
}
