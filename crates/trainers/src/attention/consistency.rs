use std::collections::BTreeMap;

use candle_core::{D, Tensor};
use htl_models::{Mode, Network};

use super::{
    form::{Form, Parameter, Params},
    term::{Term, View},
};
use crate::{TrainError, pruned_copy::PrunedCopy};

/// Draws the network's predictions on attended images to those of its own pruned copy.
pub(super) struct Consistency;

const SPARSITY: &str = "sparsity";
const EVERY: &str = "every";

impl Form for Consistency {
    fn key(&self) -> &'static str {
        "consistency"
    }

    fn about(&self) -> &'static str {
        "On attended images the loss gains `weight` times the squared difference to the predictions of a pruned copy of the network."
    }

    fn parameters(&self) -> &'static [Parameter] {
        &[
            Parameter {
                key: SPARSITY,
                default: 0.5,
                least: 0.0,
                most: 0.999,
                about: "share of the copy's weights that are zero",
            },
            Parameter {
                key: EVERY,
                default: 50.0,
                least: 1.0,
                most: 1e9,
                about: "steps after which the copy is made anew",
            },
        ]
    }

    fn term(&self, weight: f64, params: &Params) -> Option<Box<dyn Term>> {
        Some(Box::new(CopyTerm {
            weight,
            every: params.get(EVERY) as usize,
            copy: PrunedCopy::new(params.get(SPARSITY)),
        }))
    }
}

/// The difference to a pruned copy of the network in training, as it was some steps ago.
struct CopyTerm {
    weight: f64,
    every: usize,
    copy: PrunedCopy,
}

impl Term for CopyTerm {
    fn loss(&mut self, view: &View<'_>) -> Result<Tensor, TrainError> {
        let copy = self.copy.network()?;
        let theirs = copy.forward(view.images, Mode::Evaluate)?.detach();
        let difference = (probabilities(view.outputs)? - probabilities(&theirs)?)?;
        let per_image = difference.sqr()?.flatten_from(1)?.mean(D::Minus1)?;
        let attended = Tensor::new(view.attended, per_image.device())?.to_dtype(per_image.dtype())?;
        // Over the whole batch, so that one attended image does not pull as much as a batch of them.
        Ok(((per_image * attended)?.mean_all()? * self.weight)?)
    }

    fn every(&self) -> Option<usize> {
        Some(self.every)
    }

    fn refresh(&mut self, network: &Network, step: usize) -> Result<(), TrainError> {
        self.copy.refresh(network, step)
    }

    fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        self.copy.state()
    }

    fn load_state(&mut self, network: &Network, state: &BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        self.copy.load_state(network, state)
    }
}

/// Of pixels, or of classes.
fn probabilities(logits: &Tensor) -> Result<Tensor, TrainError> {
    if logits.rank() == 2 {
        let shifted = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?.exp()?;
        return Ok(shifted.broadcast_div(&shifted.sum_keepdim(D::Minus1)?)?);
    }
    Ok((logits.neg()?.exp()? + 1.0)?.recip()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use htl_models::Architecture;
    use htl_pruning::{MaskSet, WeightSet};

    fn network(seed: u64) -> Network {
        Network::build(&Architecture::unet(2).unwrap(), seed, &Device::Cpu).unwrap()
    }

    fn term(sparsity: f64) -> Box<dyn Term> {
        let given = BTreeMap::from([(SPARSITY.to_owned(), sparsity)]);
        let params = Params::of(&Consistency, &given).ok().unwrap();
        Consistency.term(2.0, &params).unwrap()
    }

    fn loss(term: &mut dyn Term, network: &Network, attended: &[f32]) -> Tensor {
        loss_in(Mode::Evaluate, term, network, attended)
    }

    fn loss_in(mode: Mode, term: &mut dyn Term, network: &Network, attended: &[f32]) -> Tensor {
        let count = 2 * 3 * 16 * 16;
        let values: Vec<f32> = (0..count).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
        let images = Tensor::from_vec(values, (2, 3, 16, 16), &Device::Cpu).unwrap();
        let outputs = network.forward(&images, mode).unwrap();
        let view = View {
            images: &images,
            second: None,
            outputs: &outputs,
            attended,
        };
        term.loss(&view).unwrap()
    }

    fn scalar(tensor: &Tensor) -> f32 {
        tensor.to_scalar().unwrap()
    }

    /// A copy with all its weights agrees; a pruned one does not, on attended images alone, and the gradient reaches the
    /// network in training.
    #[test]
    fn only_pruning_makes_a_difference_and_only_where_attended() {
        let network = network(1);
        let mut dense = term(0.0);
        dense.refresh(&network, 0).unwrap();
        assert!(scalar(&loss(&mut *dense, &network, &[1.0, 1.0])) < 1e-12);
        let mut sparse = term(0.9);
        sparse.refresh(&network, 0).unwrap();
        let [none, first, second, both] =
            [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]].map(|attended| loss(&mut *sparse, &network, &attended));
        assert_eq!(scalar(&none), 0.0);
        assert!(scalar(&first) > 0.0 && scalar(&second) > 0.0);
        assert!((scalar(&first) + scalar(&second) - scalar(&both)).abs() < 1e-6);
        let trained = loss_in(Mode::Train, &mut *sparse, &network, &[1.0, 1.0]);
        let gradients = htl_ops::backward(&trained).unwrap();
        assert!(gradients.get(network.parameters().get("head.bias").unwrap()).is_some());
    }

    /// The copy has the sparsity asked for, follows the network when it is refreshed and not before, and comes back from
    /// its state.
    #[test]
    fn the_copy_is_pruned_refreshed_and_restored() {
        let (first, other) = (network(1), network(2));
        let made = || CopyTerm {
            weight: 1.0,
            every: 3,
            copy: PrunedCopy::new(0.75),
        };
        let mut term = made();
        term.refresh(&first, 0).unwrap();
        let weights = WeightSet::from_vars(term.copy.network().unwrap().parameters().trainable());
        assert!((MaskSet::from_zeros(&weights).unwrap().sparsity() - 0.75).abs() < 0.01);
        let before = scalar(&loss(&mut term, &other, &[1.0, 1.0]));
        let saved = term.state().unwrap();
        term.refresh(&other, 0).unwrap();
        let after = scalar(&loss(&mut term, &other, &[1.0, 1.0]));
        assert!(before != after);
        let mut restored = made();
        restored.load_state(&other, &saved).unwrap();
        assert_eq!(scalar(&loss(&mut restored, &other, &[1.0, 1.0])), before);
    }

    #[test]
    fn class_probabilities_sum_to_one() {
        let logits = Tensor::new(&[[1f32, 2.0, 30.0], [500.0, 0.0, -1.0]], &Device::Cpu).unwrap();
        let sums = probabilities(&logits)
            .unwrap()
            .sum(1)
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-6), "{sums:?}");
    }
}
