use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Var};
use safetensors::SafeTensors;

use crate::error::PruneError;
use crate::mask::Mask;
use crate::weights::WeightSet;

/// The file's `__metadata__`: one key, so that the same masks give the same bytes.
const FORMAT: (&str, &str) = ("format", "htl-masks-1");

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

    /// Only weights that both sets keep; a tensor that is in one set alone takes that mask.
    ///
    /// # Errors
    /// [`PruneError::MaskShape`] if a name has different shapes.
    pub fn and(&self, other: &Self) -> Result<Self, PruneError> {
        let mut masks = self.masks.clone();
        for (name, mask) in &other.masks {
            let both = match masks.get(name) {
                Some(mine) => {
                    mine.check_shape(name, mask.as_tensor())?;
                    Mask::from_tensor(&mine.masked(&mask.as_tensor().to_device(mine.as_tensor().device())?)?)?
                }
                None => mask.clone(),
            };
            masks.insert(name.clone(), both);
        }
        Ok(Self { masks })
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

    /// The same masks on another device.
    ///
    /// # Errors
    /// Those of candle.
    pub fn to_device(&self, device: &Device) -> Result<Self, PruneError> {
        self.masks
            .iter()
            .map(|(name, mask)| Ok((name.clone(), mask.to_device(device)?)))
            .collect()
    }

    /// Writes the masks as safetensors (`u8`, the weights' names and shapes), to a temporary name that is then renamed.
    ///
    /// # Errors
    /// [`PruneError::Io`] if the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), PruneError> {
        let on_cpu = self.to_device(&Device::Cpu)?;
        let tensors = on_cpu.masks.iter().map(|(name, mask)| (name, mask.as_tensor()));
        let metadata = HashMap::from([(FORMAT.0.to_string(), FORMAT.1.to_string())]);
        let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(candle_core::Error::from)?;
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
        written.map_err(|source| {
            // What is half written is of no use; if it cannot be removed, the first error is the one to tell.
            let _ = std::fs::remove_file(&temporary);
            PruneError::Io {
                path: path.to_path_buf(),
                action: "write",
                source,
            }
        })
    }

    /// Reads masks that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`PruneError::Io`] if the file cannot be read, [`PruneError::NotAMaskFile`] if it holds something else.
    pub fn load(path: &Path, device: &Device) -> Result<Self, PruneError> {
        let io = |source| PruneError::Io {
            path: path.to_path_buf(),
            action: "read",
            source,
        };
        let not_masks = |problem: String| PruneError::NotAMaskFile {
            path: path.to_path_buf(),
            problem,
        };
        let bytes = std::fs::read(path).map_err(io)?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|error| not_masks(error.to_string()))?;
        let format = metadata.metadata().as_ref().and_then(|metadata| metadata.get(FORMAT.0));
        if format.is_none_or(|format| format != FORMAT.1) {
            return Err(not_masks(format!(
                "its metadata says format {format:?}, expected {:?}",
                FORMAT.1
            )));
        }
        let file = SafeTensors::deserialize(&bytes).map_err(|error| not_masks(error.to_string()))?;
        let mut masks = BTreeMap::new();
        for (name, view) in file.iter() {
            let keep = view.load(&Device::Cpu)?;
            if keep.dtype() != DType::U8 {
                return Err(not_masks(format!(
                    "`{name}` is of type {:?}, expected u8",
                    keep.dtype()
                )));
            }
            masks.insert(name.to_string(), Mask::from_tensor(&keep)?.to_device(device)?);
        }
        Ok(Self { masks })
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
