//! From scores to masks: which weights go.

use candle_core::Tensor;

use crate::criteria::{Context, Criterion, Measurements, Scope};
use crate::error::PruneError;
use crate::mask::Mask;
use crate::mask_set::MaskSet;
use crate::weights::WeightSet;

/// Masks of `round(sparsity * n)` zeros by the scores of a criterion.
pub(crate) fn masks(
    criterion: &Criterion,
    sparsity: f64,
    seed: u64,
    weights: &[(&str, &Tensor)],
    measured: &Measurements,
) -> Result<MaskSet, PruneError> {
    let of = |set: &Option<WeightSet>, name: &str| set.as_ref().and_then(|set| set.get(name)).cloned();
    let mut scores = Vec::with_capacity(weights.len());
    for (name, weight) in weights {
        let (gradient, activation) = (of(&measured.gradients, name), of(&measured.activations, name));
        scores.push(criterion.checked_scores(&Context {
            name,
            weight,
            gradient: gradient.as_ref(),
            activation: activation.as_ref(),
            seed,
        })?);
    }
    let keep: Vec<Vec<u8>> = match criterion.scope {
        Scope::Layer => scores.into_iter().map(|layer| keep_highest(&layer, sparsity)).collect(),
        Scope::Global => {
            let lengths: Vec<usize> = scores.iter().map(Vec::len).collect();
            let mut keep = keep_highest(&scores.concat(), sparsity);
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

/// 1 for each weight that stays. Ties go by position, first gone first.
fn keep_highest(scores: &[f64], sparsity: f64) -> Vec<u8> {
    let asked = (sparsity * scores.len() as f64).round() as usize;
    let mut keep = vec![1u8; scores.len()];
    if asked == 0 {
        return keep;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.select_nth_unstable_by(asked - 1, |a, b| scores[*a].total_cmp(&scores[*b]).then(a.cmp(b)));
    for index in &order[..asked] {
        keep[*index] = 0;
    }
    keep
}
