//! Shams of the same dose: damage as large as a pruning's, that knows nothing of which weights matter.

use candle_core::{DType, Device, Tensor};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use crate::criteria::fnv1a;
use crate::error::PruneError;
use crate::mask::Mask;
use crate::mask_set::MaskSet;
use crate::weights::WeightSet;

impl MaskSet {
    /// Masks that take away, in every tensor, as large a part of the sum of squares as these do, but of weights drawn at
    /// random: a control for what a criterion chooses. Of weights that matter little magnitude pruning takes many, so these
    /// masks have fewer zeros.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use htl_pruning::{Criterion, PruneParams, WeightSet};
    ///
    /// let weight = Tensor::randn(0f32, 1., (32, 32), &Device::Cpu)?;
    /// let weights: WeightSet = [("a.weight", weight)].into_iter().collect();
    /// let masks = PruneParams::new(Criterion::GLOBAL_MAGNITUDE).sparsity(0.8).check()?.masks(&weights)?;
    /// let random = masks.random_of_equal_dose(&weights, 7)?;
    /// assert!(random.zeros() < masks.zeros());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PruneError::MissingWeight`] if a mask finds no weight, [`PruneError::MaskShape`] if shapes differ.
    pub fn random_of_equal_dose(&self, weights: &WeightSet, seed: u64) -> Result<Self, PruneError> {
        let mut masks = Vec::new();
        for (name, mask) in self.iter() {
            let (values, keep) = of_mask(weights, name, mask)?;
            let dose = taken_away(&values, &keep);
            let mut order: Vec<usize> = (0..values.len()).collect();
            order.shuffle(&mut generator(name, seed));
            let mut random = vec![1u8; values.len()];
            let mut taken = 0.0;
            for index in order {
                let square = values[index] * values[index];
                // Stops where it is nearest, this side or that.
                if taken + square / 2.0 > dose {
                    break;
                }
                taken += square;
                random[index] = 0;
            }
            let shape = mask.as_tensor();
            masks.push((name, Mask::from_keep(random, shape.shape(), shape.device())?));
        }
        Ok(masks.into_iter().map(|(name, mask)| (name.to_string(), mask)).collect())
    }

    /// Gaussian noise for every masked tensor, with the sum of squares of the weights that the masks take away.
    ///
    /// # Shapes
    /// - result: name and noise of the weight's shape, in the weight's type and on its device; to be added to the weight
    ///
    /// # Errors
    /// As [`random_of_equal_dose`](Self::random_of_equal_dose).
    pub fn noise_of_equal_dose(&self, weights: &WeightSet, seed: u64) -> Result<Vec<(String, Tensor)>, PruneError> {
        let noise = |(name, mask): (&str, &Mask)| {
            let (values, keep) = of_mask(weights, name, mask)?;
            let mut generator = generator(name, seed);
            let drawn: Vec<f64> = values.iter().map(|_| StandardNormal.sample(&mut generator)).collect();
            let size = drawn.iter().map(|value| value * value).sum::<f64>();
            let scale = if size > 0.0 {
                (taken_away(&values, &keep) / size).sqrt()
            } else {
                0.0
            };
            let noise = drawn.into_iter().map(|value| value * scale).collect();
            let weight = weights
                .get(name)
                .ok_or_else(|| PruneError::MissingWeight { name: name.into() })?;
            let noise = Tensor::from_vec(noise, weight.shape(), &Device::Cpu)?;
            Ok((
                name.to_string(),
                noise.to_dtype(weight.dtype())?.to_device(weight.device())?,
            ))
        };
        self.iter().map(noise).collect()
    }
}

/// A generator of the tensor's own, so that other tensors do not change it.
fn generator(name: &str, seed: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(fnv1a(name));
    generator
}

fn of_mask(weights: &WeightSet, name: &str, mask: &Mask) -> Result<(Vec<f64>, Vec<u8>), PruneError> {
    let weight = weights
        .get(name)
        .ok_or_else(|| PruneError::MissingWeight { name: name.into() })?;
    mask.check_shape(name, weight)?;
    let values = weight
        .to_device(&Device::Cpu)?
        .to_dtype(DType::F64)?
        .flatten_all()?
        .to_vec1()?;
    let keep = mask.as_tensor().to_device(&Device::Cpu)?.flatten_all()?.to_vec1()?;
    Ok((values, keep))
}

/// Sum of squares of what a mask makes zero.
fn taken_away(values: &[f64], keep: &[u8]) -> f64 {
    let pruned = values.iter().zip(keep).filter(|(_, keep)| **keep == 0);
    pruned.map(|(value, _)| value * value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Criterion, PruneParams};

    #[test]
    fn the_dose_is_that_of_the_pruning_in_every_tensor() {
        let device = &Device::Cpu;
        let weights: WeightSet = [
            ("a.weight", Tensor::randn(0f32, 1., (40, 50), device).unwrap()),
            ("b.weight", Tensor::randn(0f32, 0.1, (8, 8, 3, 3), device).unwrap()),
        ]
        .into_iter()
        .collect();
        for sparsity in [0.3, 0.9] {
            let params = PruneParams::new(Criterion::GLOBAL_MAGNITUDE).sparsity(sparsity);
            let masks = params.check().unwrap().masks(&weights).unwrap();
            let random = masks.random_of_equal_dose(&weights, 1).unwrap();
            let noise = masks.noise_of_equal_dose(&weights, 1).unwrap();
            for ((name, mask), (noised, noise)) in masks.iter().zip(&noise) {
                assert_eq!(name, noised);
                let (values, keep) = of_mask(&weights, name, mask).unwrap();
                let dose = taken_away(&values, &keep);
                let (_, keep) = of_mask(&weights, name, random.get(name).unwrap()).unwrap();
                let most = values.iter().map(|value| value * value).fold(0.0, f64::max);
                assert!((taken_away(&values, &keep) - dose).abs() <= most / 2.0 + 1e-9, "{name}");
                let noise: Vec<f32> = noise.flatten_all().unwrap().to_vec1().unwrap();
                let size: f64 = noise.iter().map(|value| f64::from(*value).powi(2)).sum();
                assert!((size - dose).abs() < 1e-4 * dose.max(1e-9), "{name}: {size} and {dose}");
            }
            assert!(random.zeros() < masks.zeros());
            let other = masks.random_of_equal_dose(&weights, 2).unwrap();
            assert!(random.iter().zip(other.iter()).any(|((_, a), (_, b))| {
                let bits = |mask: &Mask| mask.as_tensor().flatten_all().unwrap().to_vec1::<u8>().unwrap();
                bits(a) != bits(b)
            }));
        }
        let missing = WeightSet::default();
        let masks = PruneParams::default().check().unwrap().masks(&weights).unwrap();
        assert!(matches!(
            masks.random_of_equal_dose(&missing, 0),
            Err(PruneError::MissingWeight { .. })
        ));
    }
}
