use rand::{Rng, seq::SliceRandom};

use crate::{DatasetError, generator};

/// Draws the samples of each batch from (seed, step) alone, so that a training stopped at any step continues
/// with the same batches.
///
/// The stream is a row of epochs of `len` draws each. Uniform epochs are shuffles. Weighted epochs are drawn by
/// systematic resampling: sample `i` comes `floor(e)` or `ceil(e)` times, `e = len * weight_i / sum`, in shuffled order
/// (Carpenter, Clifford and Fearnhead 1999, there for particle filters), which varies far less than independent draws.
/// A batch may reach over the end of an epoch.
#[derive(Debug, Clone)]
pub struct Sampler {
    len: usize,
    seed: u64,
    /// Running sums of the weights, divided by their sum; `None` for uniform.
    cumulative: Option<Vec<f64>>,
}

impl Sampler {
    /// Every one of `len` samples once per epoch.
    ///
    /// # Errors
    /// [`DatasetError::Parameter`] if there is no sample.
    pub fn uniform(len: usize, seed: u64) -> Result<Self, DatasetError> {
        if len == 0 {
            return Err(no_samples());
        }
        Ok(Self {
            len,
            seed,
            cumulative: None,
        })
    }

    /// Samples in proportion to `weights` (any scale; 0 means never).
    ///
    /// # Errors
    /// [`DatasetError::Parameter`] if there is no weight, one is negative or not finite, or all are 0.
    pub fn weighted(weights: &[f64], seed: u64) -> Result<Self, DatasetError> {
        if weights.is_empty() {
            return Err(no_samples());
        }
        if let Some((index, bad)) = weights.iter().enumerate().find(|(_, w)| !w.is_finite() || **w < 0.) {
            return Err(DatasetError::Parameter {
                name: "sampling weight",
                expected: "finite and at least 0",
                found: format!("{bad} for sample {index}"),
            });
        }
        let largest = weights.iter().copied().fold(0., f64::max);
        if largest == 0. {
            return Err(DatasetError::Parameter {
                name: "sum of the sampling weights",
                expected: "above 0",
                found: "0".to_owned(),
            });
        }
        let total: f64 = weights.iter().map(|w| w / largest).sum();
        let mut sum = 0.;
        let cumulative = weights
            .iter()
            .map(|w| {
                sum += w / largest;
                sum / total
            })
            .collect();
        Ok(Self {
            len: weights.len(),
            seed,
            cumulative: Some(cumulative),
        })
    }

    /// Number of samples, which is the number of draws in an epoch.
    pub fn epoch_len(&self) -> usize {
        self.len
    }

    /// The indices of batch `step`: draws `step * batch .. (step + 1) * batch` of the stream.
    pub fn batch(&self, step: u64, batch: usize) -> Vec<usize> {
        let mut result = Vec::with_capacity(batch);
        let len = self.len as u64;
        let mut at = step.saturating_mul(batch as u64);
        while result.len() < batch {
            let epoch = self.epoch(at / len);
            let start = (at % len) as usize;
            let take = (batch - result.len()).min(self.len - start);
            result.extend_from_slice(&epoch[start..start + take]);
            at = at.saturating_add(take as u64);
        }
        result
    }

    /// All draws of one epoch, in order.
    pub fn epoch(&self, epoch: u64) -> Vec<usize> {
        let mut rng = generator(self.seed, "sampler", epoch);
        let mut order: Vec<usize> = (0..self.len).collect();
        order.shuffle(&mut rng);
        let Some(cumulative) = &self.cumulative else {
            return order;
        };
        // Equally spaced points on the wheel of weights, turned by one random offset. Samples lie on the wheel in
        // shuffled order, or neighbours would exclude each other in every epoch.
        let offset: f64 = rng.random();
        let share = |sample: usize| cumulative[sample] - if sample == 0 { 0. } else { cumulative[sample - 1] };
        let mut draws = Vec::with_capacity(self.len);
        let mut end = 0.;
        for &sample in &order {
            let share = share(sample);
            end += share;
            while share > 0. && draws.len() < self.len && (draws.len() as f64 + offset) < end * self.len as f64 {
                draws.push(sample);
            }
        }
        // Rounding may leave the last point beyond the wheel's end.
        if let Some(&last) = order.iter().rev().find(|sample| share(**sample) > 0.) {
            draws.resize(self.len, last);
        }
        draws.shuffle(&mut rng);
        draws
    }
}

fn no_samples() -> DatasetError {
    DatasetError::Parameter {
        name: "number of samples",
        expected: "at least 1",
        found: "0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(draws: &[usize], len: usize) -> Vec<usize> {
        let mut counts = vec![0; len];
        draws.iter().for_each(|draw| counts[*draw] += 1);
        counts
    }

    proptest! {
        /// Batches laid end to end are the epochs laid end to end; a uniform epoch has every sample once.
        #[test]
        fn batches_are_the_stream(len in 1usize..50, batch in 1usize..70, seed: u64) {
            let sampler = Sampler::uniform(len, seed).unwrap();
            let stream: Vec<usize> = (0..12).flat_map(|step| sampler.batch(step, batch)).collect();
            let epochs: Vec<usize> = (0..).flat_map(|epoch| sampler.epoch(epoch)).take(stream.len()).collect();
            prop_assert_eq!(&stream, &epochs);
            for whole in stream.chunks_exact(len) {
                prop_assert!(counts(whole, len).iter().all(|count| *count == 1));
            }
        }

        /// Each sample comes floor or ceil of its expected number of times in every epoch; weight 0 never comes.
        #[test]
        fn counts_are_low_variance(weights in proptest::collection::vec(0f64..10., 1..60), seed: u64, epoch in 0u64..9) {
            prop_assume!(weights.iter().sum::<f64>() > 0.1);
            let draws = Sampler::weighted(&weights, seed).unwrap().epoch(epoch);
            prop_assert_eq!(draws.len(), weights.len());
            let total: f64 = weights.iter().sum();
            for (count, weight) in counts(&draws, weights.len()).into_iter().zip(&weights) {
                let expected = weight / total * weights.len() as f64;
                prop_assert!(((count as f64) - expected).abs() < 1. + 1e-6, "{} for {}", count, expected);
                prop_assert!(*weight > 0. || count == 0);
            }
        }
    }

    #[test]
    fn weighted_means_are_right_over_epochs() {
        let weights = [1., 2., 3., 0.5, 0.];
        let sampler = Sampler::weighted(&weights, 11).unwrap();
        let draws: Vec<usize> = (0..4000).flat_map(|epoch| sampler.epoch(epoch)).collect();
        for (count, weight) in counts(&draws, 5).into_iter().zip(weights) {
            let expected = weight / 6.5 * 20_000.;
            assert!(
                (count as f64 - expected).abs() < 0.03 * expected + 1.,
                "{count} {expected}"
            );
        }
    }

    #[test]
    fn bad_weights_are_named() {
        let message = |weights: &[f64]| Sampler::weighted(weights, 0).unwrap_err().to_string();
        assert!(message(&[1., -1.]).contains("-1 for sample 1"));
        assert!(message(&[f64::NAN]).contains("NaN for sample 0"));
        assert!(message(&[0., 0.]).contains("above 0"));
        assert!(message(&[]).contains("at least 1"));
        assert!(Sampler::uniform(0, 0).is_err());
    }
}
