use candle_core::Tensor;
use htl_datasets::generator;
use rand::{
    Rng,
    distr::{Distribution, weighted::WeightedIndex},
};

use super::{
    change::{BatchChange, ChangeParts},
    form::{Form, Parameter},
};
use crate::{TrainError, batches::MaskBatch};

/// Pastes lesions of attended images into other images (Ghiasi et al. 2021).
pub(super) struct CopyPaste;

const SHARE: &str = "share";

impl Form for CopyPaste {
    fn key(&self) -> &'static str {
        "copy-paste"
    }

    fn about(&self) -> &'static str {
        "Images are given the lesion of another image of their batch, that of an attended one `weight` times as often."
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[Parameter {
            key: SHARE,
            default: 0.3,
            least: 0.0,
            most: 1.0,
            about: "share of the images that are given one",
        }]
    }

    fn change(&self, parts: &ChangeParts<'_>) -> Option<Box<dyn BatchChange>> {
        Some(Box::new(Paste {
            weight: parts.weight,
            share: parts.params.get(SHARE),
            seed: parts.seed,
        }))
    }
}

struct Paste {
    weight: f64,
    share: f64,
    seed: u64,
}

impl Paste {
    /// For every image of a batch, the one whose lesion it is given. `attended`: how much each is attended to, in [0, 1].
    fn donors(&self, attended: &[f32], step: usize) -> Vec<Option<usize>> {
        let mut rng = generator(self.seed, "copy-paste", step as u64);
        let chance = |grade: f32| 1.0 + (self.weight - 1.0) * f64::from(grade);
        let donor = |image: usize| {
            // Drawn in any case, so that the other images' draws do not depend on this one's.
            let given = rng.random_bool(self.share);
            let chances = attended.iter().enumerate();
            let chances = chances.map(|(at, grade)| if at == image { 0.0 } else { chance(*grade) });
            let drawn = WeightedIndex::new(chances).ok()?.sample(&mut rng);
            given.then_some(drawn)
        };
        (0..attended.len()).map(donor).collect()
    }
}

impl BatchChange for Paste {
    fn before(&self, batch: MaskBatch, step: usize) -> Result<MaskBatch, TrainError> {
        let donors = self.donors(&batch.attended, step);
        if donors.iter().all(Option::is_none) {
            return Ok(batch);
        }
        let device = batch.images.device();
        let from: Vec<u32> = donors
            .iter()
            .enumerate()
            .map(|(at, donor)| donor.unwrap_or(at) as u32)
            .collect();
        let from = Tensor::new(from, device)?;
        let given: Vec<f32> = donors.iter().map(|d| f32::from(u8::from(d.is_some()))).collect();
        let given = Tensor::from_vec(given, (donors.len(), 1, 1, 1), device)?;
        let of_donors = |tensor: &Tensor| tensor.index_select(&from, 0);

        let lesions = of_donors(&batch.targets)?.broadcast_mul(&given)?;
        let rest = lesions.affine(-1.0, 1.0)?;
        let over = |below: &Tensor, above: &Tensor| -> candle_core::Result<Tensor> {
            below.broadcast_mul(&rest)? + above.broadcast_mul(&lesions)?
        };
        let skin = skin(&batch.images, &batch.targets)?;
        // A lesion keeps its contrast to the skin around it.
        let shift = (&skin - of_donors(&skin)?)?;
        let pasted = |images: &Tensor| over(images, &of_donors(images)?.broadcast_add(&shift)?);
        let all = Tensor::ones_like(&lesions)?;
        Ok(MaskBatch {
            images: pasted(&batch.images)?,
            strong: batch.strong.as_ref().map(pasted).transpose()?,
            targets: over(&batch.targets, &all)?,
            pixels: match &batch.pixels {
                Some(pixels) => Some(over(pixels, &of_donors(pixels)?)?),
                None => None,
            },
            ..batch
        })
    }
}

/// Mean colour outside the lesions; that of the whole image where a lesion fills it.
///
/// # Shapes
/// - `images`: `[batch, channels, h, w]`; `targets`: `[batch, 1, h, w]`; result: `[batch, channels, 1, 1]`
fn skin(images: &Tensor, targets: &Tensor) -> candle_core::Result<Tensor> {
    // So little of a lesion's own colour counts that it matters only where there is no other.
    let weights = targets.affine(-1.0, 1.0 + 1e-4)?;
    let sums = images.broadcast_mul(&weights)?.sum_keepdim((2, 3))?;
    sums.broadcast_div(&weights.sum_keepdim((2, 3))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    const SIDE: usize = 8;

    fn paste(share: f64) -> Paste {
        Paste {
            weight: 1e9,
            share,
            seed: 3,
        }
    }

    /// Skin of image k is k, its lesion one darker, on row k.
    fn batch(attended: &[f32]) -> MaskBatch {
        let count = attended.len();
        let (mut images, mut targets) = (Vec::new(), Vec::new());
        for image in 0..count {
            let lesion = |at: usize| if at / SIDE == image { 1f32 } else { 0.0 };
            targets.extend((0..SIDE * SIDE).map(lesion));
            for _ in 0..3 {
                images.extend((0..SIDE * SIDE).map(|at| image as f32 - lesion(at)));
            }
        }
        let device = Device::Cpu;
        MaskBatch {
            images: Tensor::from_vec(images, (count, 3, SIDE, SIDE), &device).unwrap(),
            targets: Tensor::from_vec(targets, (count, 1, SIDE, SIDE), &device).unwrap(),
            weights: Tensor::ones(count, candle_core::DType::F32, &device).unwrap(),
            pixels: None,
            strong: None,
            attended: attended.to_vec(),
        }
    }

    /// The attended lesion comes to every other image, one darker than the skin there, and into its target.
    #[test]
    fn lesions_keep_their_contrast() {
        let given = paste(1.0).before(batch(&[0.0, 0.0, 1.0, 0.0]), 7).unwrap();
        let targets: Vec<Vec<f32>> = given.targets.flatten_from(1).unwrap().to_vec2().unwrap();
        let images: Vec<Vec<f32>> = given.images.flatten_from(1).unwrap().to_vec2().unwrap();
        for image in [0, 1, 3] {
            let lesion = |at: usize| at / SIDE == image || at / SIDE == 2;
            for at in 0..SIDE * SIDE {
                assert_eq!(targets[image][at] == 1.0, lesion(at), "{image} {at}");
                let colour = image as f32 - f32::from(u8::from(lesion(at)));
                assert!((images[image][at] - colour).abs() < 1e-3, "{image} {at}");
            }
        }
    }

    /// Draws depend on seed and step alone; no share changes nothing; a batch of one has no donor.
    #[test]
    fn draws_come_again() {
        let attended = [0.5; 40];
        let half = paste(0.5);
        let donors = half.donors(&attended, 1);
        assert_eq!(donors, half.donors(&attended, 1));
        assert!(donors != half.donors(&attended, 2));
        let given = donors.iter().flatten().count();
        assert!((8..=32).contains(&given), "{given}");
        assert!(donors.iter().enumerate().all(|(image, donor)| *donor != Some(image)));
        assert!(paste(0.0).donors(&attended, 1).iter().all(Option::is_none));
        assert_eq!(paste(1.0).donors(&[1.0], 1), [None]);
    }
}
