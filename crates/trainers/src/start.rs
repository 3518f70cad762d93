use candle_core::Device;
use htl_datasets::{DataFolder, sha256_file};
use htl_models::{
    Checkpoint, Network, Preprocessing, PruningRecord,
    weights::{self, Scope},
};
use htl_pruning::{MaskSet, WeightSet};

use crate::{TrainError, config::TrainConfig, finite};

/// The starting point of a training: network, preprocessing, classes, and the pruning to keep.
pub(crate) struct Start {
    pub network: Network,
    pub preprocessing: Preprocessing,
    pub classes: Vec<String>,
    pruning: Option<PruningRecord>,
    /// The zeros to keep.
    pub masks: Option<MaskSet>,
}

impl Start {
    /// A new network, or that of `init`.
    pub fn of(config: &TrainConfig, data: &DataFolder, device: &Device) -> Result<Self, TrainError> {
        let objective = config.objective()?;
        let classes = objective.classes(data);
        let architecture = objective.architecture(config, &classes)?;
        if let (Some(_), Some(path)) = (&config.init, &config.network.pretrained) {
            return Err(TrainError::Parameter {
                key: "network.pretrained",
                message: "left out where `init` is given: that network has an encoder already".into(),
                found: path.display().to_string(),
            });
        }
        let Some(path) = &config.init else {
            let mut network = Network::build(&architecture, config.seed, device)?;
            network.set_precision(config.precision);
            let preprocessing = Preprocessing {
                size: config.size,
                ..pretrained(config, &network)?
            };
            return Ok(Self {
                network,
                preprocessing,
                classes,
                pruning: None,
                masks: None,
            });
        };
        let (checkpoint, mut network) = Checkpoint::load(path, device)?;
        network.set_precision(config.precision);
        if let Some(problem) = finite::problem(network.parameters())? {
            return Err(TrainError::BrokenInit {
                path: path.clone(),
                problem,
            });
        }
        // A narrowed network is trained as it is.
        if checkpoint.architecture.whole() != architecture {
            return Err(TrainError::OtherNetwork {
                path: path.clone(),
                expected: architecture.to_string(),
                found: checkpoint.architecture.to_string(),
            });
        }
        if checkpoint.classes != classes {
            return Err(TrainError::OtherClasses {
                path: path.clone(),
                expected: classes,
                found: checkpoint.classes,
            });
        }
        let masks = match &checkpoint.pruning {
            Some(_) => Some(MaskSet::from_zeros(&WeightSet::from_vars(
                network.parameters().trainable(),
            ))?),
            None => None,
        };
        let preprocessing = Preprocessing {
            size: config.size,
            ..checkpoint.preprocessing
        };
        Ok(Self {
            network,
            preprocessing,
            classes,
            pruning: checkpoint.pruning,
            masks,
        })
    }

    /// Describes the final model for its checkpoint.
    pub fn checkpoint(&self, config: &TrainConfig, final_model: &Network) -> Result<Checkpoint, TrainError> {
        Ok(Checkpoint {
            preprocessing: self.preprocessing.clone(),
            classes: self.classes.clone(),
            pruning: self.achieved(final_model)?,
            training: record(config)?,
            ..Checkpoint::new(self.network.architecture().clone())
        })
    }

    /// The final model's pruning, its sparsity counted rather than assumed.
    fn achieved(&self, final_model: &Network) -> Result<Option<PruningRecord>, TrainError> {
        let Some(pruning) = &self.pruning else { return Ok(None) };
        Ok(Some(PruningRecord {
            sparsity: network_sparsity(final_model)?,
            ..pruning.clone()
        }))
    }
}

/// Gives the encoder the weights it is to begin with, and returns how images are prepared for them.
///
/// # Errors
/// [`TrainError::Pretrained`] if the file is not the one named, cannot be read, or is of another encoder.
fn pretrained(config: &TrainConfig, network: &Network) -> Result<Preprocessing, TrainError> {
    let choice = &config.network;
    let Some(path) = &choice.pretrained else {
        return Ok(Preprocessing::default());
    };
    let wrong = |message: String| TrainError::Pretrained {
        path: path.clone(),
        message,
    };
    if let Some(expected) = &choice.pretrained_sha256 {
        let found = sha256_file(path)?;
        if found != *expected {
            return Err(wrong(format!("its SHA-256 is {found}, expected {expected}")));
        }
    }
    let tensors = weights::read(path)?;
    let adopted = network
        .adopt(&tensors, Scope::Encoder)
        .map_err(|error| wrong(error.to_string()))?;
    tracing::info!(weights = %path.display(), "{adopted}");
    let normalisation = network.architecture().pretrained_normalisation();
    Ok(
        normalisation.map_or_else(Preprocessing::default, |normalisation| Preprocessing {
            mean: normalisation.mean.to_vec(),
            std: normalisation.std.to_vec(),
            ..Preprocessing::default()
        }),
    )
}

/// The share of the architecture's convolution and linear weights that a network does without, in [0, 1]: zeros, and those of
/// channels that were removed.
///
/// # Errors
/// [`TrainError::Prune`] if it has no such weights.
pub fn network_sparsity(network: &Network) -> Result<f64, TrainError> {
    let masks = MaskSet::from_zeros(&WeightSet::from_vars(network.parameters().trainable()))?;
    let all = network.architecture().whole().weight_count()?;
    let left = masks.weights() - masks.zeros();
    Ok(all.saturating_sub(left) as f64 / all.max(1) as f64)
}

/// The configuration as a checkpoint records it.
pub(crate) fn record(config: &TrainConfig) -> Result<serde_json::Value, TrainError> {
    serde_json::to_value(config).map_err(|e| TrainError::ConfigSyntax {
        path: "the effective configuration".into(),
        message: e.to_string(),
    })
}
