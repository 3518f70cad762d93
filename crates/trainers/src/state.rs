use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use candle_core::{Device, Tensor};
use htl_models::Network;
use htl_ops::optim::AdamW;

use crate::{TrainError, files::write_atomically, objective::Objective};

/// Where an unfinished training stands: `state.safetensors`.
///
/// Keys: `network.<name>`, `optimizer.<name>`, `objective.<name>`; `__metadata__` holds the step and the configuration
/// that the state belongs to.
pub(crate) struct State {
    tensors: HashMap<String, Tensor>,
    /// Gradient steps done.
    pub step: usize,
}

const NETWORK: &str = "network";
const OPTIMIZER: &str = "optimizer";
const OBJECTIVE: &str = "objective";
const STEP: &str = "step";
const CONFIG: &str = "config";

/// Saves what [`State::read`] restores.
pub(crate) fn save(
    path: &Path,
    config: &str,
    step: usize,
    network: &Network,
    optimizer: &AdamW,
    objective: &dyn Objective,
) -> Result<(), TrainError> {
    let bad = |e: safetensors::SafeTensorError| TrainError::State {
        path: path.to_owned(),
        message: e.to_string(),
    };
    let parameters = network
        .parameters()
        .all()
        .into_iter()
        .map(|(name, var)| (name, var.as_detached_tensor()));
    let parts: [(&str, BTreeMap<String, Tensor>); 3] = [
        (NETWORK, parameters.collect()),
        (OPTIMIZER, optimizer.state()?),
        (OBJECTIVE, objective.state()?),
    ];
    let mut tensors = Vec::new();
    for (part, named) in parts {
        for (name, tensor) in named {
            tensors.push((format!("{part}.{name}"), tensor.to_device(&Device::Cpu)?));
        }
    }
    let metadata = HashMap::from([
        (STEP.to_owned(), step.to_string()),
        (CONFIG.to_owned(), config.to_owned()),
    ]);
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(bad)?;
    write_atomically(path, &bytes)
}

impl State {
    /// The state in a file, if there is one.
    ///
    /// # Errors
    /// [`TrainError::OtherRun`] if it belongs to another configuration, [`TrainError::State`] if it cannot be read.
    pub fn read(path: &Path, config: &str) -> Result<Option<Self>, TrainError> {
        let bad = |message: String| TrainError::State {
            path: path.to_owned(),
            message,
        };
        let bytes = match std::fs::read(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| bad(e.to_string()))?,
        };
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).map_err(|e| bad(e.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        if metadata.get(CONFIG).map(String::as_str) != Some(config) {
            let folder = path.parent().unwrap_or(path).to_owned();
            return Err(TrainError::OtherRun { path: folder });
        }
        let step = metadata
            .get(STEP)
            .and_then(|s| s.parse().ok())
            .ok_or_else(|| bad("no step in its metadata".into()))?;
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?;
        Ok(Some(Self { tensors, step }))
    }

    /// Puts everything back.
    pub fn restore(
        &self,
        network: &Network,
        optimizer: &mut AdamW,
        objective: &mut dyn Objective,
    ) -> Result<(), TrainError> {
        let part = |part: &str| -> BTreeMap<String, Tensor> {
            let of_part = |(key, tensor): (&String, &Tensor)| {
                Some((key.strip_prefix(part)?.strip_prefix('.')?.to_owned(), tensor.clone()))
            };
            self.tensors.iter().filter_map(of_part).collect()
        };
        network.parameters().load(&part(NETWORK))?;
        optimizer.load_state(&part(OPTIMIZER))?;
        objective.load_state(&part(OBJECTIVE))
    }
}
