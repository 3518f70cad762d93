use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use htl_vocabulary::write_whole;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::architecture::Architecture;
use crate::error::ModelError;
use crate::network::Network;
use crate::parameters::check_shapes;
use crate::preprocessing::Preprocessing;

/// The version that [`Checkpoint::save`] writes, and the newest that [`Checkpoint::load`] reads.
pub const CHECKPOINT_VERSION: u32 = 2;

/// The one key of the file's `__metadata__`; its value is the JSON of a [`Checkpoint`]. One key, since the order of
/// several would differ from run to run, and the same network should give the same bytes.
const KEY: &str = "htl";

/// What a checkpoint says of its network: everything needed to use it besides the weights.
///
/// The file is safetensors with PyTorch's parameter names; this record stands in its `__metadata__` under `htl` as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Version of this record.
    pub version: u32,
    /// What network the tensors belong to.
    pub architecture: Architecture,
    /// What is done to images before the network sees them.
    pub preprocessing: Preprocessing,
    /// Names of the classes in the order of a classifier's logits; empty for a localizer.
    pub classes: Vec<String>,
    /// How it was pruned; `None` for a dense network.
    pub pruning: Option<PruningRecord>,
    /// Whatever the training wants to remember, such as its seed, steps and configuration.
    pub training: serde_json::Value,
}

/// How a sparse network was pruned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PruningRecord {
    /// The criterion's name, for example `global-magnitude`.
    pub method: String,
    /// Zeros over prunable weights, counted, in [0, 1].
    pub sparsity: f64,
}

/// Read before the rest, so that a newer record is called newer and not unreadable.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Checkpoint {
    /// The record of a dense network of this architecture, with default preprocessing and no classes.
    #[must_use]
    pub fn new(architecture: Architecture) -> Self {
        Self {
            version: CHECKPOINT_VERSION,
            architecture,
            preprocessing: Preprocessing::default(),
            classes: Vec::new(),
            pruning: None,
            training: serde_json::Value::Null,
        }
    }

    /// Writes network and record as a whole: a reader finds the old file or the new one, never a part. The same network and
    /// record give the same bytes.
    ///
    /// # Errors
    /// [`ModelError::OtherNetwork`] if the network is not of this architecture, [`ModelError::Config`] if preprocessing or
    /// classes do not fit it, [`ModelError::NotFinite`] if it could not be loaded again, [`ModelError::Write`] if the file
    /// cannot be written.
    pub fn save(&self, network: &Network, path: &Path) -> Result<(), ModelError> {
        self.check_with(network)?;
        let record = Self {
            version: CHECKPOINT_VERSION,
            ..self.clone()
        };
        let record = serde_json::to_string(&record).map_err(|error| ModelError::Write(error.into()))?;
        let tensors: Vec<(String, Tensor)> = network
            .parameters()
            .all()
            .into_iter()
            .map(|(name, var)| Ok((name, var.as_detached_tensor().to_device(&Device::Cpu)?)))
            .collect::<candle_core::Result<_>>()?;
        let metadata = HashMap::from([(KEY.to_string(), record)]);
        let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(candle_core::Error::from)?;
        write_whole(path, bytes).map_err(ModelError::Write)
    }

    /// Reads a record and builds its network with the weights of the file.
    ///
    /// # Errors
    /// [`ModelError::Read`] if the file cannot be read; [`ModelError::NotACheckpoint`] if it is not safetensors, is cut off,
    /// or has no record; [`ModelError::NewerVersion`]; [`ModelError::CheckpointMismatch`] if a tensor is missing, unknown
    /// or of another shape; [`ModelError::BrokenCheckpoint`] if it holds a value that is not finite, or a negative running
    /// variance.
    pub fn load(path: &Path, device: &Device) -> Result<(Self, Network), ModelError> {
        let bytes = read(path)?;
        let checkpoint = Self::parse(&bytes, path)?;
        let tensors = tensors(&bytes, path)?;
        let found = tensors
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.dims().to_vec()))
            .collect();
        // Before the network takes memory: a small file may claim to be a large one.
        check_shapes(&checkpoint.architecture.shapes()?, &found).map_err(|error| of_file(error, path))?;
        let network = Network::build(&checkpoint.architecture, 0, device)?;
        network
            .parameters()
            .load(&tensors)
            .map_err(|error| of_file(error, path))?;
        Ok((checkpoint, network))
    }

    /// Reads the record alone.
    ///
    /// # Errors
    /// As [`load`](Self::load), without looking at the tensors.
    pub fn read(path: &Path) -> Result<Self, ModelError> {
        Self::parse(&read(path)?, path)
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self, ModelError> {
        let not = |problem: String| ModelError::NotACheckpoint {
            path: path.to_path_buf(),
            problem,
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes)
            .map_err(|error| not(format!("it is not a whole safetensors file ({error})")))?;
        let record = metadata
            .metadata()
            .as_ref()
            .and_then(|metadata| metadata.get(KEY))
            .ok_or_else(|| {
                not(format!(
                    "it is safetensors without the metadata `{KEY}` that says what network it is"
                ))
            })?;
        let bad = |error: serde_json::Error| not(format!("its metadata `{KEY}` cannot be read: {error}"));
        let Version { version } = serde_json::from_str(record).map_err(bad)?;
        if version > CHECKPOINT_VERSION {
            let path = path.to_path_buf();
            return Err(ModelError::NewerVersion {
                path,
                found: version,
                known: CHECKPOINT_VERSION,
            });
        }
        let checkpoint: Self = serde_json::from_str(record).map_err(bad)?;
        checkpoint.check().map_err(|error| not(error.to_string()))?;
        Ok(checkpoint)
    }

    /// Checks that this is the record of the network, and that all of it can be written and read again.
    ///
    /// # Errors
    /// As [`save`](Self::save), but for those of files.
    pub fn check_with(&self, network: &Network) -> Result<(), ModelError> {
        if *network.architecture() != self.architecture {
            let problem = format!(
                "they are of {}, the record is of {}",
                network.architecture(),
                self.architecture
            );
            return Err(ModelError::OtherNetwork { problem });
        }
        self.check()?;
        network.parameters().check_finite()
    }

    fn check(&self) -> Result<(), ModelError> {
        self.preprocessing.check()?;
        if self.preprocessing.mean.len() != self.architecture.in_channels() {
            return Err(ModelError::Config {
                key: "mean".into(),
                expected: "one number per channel of the network's images".into(),
                found: format!("{:?}", self.preprocessing.mean),
            });
        }
        if self
            .architecture
            .classes()
            .is_some_and(|classes| !self.classes.is_empty() && classes != self.classes.len())
        {
            return Err(ModelError::Config {
                key: "classes".into(),
                expected: "as many names as the classifier has classes".into(),
                found: format!("{:?}", self.classes),
            });
        }
        Ok(())
    }
}

impl Network {
    /// Takes over the weights of a safetensors file without a record, as PyTorch writes it from a `state_dict`.
    ///
    /// # Errors
    /// [`ModelError::Read`] and [`ModelError::NotACheckpoint`] if the file cannot be read, [`ModelError::CheckpointMismatch`]
    /// if its tensors are those of another network, [`ModelError::BrokenCheckpoint`] as [`Checkpoint::load`].
    pub fn load_state_dict(&self, path: &Path) -> Result<(), ModelError> {
        self.parameters()
            .load(&tensors(&read(path)?, path)?)
            .map_err(|error| of_file(error, path))
    }
}

/// What is wrong with the tensors, said of the file that they come from.
fn of_file(error: ModelError, path: &Path) -> ModelError {
    let path = path.to_path_buf();
    match error {
        ModelError::OtherNetwork { problem } => ModelError::CheckpointMismatch { path, problem },
        broken @ ModelError::NotFinite { .. } => ModelError::BrokenCheckpoint {
            path,
            problem: broken.to_string(),
        },
        other => other,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    std::fs::read(path).map_err(|source| ModelError::Read {
        path: path.to_path_buf(),
        source,
    })
}

/// On the CPU, which knows all types.
pub(crate) fn tensors(bytes: &[u8], path: &Path) -> Result<BTreeMap<String, Tensor>, ModelError> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| ModelError::NotACheckpoint {
        path: path.to_path_buf(),
        problem: format!("it is not a whole safetensors file ({error})"),
    })?;
    file.iter()
        .map(|(name, view)| Ok((name.to_string(), view.load(&Device::Cpu)?)))
        .collect()
}
