use std::collections::BTreeMap;

use candle_core::Tensor;
use htl_models::Network;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// Which network a training keeps, of those that are validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// The last.
    #[default]
    Last,
    /// The one with the best mean.
    Best,
    /// The one with the best mean over the tenth of the validation images that it is worst at.
    BestWorstTenth,
}

impl Keep {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
    pub(crate) fn is_last(&self) -> bool {
        *self == Self::Last
    }
}

/// The best network so far.
pub(crate) struct Keeper {
    rule: Keep,
    best: Option<Best>,
}

struct Best {
    value: f64,
    parameters: BTreeMap<String, Tensor>,
}

/// Name of the best value among the tensors of a saved state; no parameter begins with a colon.
const VALUE: &str = ":value";

impl Keeper {
    /// Nothing yet; `None` where the last network is kept.
    pub fn new(rule: Keep) -> Option<Self> {
        (!rule.is_last()).then_some(Self { rule, best: None })
    }

    /// Looks at a network and its qualities on the validation images.
    pub fn offer(&mut self, network: &Network, qualities: &[f64]) -> Result<(), TrainError> {
        let value = match self.rule {
            Keep::Last => return Ok(()),
            Keep::Best => mean(qualities),
            Keep::BestWorstTenth => worst_tenth(qualities),
        };
        // Of equal ones the first.
        if self.best.as_ref().is_some_and(|best| value <= best.value) {
            return Ok(());
        }
        let copied = network.parameters().all().into_iter().map(|(name, var)| {
            // Not `copy`, which shares the memory on Metal.
            Ok((name, var.as_detached_tensor().force_contiguous()?))
        });
        self.best = Some(Best {
            value,
            parameters: copied.collect::<candle_core::Result<_>>()?,
        });
        Ok(())
    }

    /// The best network, built like `like`.
    pub fn network(&self, like: &Network) -> Result<Network, TrainError> {
        let network = like.duplicate()?;
        if let Some(best) = &self.best {
            network.parameters().load(&best.parameters)?;
        }
        Ok(network)
    }

    /// Tensors that a resumed training needs.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, TrainError> {
        let Some(best) = &self.best else {
            return Ok(BTreeMap::new());
        };
        let mut state = best.parameters.clone();
        state.insert(VALUE.to_owned(), Tensor::new(&[best.value], &candle_core::Device::Cpu)?);
        Ok(state)
    }

    /// The inverse of [`Self::state`].
    pub fn load_state(&mut self, mut state: BTreeMap<String, Tensor>) -> Result<(), TrainError> {
        let value = state.remove(VALUE).map(|value| value.to_vec1::<f64>()).transpose()?;
        self.best = value.and_then(|value| value.first().copied()).map(|value| Best {
            value,
            parameters: state,
        });
        Ok(())
    }
}

/// The mean; 0 of none.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn worst_tenth(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.truncate(values.len().div_ceil(10));
    mean(&values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use htl_models::Architecture;

    fn network(seed: u64) -> Network {
        Network::build(&Architecture::unet(1).unwrap(), seed, &Device::Cpu).unwrap()
    }

    fn first_weight(network: &Network) -> Vec<f32> {
        let weight = network.parameters().trainable()[0].1.flatten_all().unwrap();
        weight.to_vec1().unwrap()
    }

    /// Means prefer one network, the worst tenth another; what comes later and is only as good is not kept.
    #[test]
    fn the_best_is_kept() {
        let of_mean: Vec<f64> = (0..20).map(|i| if i < 2 { 0.0 } else { 0.9 }).collect();
        let of_worst = vec![0.5; 20];
        for (rule, expected) in [(Keep::Best, 1), (Keep::BestWorstTenth, 2)] {
            let mut keeper = Keeper::new(rule).unwrap();
            keeper.offer(&network(1), &of_mean).unwrap();
            keeper.offer(&network(2), &of_worst).unwrap();
            keeper.offer(&network(3), &of_worst).unwrap();
            let kept = keeper.network(&network(0)).unwrap();
            assert_eq!(first_weight(&kept), first_weight(&network(expected)), "{rule:?}");
            let mut restored = Keeper::new(rule).unwrap();
            restored.load_state(keeper.state().unwrap()).unwrap();
            let kept = restored.network(&network(0)).unwrap();
            assert_eq!(first_weight(&kept), first_weight(&network(expected)), "{rule:?}");
            restored.offer(&network(4), &of_worst).unwrap();
            assert_eq!(
                first_weight(&restored.network(&network(0)).unwrap()),
                first_weight(&network(expected))
            );
        }
        assert!(Keeper::new(Keep::Last).is_none());
    }
}
