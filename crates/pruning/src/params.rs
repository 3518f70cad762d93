use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::choose;
use crate::criteria::{self, Criterion, Measurements};
use crate::error::PruneError;
use crate::mask_set::MaskSet;
use crate::weights::WeightSet;

/// What to prune, by which criterion, and how much of it. [`check`](Self::check) makes it usable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PruneParams {
    /// How weights are ranked, by name in a file. Default: global magnitude.
    #[serde(serialize_with = "criteria::serialize", deserialize_with = "criteria::deserialize")]
    pub criterion: &'static Criterion,
    /// Fraction of the prunable weights that become zero, in [0, 1). Default: 0.5.
    pub sparsity: f64,
    /// Seed of the random criteria; the others do not use it. Default: 0.
    pub seed: u64,
    /// Weights that stay dense and are not counted, by name (`head.weight`) or by the name's first parts (`head`).
    pub exclude: Vec<String>,
}

impl Default for PruneParams {
    fn default() -> Self {
        Self {
            criterion: Criterion::GLOBAL_MAGNITUDE,
            sparsity: 0.5,
            seed: 0,
            exclude: Vec::new(),
        }
    }
}

impl PruneParams {
    /// Parameters with this criterion and the default for everything else.
    #[must_use]
    pub fn new(criterion: &'static Criterion) -> Self {
        Self {
            criterion,
            ..Self::default()
        }
    }

    /// Sets the fraction of weights to remove, in [0, 1).
    #[must_use]
    pub fn sparsity(mut self, sparsity: f64) -> Self {
        self.sparsity = sparsity;
        self
    }

    /// Sets the seed of the random criteria.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Keeps these weights dense, by name (`head.weight`) or by the name's first parts (`head`, `encoder.0`).
    #[must_use]
    pub fn exclude<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.exclude.extend(names.into_iter().map(Into::into));
        self
    }

    /// Checks the numbers once.
    ///
    /// # Errors
    /// [`PruneError::Sparsity`] unless the sparsity is in [0, 1).
    pub fn check(self) -> Result<PruneValidParams, PruneError> {
        check_sparsity(self.sparsity)?;
        Ok(PruneValidParams(self))
    }
}

pub(crate) fn check_sparsity(found: f64) -> Result<(), PruneError> {
    if (0.0..1.0).contains(&found) {
        Ok(())
    } else {
        Err(PruneError::Sparsity { found })
    }
}

/// Parameters that made sense; made by [`PruneParams::check`].
#[derive(Clone, Debug, PartialEq)]
pub struct PruneValidParams(PruneParams);

impl PruneValidParams {
    /// The parameters as given.
    #[must_use]
    pub fn params(&self) -> &PruneParams {
        &self.0
    }

    /// Masks for a dense network.
    ///
    /// Of `n` prunable weights that are not excluded exactly `round(sparsity * n)` become zero (halves round away from
    /// zero, where Python rounds to even), whatever the ties: among equal scores the one that comes first goes first, in
    /// the order of sorted names and then of row-major position. Criteria of layer scope do this in every tensor on its own.
    ///
    /// # Errors
    /// [`PruneError::NothingToPrune`], [`PruneError::UnknownExclusion`], [`PruneError::NotFinite`] if a weight is infinite
    /// or not a number, and [`PruneError::Unmeasured`] for a criterion that needs more than weights.
    pub fn masks(&self, weights: &WeightSet) -> Result<MaskSet, PruneError> {
        self.masks_measured(weights, &Measurements::default())
    }

    /// [`masks`](Self::masks) by a criterion that needs gradients or activations.
    ///
    /// # Errors
    /// As [`masks`](Self::masks); [`PruneError::Unmeasured`] names the first tensor without its measurement.
    pub fn masks_measured(&self, weights: &WeightSet, measured: &Measurements) -> Result<MaskSet, PruneError> {
        let PruneParams {
            criterion,
            sparsity,
            seed,
            ..
        } = &self.0;
        choose::masks(criterion, *sparsity, *seed, &self.candidates(weights)?, measured)
    }

    fn candidates<'a>(&self, weights: &'a WeightSet) -> Result<Vec<(&'a str, &'a Tensor)>, PruneError> {
        let prunable: Vec<_> = weights.prunable().collect();
        for name in &self.0.exclude {
            if !prunable.iter().any(|(candidate, _)| is_within(candidate, name)) {
                let known = prunable.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
                return Err(PruneError::UnknownExclusion {
                    name: name.clone(),
                    known,
                });
            }
        }
        let kept: Vec<_> = prunable
            .into_iter()
            .filter(|(name, _)| !self.0.exclude.iter().any(|part| is_within(name, part)))
            .collect();
        if kept.iter().all(|(_, tensor)| tensor.elem_count() == 0) {
            return Err(PruneError::NothingToPrune { count: weights.len() });
        }
        Ok(kept)
    }
}

/// Whether `name` is `part` or begins with `part` followed by a dot.
fn is_within(name: &str, part: &str) -> bool {
    name.strip_prefix(part)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
