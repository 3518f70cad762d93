use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use candle_core::{Device, Tensor};
use htl_models::Network;
use htl_vocabulary::HistoryRow;
use serde::{Deserialize, Serialize};

use crate::{
    TrainError,
    attention::ExtraTerm,
    dynamics::{Dynamics, Recorder},
    files::write,
    finite::{check_finite, check_parameters},
    fit::{Position, Resume},
    inputs::Inputs,
    keep::Keeper,
    losses::Losses,
    objective::Training,
    weight_average::WeightAverage,
};

/// The state of a training between two steps, as kept in `state.safetensors`.
///
/// Keys: `network.<name>`, `optimizer.<name>`, `objective.<name>`, `attention.<name>`, `dynamics.<name>`, `best.<name>`,
/// `average.<name>`;
/// `__metadata__` holds the configuration that the state belongs to, the hashes of its inputs, and a [`Record`].
pub(crate) struct State {
    path: PathBuf,
    tensors: HashMap<String, Tensor>,
    record: Record,
}

/// Identity of a training, by which a later run recognises its own state.
pub(crate) struct Identity {
    /// The effective configuration.
    pub config: String,
    /// Hashes of the files it names.
    pub inputs: Inputs,
}

/// The part of a state that is not tensors.
#[derive(Serialize, Deserialize)]
struct Record {
    /// Gradient steps done.
    step: usize,
    /// Rows of the completed epochs.
    history: Vec<HistoryRow>,
    /// Sum of the current epoch's losses.
    loss_sum: f64,
    /// Their number.
    loss_count: usize,
}

const NETWORK: &str = "network";
const OPTIMIZER: &str = "optimizer";
const OBJECTIVE: &str = "objective";
const ATTENTION: &str = "attention";
const DYNAMICS: &str = "dynamics";
const BEST: &str = "best";
const AVERAGE: &str = "average";

const RECORD: &str = "record";
const CONFIG: &str = "config";
const INPUTS: &str = "inputs";

/// What a state is saved of.
pub(crate) struct Contents<'a> {
    pub network: &'a Network,
    pub training: &'a dyn Training,
    pub extra: &'a ExtraTerm,
    pub recorder: Option<&'a Recorder>,
    pub keeper: Option<&'a Keeper>,
    pub average: Option<&'a WeightAverage>,
}

/// Saves what [`State::read`] restores.
///
/// # Errors
/// [`TrainError::NotFinite`] if a weight is not finite: then the file stays as it was.
pub(crate) fn save(
    path: &Path,
    identity: &Identity,
    position: &Position<'_>,
    contents: &Contents<'_>,
) -> Result<(), TrainError> {
    let bad = |message: String| TrainError::State {
        path: path.to_owned(),
        message,
    };
    let json = |e: serde_json::Error| bad(e.to_string());
    let Contents {
        network,
        training,
        extra,
        recorder,
        keeper,
        average,
    } = contents;
    check_parameters(network.parameters(), position.step)?;
    let parameters: BTreeMap<String, Tensor> = network
        .parameters()
        .all()
        .into_iter()
        .map(|(name, var)| (name, var.as_detached_tensor()))
        .collect();
    let parts = [
        (NETWORK, parameters),
        (OPTIMIZER, position.optimizer.state()?),
        (OBJECTIVE, training.state()?),
        (ATTENTION, extra.state()?),
        (DYNAMICS, recorder.map(Recorder::state).transpose()?.unwrap_or_default()),
        (BEST, keeper.map(Keeper::state).transpose()?.unwrap_or_default()),
        (
            AVERAGE,
            average.map(WeightAverage::state).transpose()?.unwrap_or_default(),
        ),
    ];
    let mut tensors = Vec::new();
    for (part, named) in parts {
        for (name, tensor) in named {
            tensors.push((format!("{part}.{name}"), tensor.to_device(&Device::Cpu)?));
        }
    }
    let (loss_sum, loss_count) = position.losses.sum_and_count();
    let record = Record {
        step: position.step,
        history: position.history.to_vec(),
        loss_sum,
        loss_count,
    };
    let metadata = HashMap::from([
        (CONFIG.to_owned(), identity.config.clone()),
        (
            INPUTS.to_owned(),
            serde_json::to_string(&identity.inputs).map_err(json)?,
        ),
        (RECORD.to_owned(), serde_json::to_string(&record).map_err(json)?),
    ]);
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|e| bad(e.to_string()))?;
    write(path, &bytes)
}

impl State {
    /// The state in a file, if there is one.
    ///
    /// # Errors
    /// [`TrainError::OtherRun`] if it belongs to another configuration, [`TrainError::ChangedInputs`] if what it was made
    /// from has changed, [`TrainError::State`] if it cannot be read or claims more than `steps` steps.
    pub fn read(path: &Path, identity: &Identity, steps: usize) -> Result<Option<Self>, TrainError> {
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
        let folder = || path.parent().unwrap_or(path).to_owned();
        if metadata.get(CONFIG) != Some(&identity.config) {
            return Err(TrainError::OtherRun { path: folder() });
        }
        let changed = |what: String| TrainError::ChangedInputs { path: folder(), what };
        let inputs = metadata
            .get(INPUTS)
            .ok_or_else(|| changed("an older version made it and did not record its inputs".into()))?;
        let inputs: Inputs = serde_json::from_str(inputs).map_err(|e| bad(format!("its inputs: {e}")))?;
        if let Some(what) = identity.inputs.changed_since(&inputs) {
            return Err(changed(format!("changed since: {what}")));
        }
        let record = metadata
            .get(RECORD)
            .ok_or_else(|| bad("no record in its metadata".into()))?;
        let record: Record = serde_json::from_str(record).map_err(|e| bad(format!("its record: {e}")))?;
        if record.step > steps {
            let claimed = record.step;
            return Err(bad(format!("it claims {claimed} steps of a training of {steps}")));
        }
        Ok(Some(Self {
            path: path.to_owned(),
            tensors: candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)?,
            record,
        }))
    }

    /// Gradient steps done.
    pub fn step(&self) -> usize {
        self.record.step
    }

    /// Rows of the completed epochs.
    pub fn history(&self) -> &[HistoryRow] {
        &self.record.history
    }

    /// What the training saw of its images so far.
    ///
    /// # Errors
    /// [`TrainError::State`] if it cannot be read.
    pub fn dynamics(&self) -> Result<Dynamics, TrainError> {
        Dynamics::restored(&self.part(DYNAMICS))?.ok_or_else(|| TrainError::State {
            path: self.path.clone(),
            message: "its dynamics cannot be read".into(),
        })
    }

    /// The tensors of a part, by their names in it.
    fn part(&self, part: &str) -> BTreeMap<String, Tensor> {
        let of_part = |(key, tensor): (&String, &Tensor)| {
            Some((key.strip_prefix(part)?.strip_prefix('.')?.to_owned(), tensor.clone()))
        };
        self.tensors.iter().filter_map(of_part).collect()
    }

    /// Restores network, objective and attention; the loop continues from the result.
    ///
    /// # Errors
    /// [`TrainError::State`] if a tensor is missing, has another shape, or a weight or a moment of the
    /// optimiser is not finite.
    pub fn restore(
        self,
        network: &Network,
        training: &mut dyn Training,
        extra: &mut ExtraTerm,
        recorder: Option<&mut Recorder>,
        keeper: Option<&mut Keeper>,
        average: Option<&mut WeightAverage>,
    ) -> Result<Resume, TrainError> {
        let part = |part: &str| self.part(part);
        let bad = |message: String| TrainError::State {
            path: self.path.clone(),
            message,
        };
        for of_part in [NETWORK, OPTIMIZER, BEST, AVERAGE] {
            check_finite(&part(of_part)).map_err(|name| bad(format!("`{of_part}.{name}` is not finite")))?;
        }
        let parameters = part(NETWORK);
        network.parameters().load(&parameters).map_err(|e| bad(e.to_string()))?;
        training.load_state(&part(OBJECTIVE))?;
        extra.load_state(network, &part(ATTENTION))?;
        if let Some(keeper) = keeper {
            keeper.load_state(part(BEST))?;
        }
        if let Some(average) = average {
            average.load_state(&part(AVERAGE))?;
        }
        if let Some(recorder) = recorder
            && !recorder.load_state(&part(DYNAMICS))?
        {
            return Err(bad("its dynamics are not those of the training images".into()));
        }
        Ok(Resume {
            step: self.record.step,
            losses: Losses::restored(self.record.loss_sum, self.record.loss_count),
            optimizer: part(OPTIMIZER),
            history: self.record.history,
        })
    }
}
