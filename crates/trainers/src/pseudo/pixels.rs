use htl_datasets::ImageSet;
use htl_metrics::{Mask, squared_distances};

use super::params::PixelRule;
use super::source::{Prior, Source};
use crate::TrainError;

/// Half width of the band along the outline that is not certain, as a part of the side.
const BAND: f64 = 1.0 / 32.0;

/// Weights of the pixels of every image, 0 or 1; `None` where all count.
pub(super) fn weights(
    rule: PixelRule,
    source: &Source,
    prior: Prior<'_>,
    images: &ImageSet,
) -> Result<Option<Vec<Vec<f32>>>, TrainError> {
    let pruned = || {
        source.pruned.as_ref().ok_or_else(|| TrainError::Parameter {
            key: "pseudo.pixels",
            message: "all or certain where pseudo.maps is not given: networks have to disagree".into(),
            found: format!("{rule:?}").to_lowercase(),
        })
    };
    let masks = || source.masks.iter();
    let weights = match rule {
        PixelRule::All => return Ok(None),
        PixelRule::Certain => {
            let reach = (BAND * images.size() as f64).max(1.0).powi(2);
            let certain = |mask: &Mask| to_outline(mask).iter().map(|d| weight(*d > reach)).collect();
            masks().map(certain).collect()
        }
        PixelRule::Agreed => masks().zip(pruned()?).map(|(a, b)| agreed(a, b)).collect(),
        PixelRule::AgreedWithPrior => {
            pruned()?;
            masks().zip(&prior.masks(images)?).map(|(a, b)| agreed(a, b)).collect()
        }
        PixelRule::Outline => {
            let control = |(mask, pruned): (&Mask, &Mask)| {
                let pixels = mask.pixels().iter().zip(pruned.pixels());
                without_outline(mask, pixels.filter(|(a, b)| a != b).count())
            };
            masks().zip(pruned()?).map(control).collect()
        }
    };
    Ok(Some(weights))
}

fn weight(counts: bool) -> f32 {
    f32::from(u8::from(counts))
}

/// 0 for so many pixels, those nearest to the outline of a mask, 1 for the others.
pub(crate) fn without_outline(mask: &Mask, left_out: usize) -> Vec<f32> {
    let distance = to_outline(mask);
    let mut nearest: Vec<usize> = (0..distance.len()).collect();
    nearest.sort_by(|&a, &b| distance[a].total_cmp(&distance[b]).then(a.cmp(&b)));
    let mut weights = vec![1.0; distance.len()];
    nearest.iter().take(left_out).for_each(|&at| weights[at] = 0.0);
    weights
}

fn agreed(a: &Mask, b: &Mask) -> Vec<f32> {
    a.pixels().iter().zip(b.pixels()).map(|(a, b)| weight(a == b)).collect()
}

/// Squared distance of every pixel to the nearest one on the other side of the outline; infinite where there is no outline.
fn to_outline(mask: &Mask) -> Vec<f64> {
    let (height, width, mask) = (mask.height(), mask.width(), mask.pixels());
    let to = |value: u8| {
        let set: Vec<bool> = mask.iter().map(|pixel| *pixel == value).collect();
        squared_distances(height, width, &set)
    };
    let (inside, outside) = (to(1), to(0));
    let other = |at: usize| if mask[at] == 1 { outside[at] } else { inside[at] };
    (0..mask.len()).map(other).collect()
}
