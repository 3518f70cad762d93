//! One file per criterion gives scores; this one lists the criteria.
mod erk;
mod lamp;
mod magnitude;
mod random;

use std::fmt;

pub(crate) use random::fnv1a;

use candle_core::Tensor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::PruneError;
use crate::needs::Needs;
use crate::weights::WeightSet;

/// How prunable weights are ranked; those of lowest score go first.
pub struct Criterion {
    /// The name used in configuration files and on the command line.
    pub name: &'static str,
    /// What goes first, in a sentence without a full stop.
    pub about: &'static str,
    /// Whose behaviour it matches, or the paper that defines it.
    pub reference: &'static str,
    /// Over what scores are compared.
    pub scope: Scope,
    /// What must be known of the network besides its weights.
    pub needs: Needs,
    /// A score per weight of one tensor in row-major order, finite and not negative.
    pub scores: fn(&Context) -> Result<Vec<f64>, PruneError>,
}

/// What a criterion sees of one tensor.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The tensor's name.
    pub name: &'a str,
    /// The weights.
    pub weight: &'a Tensor,
    /// Gradient of a loss with respect to the weights, of their shape; there for criteria that need it.
    pub gradient: Option<&'a Tensor>,
    /// What was measured of the tensor's inputs on data; there for criteria that need it.
    pub activation: Option<&'a Tensor>,
    /// Seed of criteria that draw.
    pub seed: u64,
}

/// Over what a criterion compares scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All prunable weights compete; layers end at different sparsities.
    Global,
    /// Weights compete within their tensor; all layers end at the same sparsity.
    Layer,
    /// Weights compete within their tensor; what each tensor keeps is by the rule of Evci et al. 2020.
    ErdosRenyiKernel,
}

/// What was measured of a network on data, tensor by tensor under the weights' names.
#[derive(Clone, Debug, Default)]
pub struct Measurements {
    /// Gradients of a loss with respect to the weights.
    pub gradients: Option<WeightSet>,
    /// What a criterion wants to know of each tensor's inputs.
    pub activations: Option<WeightSet>,
}

/// Every criterion, in the order of the documentation.
pub static CRITERIA: &[&Criterion] = &[
    Criterion::GLOBAL_MAGNITUDE,
    &magnitude::LAYER_MAGNITUDE,
    &erk::ERK_MAGNITUDE,
    &lamp::LAMP,
    Criterion::RANDOM,
    &random::LAYER_RANDOM,
];

fn names() -> Vec<&'static str> {
    CRITERIA.iter().map(|criterion| criterion.name).collect()
}

impl Criterion {
    /// Smallest absolute value over all prunable weights together: the default.
    pub const GLOBAL_MAGNITUDE: &'static Self = &magnitude::GLOBAL_MAGNITUDE;
    /// Any, of all prunable weights together: the control.
    pub const RANDOM: &'static Self = &random::RANDOM;

    /// The criterion of that name.
    ///
    /// # Errors
    /// [`PruneError::UnknownCriterion`], which lists the names.
    pub fn named(name: &str) -> Result<&'static Self, PruneError> {
        let known = CRITERIA.iter().copied().find(|criterion| criterion.name == name);
        known.ok_or_else(|| PruneError::UnknownCriterion {
            found: name.to_string(),
            known: names().join(", "),
        })
    }

    /// The scores of one tensor, checked.
    pub(crate) fn checked_scores(&self, context: &Context) -> Result<Vec<f64>, PruneError> {
        let there = match self.needs {
            Needs::Weights => true,
            Needs::Gradients => context.gradient.is_some(),
            Needs::Activations => context.activation.is_some(),
        };
        if !there {
            return Err(PruneError::Unmeasured {
                criterion: self.name,
                needs: self.needs,
                name: context.name.to_string(),
            });
        }
        let scores = (self.scores)(context)?;
        match scores.iter().position(|score| !score.is_finite()) {
            None => Ok(scores),
            Some(index) => Err(PruneError::NotFinite {
                name: context.name.to_string(),
                index,
                value: scores[index],
            }),
        }
    }
}

impl fmt::Debug for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Criterion {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

pub(crate) fn serialize<S: Serializer>(criterion: &Criterion, serializer: S) -> Result<S::Ok, S::Error> {
    criterion.name.serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static Criterion, D::Error> {
    let name = String::deserialize(deserializer)?;
    Criterion::named(&name).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::params::PruneParams;

    /// |w g|, as SNIP (Lee et al. 2019).
    static SENSITIVITY: Criterion = Criterion {
        name: "sensitivity",
        about: "smallest product of weight and gradient",
        reference: "",
        scope: Scope::Global,
        needs: Needs::Gradients,
        scores: |context| {
            let gradient = context.gradient.expect("checked before");
            magnitude::scores(&Context {
                weight: &(context.weight * gradient)?,
                ..*context
            })
        },
    };

    #[test]
    fn criteria_from_gradients_fit_in() {
        let tensor = |values: [f32; 4]| Tensor::new(&[values], &Device::Cpu).unwrap();
        let weights = WeightSet::from_iter([("weight", tensor([4., 3., 2., 1.]))]);
        let params = PruneParams {
            criterion: &SENSITIVITY,
            ..PruneParams::default()
        };
        let params = params.check().unwrap();
        let error = params.masks(&weights).unwrap_err().to_string();
        assert!(
            error.contains("`sensitivity` needs gradients") && error.contains("`weight`"),
            "{error}"
        );
        let measured = Measurements {
            gradients: Some(WeightSet::from_iter([("weight", tensor([0., -2., 1., 9.]))])),
            activations: None,
        };
        let masks = params.masks_measured(&weights, &measured).unwrap();
        let keep = masks
            .get("weight")
            .unwrap()
            .as_tensor()
            .flatten_all()
            .unwrap()
            .to_vec1::<u8>()
            .unwrap();
        assert_eq!(keep, [0, 1, 0, 1]);
    }

    #[test]
    fn names_are_unique_and_found() {
        for (i, criterion) in CRITERIA.iter().enumerate() {
            assert!(
                CRITERIA[..i].iter().all(|other| other.name != criterion.name),
                "{criterion}"
            );
            assert_eq!(Criterion::named(criterion.name).unwrap(), *criterion);
            assert!(
                !criterion.about.ends_with('.') && !criterion.reference.is_empty(),
                "{criterion}"
            );
        }
    }
}
