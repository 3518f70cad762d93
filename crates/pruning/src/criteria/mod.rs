//! One file per criterion gives scores; this one turns scores into masks.
mod lamp;
mod magnitude;
mod random;

use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::PruneError;
use crate::mask::Mask;
use crate::mask_set::MaskSet;
use crate::params::PruneParams;

/// How prunable weights are ranked; those of lowest rank go first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Criterion {
    /// Smallest absolute value over all prunable weights together; `torch.nn.utils.prune.global_unstructured` with
    /// `L1Unstructured`.
    #[default]
    GlobalMagnitude,
    /// Smallest absolute value within each tensor; `torch.nn.utils.prune.l1_unstructured` on each.
    LayerMagnitude,
    /// Layer-adaptive magnitude: `w² / Σ u²` over the weights `u` of the same tensor with `|u| ≥ |w|`, compared over all
    /// tensors together, so that no tensor is emptied (Lee et al. 2021, "Layer-adaptive sparsity for the
    /// magnitude-based pruning").
    Lamp,
    /// At random over all prunable weights together, from the seed; the control of every other criterion.
    Random,
    /// At random within each tensor, from the seed; `torch.nn.utils.prune.random_unstructured` on each.
    LayerRandom,
}

/// Over what a criterion compares scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// All prunable weights compete; layers end at different sparsities.
    Global,
    /// Weights compete within their tensor; all layers end at the same sparsity.
    Layer,
}

impl Criterion {
    /// Every criterion, in the order of the documentation.
    pub const ALL: [Self; 5] = [
        Self::GlobalMagnitude,
        Self::LayerMagnitude,
        Self::Lamp,
        Self::Random,
        Self::LayerRandom,
    ];

    /// The name used in configuration files and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GlobalMagnitude => "global-magnitude",
            Self::LayerMagnitude => "layer-magnitude",
            Self::Lamp => "lamp",
            Self::Random => "random",
            Self::LayerRandom => "layer-random",
        }
    }

    /// Over what its scores are compared.
    #[must_use]
    pub fn scope(self) -> Scope {
        match self {
            Self::GlobalMagnitude | Self::Lamp | Self::Random => Scope::Global,
            Self::LayerMagnitude | Self::LayerRandom => Scope::Layer,
        }
    }

    /// A score per weight, not negative and finite; the lowest go first.
    fn scores(self, name: &str, weight: &Tensor, seed: u64) -> Result<Vec<f64>, PruneError> {
        match self {
            Self::GlobalMagnitude | Self::LayerMagnitude => magnitude::scores(name, weight),
            Self::Lamp => lamp::scores(name, weight),
            Self::Random | Self::LayerRandom => Ok(random::scores(name, weight.elem_count(), seed)),
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Criterion {
    type Err = PruneError;

    fn from_str(found: &str) -> Result<Self, PruneError> {
        Self::ALL
            .into_iter()
            .find(|criterion| criterion.name() == found)
            .ok_or_else(|| PruneError::UnknownCriterion {
                found: found.to_string(),
                known: Self::ALL.map(Self::name).join(", "),
            })
    }
}

/// Masks of `round(sparsity * n)` zeros, those of `previous` among them.
pub(crate) fn masks(
    params: &PruneParams,
    weights: &[(&str, &Tensor)],
    previous: Option<&MaskSet>,
) -> Result<MaskSet, PruneError> {
    let mut scores = Vec::with_capacity(weights.len());
    for (name, weight) in weights {
        let mut layer = params.criterion.scores(name, weight, params.seed)?;
        if let Some(previous) = previous {
            let mask = previous.get(name).ok_or_else(|| PruneError::MissingMask {
                name: (*name).to_string(),
            })?;
            mask.check_shape(name, weight)?;
            // Scores are never negative, so these go first.
            layer
                .iter_mut()
                .zip(mask.keep()?)
                .filter(|(_, keep)| *keep == 0)
                .for_each(|(score, _)| *score = -1.0);
        }
        scores.push(layer);
    }
    let keep = match params.criterion.scope() {
        Scope::Layer => scores
            .into_iter()
            .map(|layer| keep_highest(&layer, params.sparsity))
            .collect::<Result<Vec<_>, _>>()?,
        Scope::Global => {
            let lengths: Vec<usize> = scores.iter().map(Vec::len).collect();
            let mut keep = keep_highest(&scores.concat(), params.sparsity)?;
            lengths
                .into_iter()
                .map(|length| keep.drain(..length).collect())
                .collect()
        }
    };
    weights
        .iter()
        .zip(keep)
        .map(|((name, weight), keep)| {
            Ok((
                (*name).to_string(),
                Mask::from_keep(keep, weight.shape(), weight.device())?,
            ))
        })
        .collect()
}

/// 1 for each weight that stays; negative scores are weights already gone. Ties go by position, first gone first.
fn keep_highest(scores: &[f64], sparsity: f64) -> Result<Vec<u8>, PruneError> {
    let asked = (sparsity * scores.len() as f64).round() as usize;
    let have = scores.iter().filter(|score| **score < 0.0).count();
    if asked < have {
        return Err(PruneError::AlreadySparser { sparsity, asked, have });
    }
    let mut keep = vec![1u8; scores.len()];
    if asked == 0 {
        return Ok(keep);
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.select_nth_unstable_by(asked - 1, |a, b| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b)));
    for index in &order[..asked] {
        keep[*index] = 0;
    }
    Ok(keep)
}
