use super::{Context, Criterion, Needs, Scope, magnitude};
use crate::error::PruneError;

pub(super) static LAMP: Criterion = Criterion {
    name: "lamp",
    about: "layer-adaptive magnitude, `w² / Σ u²` over the weights `u` of the same tensor with `|u| ≥ |w|`, compared over all tensors together, so that no tensor is emptied",
    reference: "Lee et al. 2021, \"Layer-adaptive sparsity for the magnitude-based pruning\", equation 4",
    scope: Scope::Global,
    needs: Needs::Weights,
    scores: |context| scores(context),
};

/// `w² / Σ u²` over the weights `u` that rank at or after `w` by magnitude (equation 4 of the paper), so the largest
/// weight of every tensor scores 1. A tensor of zeros scores 0.
fn scores(context: &Context) -> Result<Vec<f64>, PruneError> {
    let mut scores = magnitude::scores(context)?;
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(b.cmp(a)));
    // Relative to the largest, so that squares neither overflow nor vanish.
    let largest = order.first().map_or(0.0, |first| scores[*first]);
    let mut sum = 0.0;
    for index in order {
        let relative = if largest > 0.0 { scores[index] / largest } else { 0.0 };
        sum += relative * relative;
        scores[index] = if sum > 0.0 { relative * relative / sum } else { 0.0 };
    }
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    fn scores_of(weight: &Tensor) -> Vec<f64> {
        scores(&Context {
            name: "weight",
            weight,
            gradient: None,
            activation: None,
            seed: 0,
        })
        .unwrap()
    }

    #[test]
    fn scores_follow_the_definition() {
        let weight = Tensor::new(&[[1f32, -3., 2., 0.]], &Device::Cpu).unwrap();
        let found = scores_of(&weight);
        for (found, expected) in found.iter().zip([1. / 14., 1., 4. / 13., 0.]) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn a_tensor_of_zeros_scores_zero() {
        let weight = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert_eq!(scores_of(&weight), vec![0.0; 6]);
    }
}
