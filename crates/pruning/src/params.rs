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
    /// What share of the sparsity depthwise convolutions get, in [0, 1]. They are recognised by their weights' shape,
    /// `[channels, 1, k, k]` with more than one channel. At 1, the default, they are weights as others; below, they are ranked
    /// among themselves; at 0 they stay dense and are not counted.
    pub depthwise_share: f64,
}

impl Default for PruneParams {
    fn default() -> Self {
        Self {
            criterion: Criterion::GLOBAL_MAGNITUDE,
            sparsity: 0.5,
            seed: 0,
            exclude: Vec::new(),
            depthwise_share: 1.0,
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

    /// Sets the share of the sparsity that depthwise convolutions get, in [0, 1].
    #[must_use]
    pub fn depthwise_share(mut self, share: f64) -> Self {
        self.depthwise_share = share;
        self
    }

    /// Checks the numbers once.
    ///
    /// # Errors
    /// [`PruneError::Sparsity`] unless the sparsity is in [0, 1), [`PruneError::DepthwiseShare`] unless the share is in [0, 1].
    pub fn check(self) -> Result<PruneValidParams, PruneError> {
        check_sparsity(self.sparsity)?;
        if !(0.0..=1.0).contains(&self.depthwise_share) {
            return Err(PruneError::DepthwiseShare {
                found: self.depthwise_share,
            });
        }
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
    /// Depthwise convolutions with a share of their own are such a set of weights by themselves.
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
        let candidates = self.candidates(weights)?;
        let share = self.0.depthwise_share;
        if share >= 1.0 {
            return choose::masks(criterion, *sparsity, *seed, &candidates, measured);
        }
        let (depthwise, others): (Vec<_>, Vec<_>) =
            candidates.into_iter().partition(|(_, tensor)| is_depthwise(tensor));
        let mut masks = choose::masks(criterion, *sparsity, *seed, &others, measured)?;
        if share > 0.0 {
            masks.extend(choose::masks(criterion, sparsity * share, *seed, &depthwise, measured)?);
        }
        Ok(masks)
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
        let counted = |tensor: &Tensor| self.0.depthwise_share > 0.0 || !is_depthwise(tensor);
        if kept
            .iter()
            .all(|(_, tensor)| tensor.elem_count() == 0 || !counted(tensor))
        {
            return Err(PruneError::NothingToPrune { count: weights.len() });
        }
        Ok(kept)
    }
}

/// Whether a weight filters every channel by itself.
fn is_depthwise(weight: &Tensor) -> bool {
    matches!(weight.dims(), [channels, 1, height, width] if *channels > 1 && height * width > 1)
}

/// Whether `name` is `part` or begins with `part` followed by a dot.
pub(crate) fn is_within(name: &str, part: &str) -> bool {
    name.strip_prefix(part)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
