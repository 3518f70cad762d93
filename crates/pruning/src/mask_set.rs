use std::collections::BTreeMap;

use candle_core::Var;

use crate::error::PruneError;
use crate::mask::Mask;
use crate::weights::WeightSet;

/// One [`Mask`] per pruned tensor, by the tensor's name.
#[derive(Clone, Debug, Default)]
pub struct MaskSet {
    masks: BTreeMap<String, Mask>,
}

/// One row of [`MaskSet::table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSparsity {
    /// The weight's name.
    pub name: String,
    /// The weight's shape.
    pub shape: Vec<usize>,
    /// How many weights there are.
    pub weights: usize,
    /// How many of them are pruned.
    pub zeros: usize,
}

impl LayerSparsity {
    /// Zeros over weights; 0 for a layer without weights.
    #[must_use]
    pub fn sparsity(&self) -> f64 {
        ratio(self.zeros, self.weights)
    }
}

impl MaskSet {
    /// The masks that the zeros of a sparse network define: every prunable weight that is exactly zero counts as pruned.
    ///
    /// # Errors
    /// [`PruneError::NothingToPrune`] if no tensor is prunable.
    pub fn from_zeros(weights: &WeightSet) -> Result<Self, PruneError> {
        let masks: Self = weights
            .prunable()
            .map(|(name, weight)| Ok((name.to_string(), Mask::from_tensor(weight)?)))
            .collect::<Result<_, PruneError>>()?;
        if masks.masks.is_empty() {
            Err(PruneError::NothingToPrune { count: weights.len() })
        } else {
            Ok(masks)
        }
    }

    /// Makes the pruned weights exactly zero. Call it after every optimiser step: one pass over the masked weights,
    /// in place on the CPU.
    ///
    /// Variables without a mask are left alone.
    ///
    /// # Errors
    /// [`PruneError::MissingWeight`] if a mask finds no variable, [`PruneError::MaskShape`] if shapes differ; both before
    /// anything has been changed.
    pub fn apply(&self, vars: &[(String, Var)]) -> Result<(), PruneError> {
        let mut found = BTreeMap::new();
        for (name, var) in vars {
            if let Some((name, mask)) = self.masks.get_key_value(name) {
                mask.check_shape(name, var)?;
                found.insert(name.as_str(), (mask, var));
            }
        }
        if let Some(name) = self.masks.keys().find(|name| !found.contains_key(name.as_str())) {
            return Err(PruneError::MissingWeight { name: name.clone() });
        }
        found
            .into_iter()
            .try_for_each(|(name, (mask, var))| mask.apply(name, var))
    }

    /// The mask of one tensor.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Mask> {
        self.masks.get(name)
    }

    /// Names and masks, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Mask)> {
        self.masks.iter().map(|(name, mask)| (name.as_str(), mask))
    }

    /// How many weights are pruned, by counting.
    #[must_use]
    pub fn zeros(&self) -> usize {
        self.masks.values().map(Mask::zeros).sum()
    }

    /// How many weights have a mask, pruned or not.
    #[must_use]
    pub fn weights(&self) -> usize {
        self.masks.values().map(Mask::len).sum()
    }

    /// Pruned over masked weights, in [0, 1]; 0 for an empty set.
    #[must_use]
    pub fn sparsity(&self) -> f64 {
        ratio(self.zeros(), self.weights())
    }

    /// What is left layer by layer, sorted by name.
    #[must_use]
    pub fn table(&self) -> Vec<LayerSparsity> {
        let row = |(name, mask): (&str, &Mask)| LayerSparsity {
            name: name.to_string(),
            shape: mask.as_tensor().dims().to_vec(),
            weights: mask.len(),
            zeros: mask.zeros(),
        };
        self.iter().map(row).collect()
    }
}

impl IntoIterator for MaskSet {
    type Item = (String, Mask);
    type IntoIter = std::collections::btree_map::IntoIter<String, Mask>;

    fn into_iter(self) -> Self::IntoIter {
        self.masks.into_iter()
    }
}

impl Extend<(String, Mask)> for MaskSet {
    fn extend<I: IntoIterator<Item = (String, Mask)>>(&mut self, masks: I) {
        self.masks.extend(masks);
    }
}

impl FromIterator<(String, Mask)> for MaskSet {
    fn from_iter<I: IntoIterator<Item = (String, Mask)>>(masks: I) -> Self {
        Self {
            masks: masks.into_iter().collect(),
        }
    }
}

fn ratio(zeros: usize, weights: usize) -> f64 {
    if weights == 0 {
        0.0
    } else {
        zeros as f64 / weights as f64
    }
}
