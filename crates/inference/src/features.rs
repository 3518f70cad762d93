use candle_core::DType;
use htl_datasets::ImageSet;
use htl_mining::FeatureTable;

use crate::predict::in_batches;
use crate::{InferenceError, NetworkPredictor};

/// What the encoder of a network makes of images: see [`Network::deep_features`](htl_models::Network::deep_features).
///
/// # Errors
/// [`InferenceError`] from the forward pass, [`InferenceError::Mining`] for a network whose features are not finite.
pub fn deep_features(predictor: &NetworkPredictor, images: &ImageSet) -> Result<FeatureTable, InferenceError> {
    let network = predictor.network();
    let features = in_batches(images, |_, x| {
        Ok(network.deep_features(&predictor.seen(x)?)?.to_dtype(DType::F32)?)
    })?;
    table(images, &features.to_dtype(DType::F64)?.to_vec2()?)
}

/// Side of the pictures of [`colour_features`].
const THUMBNAIL: usize = 8;

/// What images look like before there is a network: their colours in a picture of 8 by 8 pixels, the mean over flips and
/// rotations, as a lesion lies in any direction.
///
/// # Errors
/// [`InferenceError::Mining`] if the set is empty.
pub fn colour_features(images: &ImageSet) -> Result<FeatureTable, InferenceError> {
    let orbits = orbits();
    let thumbnails = (0..images.len()).map(|index| thumbnail(&images.image(index), images.size(), &orbits));
    table(images, &thumbnails.collect::<Vec<_>>())
}

/// Means of an image `[3, size, size]` over the cells that flips and rotations exchange: those of one number in `orbits`.
fn thumbnail(pixels: &[f32], size: usize, orbits: &[usize]) -> Vec<f64> {
    let kinds = orbits.iter().max().map_or(0, |most| most + 1);
    let mut sums = vec![[0f64; 2]; 3 * kinds];
    for (at, value) in pixels.iter().enumerate() {
        let (channel, y, x) = (at / (size * size), at / size % size, at % size);
        let cell = y * THUMBNAIL / size * THUMBNAIL + x * THUMBNAIL / size;
        let sum = &mut sums[channel * kinds + orbits[cell]];
        *sum = [sum[0] + f64::from(*value), sum[1] + 1.0];
    }
    sums.iter().map(|[sum, count]| sum / count.max(1.0)).collect()
}

/// For every cell of the thumbnail the number of the set of cells that the eight symmetries of a square take it to.
fn orbits() -> Vec<usize> {
    let half = THUMBNAIL / 2;
    let folded = |at: usize| if at < half { at } else { THUMBNAIL - 1 - at };
    let kind = |cell: usize| {
        let (y, x) = (folded(cell / THUMBNAIL), folded(cell % THUMBNAIL));
        let (most, least) = (y.max(x), y.min(x));
        most * (most + 1) / 2 + least
    };
    (0..THUMBNAIL * THUMBNAIL).map(kind).collect()
}

fn table(images: &ImageSet, vectors: &[Vec<f64>]) -> Result<FeatureTable, InferenceError> {
    let ids = images.ids().into_iter().map(str::to_owned).collect();
    Ok(FeatureTable::new(ids, vectors)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turning or flipping an image changes nothing; another colour at its rim does.
    #[test]
    fn thumbnails_do_not_know_directions() {
        let size = 16;
        let value = |c: usize, y: usize, x: usize| ((c * 7 + y * 3 + x * x) % 11) as f32;
        let image = |at: &dyn Fn(usize, usize) -> (usize, usize)| -> Vec<f32> {
            let all = (0..3 * size * size).map(|i| {
                let (y, x) = at(i / size % size, i % size);
                value(i / (size * size), y, x)
            });
            all.collect()
        };
        let plain = thumbnail(&image(&|y, x| (y, x)), size, &orbits());
        assert_eq!(plain.len(), 30);
        for turned in [
            image(&|y, x| (x, y)),
            image(&|y, x| (size - 1 - y, x)),
            image(&|y, x| (x, size - 1 - y)),
        ] {
            let turned = thumbnail(&turned, size, &orbits());
            assert!(plain.iter().zip(&turned).all(|(a, b)| (a - b).abs() < 1e-5));
        }
        let mut other = image(&|y, x| (y, x));
        other[0] += 1.0;
        assert!(thumbnail(&other, size, &orbits()) != plain);
    }
}
