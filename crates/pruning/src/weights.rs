use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

/// The named tensors of a network, of which the prunable ones are ranked and masked.
///
/// Prunable are tensors of rank 4 (convolution) or 2 (linear, embedding) whose name is `weight` or ends in `.weight`.
/// Anything else may be in the set and is ignored. Order does not matter: names are sorted.
#[derive(Clone, Debug, Default)]
pub struct WeightSet {
    tensors: BTreeMap<String, Tensor>,
}

impl WeightSet {
    /// The current values of a network's variables, without copying them.
    #[must_use]
    pub fn from_vars(vars: &[(String, Var)]) -> Self {
        vars.iter()
            .map(|(name, var)| (name.as_str(), var.as_detached_tensor()))
            .collect()
    }

    /// The prunable tensors, sorted by name.
    pub fn prunable(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors
            .iter()
            .filter(|(name, tensor)| is_prunable(name, tensor))
            .map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// How many weights are prunable.
    #[must_use]
    pub fn prunable_weights(&self) -> usize {
        self.prunable().map(|(_, tensor)| tensor.elem_count()).sum()
    }

    /// How many tensors there are, prunable or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is no tensor at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// A tensor by name, prunable or not.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }
}

impl<S: Into<String>> FromIterator<(S, Tensor)> for WeightSet {
    fn from_iter<I: IntoIterator<Item = (S, Tensor)>>(tensors: I) -> Self {
        Self {
            tensors: tensors
                .into_iter()
                .map(|(name, tensor)| (name.into(), tensor))
                .collect(),
        }
    }
}

fn is_prunable(name: &str, tensor: &Tensor) -> bool {
    matches!(tensor.rank(), 2 | 4) && (name == "weight" || name.ends_with(".weight"))
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn only_convolution_and_linear_weights_are_prunable() {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let set = WeightSet::from_iter([
            ("conv.weight", zeros(&[4, 3, 3, 3])),
            ("conv.bias", zeros(&[4])),
            ("norm.weight", zeros(&[4])),
            ("norm.running_mean", zeros(&[4])),
            ("linear.weight", zeros(&[2, 4])),
            ("linear.overweight", zeros(&[2, 4])),
            ("weight", zeros(&[5, 4])),
        ]);
        let names: Vec<&str> = set.prunable().map(|(name, _)| name).collect();
        assert_eq!(names, ["conv.weight", "linear.weight", "weight"]);
        assert_eq!(set.prunable_weights(), 108 + 8 + 20);
        assert_eq!(set.len(), 7);
    }
}
