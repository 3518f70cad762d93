//! From scores to masks: which weights go.

use candle_core::Tensor;

use crate::allocation::{erdos_renyi_kernel, whole_numbers};
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
        Scope::Layer => scores
            .into_iter()
            .map(|layer| keep_highest(&layer, rounded(sparsity, layer.len())))
            .collect(),
        Scope::ErdosRenyiKernel => {
            let shapes: Vec<&[usize]> = weights.iter().map(|(_, weight)| weight.dims()).collect();
            let lengths: Vec<usize> = scores.iter().map(Vec::len).collect();
            let wanted: Vec<f64> = erdos_renyi_kernel(&shapes, 1.0 - sparsity)
                .into_iter()
                .zip(&lengths)
                .map(|(density, length)| (1.0 - density) * *length as f64)
                .collect();
            let gone = whole_numbers(&wanted, &lengths, rounded(sparsity, lengths.iter().sum()));
            scores
                .into_iter()
                .zip(gone)
                .map(|(layer, gone)| keep_highest(&layer, gone))
                .collect()
        }
        Scope::Global => {
            let lengths: Vec<usize> = scores.iter().map(Vec::len).collect();
            let scores = scores.concat();
            let mut keep = keep_highest(&scores, rounded(sparsity, scores.len()));
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

/// How many of `count` go.
fn rounded(sparsity: f64, count: usize) -> usize {
    (sparsity * count as f64).round() as usize
}

/// 1 for each weight that stays, all but `asked`. Ties go by position, first gone first.
fn keep_highest(scores: &[f64], asked: usize) -> Vec<u8> {
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
