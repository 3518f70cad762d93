use std::{path::Path, sync::Arc};

use candle_core::{Device, Tensor};
use htl_datasets::{DataFolder, ImageSet};
use htl_inference::{NetworkPredictor, Validator};
use htl_models::{Architecture, Checkpoint, ClassifierConfig, Network, Preprocessing, PruningRecord, UNetConfig};
use htl_pruning::{MaskSet, WeightSet};
use htl_vocabulary::{file, read_history, write_history};

use crate::{
    HistoryRow, StopFlag, TrainError,
    attention::SampleWeights,
    batches::{Batches, MaskBatches},
    box_targets::box_targets,
    config::{Setting, TrainConfig, ValidTrainConfig},
    files::write,
    finite,
    fit::{Loop, Position, Resume, Task},
    inputs::Inputs,
    objective::{ImageLabelObjective, MaskObjective, MeanTeacherObjective, Objective},
    observe::{End, HistoryCsv, Observer, Observers},
    samples::{self, TrainingSamples, training_samples, validation},
    state::{self, Identity, State},
};

/// Largest norm of the gradient over all parameters.
const CLIP: f64 = 5.0;

/// How [`train`] ended.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub enum Outcome {
    /// The last step was made in this run; checkpoint, state and history are written.
    Trained(Vec<HistoryRow>),
    /// The folder already held this training, finished, from the same inputs. Nothing was trained.
    AlreadyFinished(Vec<HistoryRow>),
    /// The training was asked to end early. Its state is saved; the same call continues it.
    Stopped {
        /// Gradient steps done.
        step: usize,
        /// Gradient steps in all.
        steps: usize,
    },
}

impl Outcome {
    /// The rows of a finished training's epochs; none of one that was stopped.
    #[must_use]
    pub fn history(&self) -> &[HistoryRow] {
        match self {
            Self::Trained(rows) | Self::AlreadyFinished(rows) => rows,
            Self::Stopped { .. } => &[],
        }
    }
}

/// Trains as `config` says and writes checkpoint, state and history into the folder `out`.
///
/// A folder with an unfinished training of the same configuration and inputs is continued, bit for bit as if it had not
/// been interrupted; a finished one is left as it is. Inputs are compared by content: the training and validation samples
/// of the data folder, the checkpoint to start from, the list of labelled images, the score table.
///
/// `stop` ends the training at the next step boundary, with its state saved.
///
/// A CUDA device should be one of [`Device::new_cuda_with_stream`]: one order for all threads.
///
/// # Errors
/// [`TrainError`]; nothing that was finished is lost. [`TrainError::OtherRun`] and [`TrainError::ChangedInputs`] if the
/// folder holds another training.
pub fn train(
    config: &ValidTrainConfig,
    device: &Device,
    out: &Path,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    config.check_device(device)?;
    let (checkpoint_path, state_path) = (out.join(file::CHECKPOINT), out.join(file::STATE));
    let data = DataFolder::open(&config.data)?;
    let identity = Identity {
        config: config.to_toml(),
        inputs: Inputs::of(config, &data)?,
    };
    let saved = State::read(&state_path, &identity, config.steps())?;
    if let Some(saved) = &saved
        && saved.step() == config.steps()
        && holds_result(&checkpoint_path, config)?
    {
        let rows = saved.history().to_vec();
        let history_path = out.join(file::HISTORY);
        if !read_history(&history_path).is_ok_and(|found| found == rows) {
            write_history(&history_path, &rows)?;
        }
        return Ok(Outcome::AlreadyFinished(rows));
    }
    write(&out.join(file::CONFIG), identity.config.as_bytes())?;

    let samples = training_samples(config, &data)?;
    let validation = validation(config, &data)?;
    let mut start = Start::of(config, &data, device)?;
    if let Some(plant) = config.plant {
        plant.in_network(&mut start.network);
    }
    let seen = config.plant.map_or_else(
        || start.preprocessing.clone(),
        |p| p.preprocessing(&start.preprocessing),
    );
    let mut objective = objective(config, &data, &samples, &start, &seen, device)?;
    let resume = match saved {
        Some(saved) => saved.restore(&start.network, objective.as_mut())?,
        None => Resume::default(),
    };
    let looped = Loop {
        steps: config.steps(),
        per_epoch: objective.epoch().div_ceil(config.batch).max(1),
        validate_every: config.validate_every,
        learning_rate: config.learning_rate,
        weight_decay: config.weight_decay,
        clip: CLIP,
    };
    let mut task = Configured {
        device,
        state_path: &state_path,
        identity: &identity,
        start: &start,
        objective: objective.as_mut(),
        validation: validation.as_ref(),
    };
    let mut observers = Observers::new()
        .with(HistoryCsv::new(out.join(file::HISTORY)))
        .with(observer);
    let variables = start.network.parameters().trainable();
    let (end, history) = looped.run(variables, &mut task, resume, &mut observers, stop)?;
    if let End::Stopped { step } = end {
        let steps = config.steps();
        return Ok(Outcome::Stopped { step, steps });
    }

    let trained = objective.product(&start.network);
    if let Some(problem) = finite::problem(trained.parameters())? {
        return Err(TrainError::BrokenResult {
            path: out.to_owned(),
            problem,
        });
    }
    let checkpoint = Checkpoint {
        pruning: start.achieved(trained)?,
        ..start.checkpoint(config)?
    };
    checkpoint.save(trained, &checkpoint_path)?;
    Ok(Outcome::Trained(history))
}

/// Whether the checkpoint is a whole one of this training. One that cannot be read does not count: the state holds all
/// that is needed to write it again.
fn holds_result(path: &Path, config: &TrainConfig) -> Result<bool, TrainError> {
    if !path.exists() {
        return Ok(false);
    }
    match Checkpoint::load(path, &Device::Cpu) {
        Ok((checkpoint, _)) if checkpoint.training == record(config)? => Ok(true),
        Ok(_) => Err(TrainError::ForeignCheckpoint { path: path.to_owned() }),
        Err(error) => {
            tracing::warn!("{error}; the checkpoint is written again from the state of the finished training");
            Ok(false)
        }
    }
}

/// What a checkpoint says of its training.
fn record(config: &TrainConfig) -> Result<serde_json::Value, TrainError> {
    serde_json::to_value(config).map_err(|e| TrainError::ConfigSyntax {
        path: "the effective configuration".into(),
        message: e.to_string(),
    })
}

/// What a training starts from.
struct Start {
    network: Network,
    preprocessing: Preprocessing,
    classes: Vec<String>,
    pruning: Option<PruningRecord>,
    masks: Option<MaskSet>,
}

impl Start {
    fn of(config: &TrainConfig, data: &DataFolder, device: &Device) -> Result<Self, TrainError> {
        let classes = match config.setting {
            Setting::WeaklySupervised => samples::classes(data),
            _ => Vec::new(),
        };
        let architecture = match config.setting {
            Setting::WeaklySupervised => Architecture::UNetEncoderClassifier(ClassifierConfig {
                width: config.width,
                classes: classes.len(),
                ..ClassifierConfig::default()
            }),
            _ => Architecture::UNet(UNetConfig {
                width: config.width,
                ..UNetConfig::default()
            }),
        };
        let Some(path) = &config.init else {
            let mut network = Network::build(&architecture, config.seed, device)?;
            network.set_precision(config.precision);
            let preprocessing = Preprocessing {
                size: config.size,
                ..Preprocessing::default()
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
        if checkpoint.architecture != architecture {
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

    fn checkpoint(&self, config: &TrainConfig) -> Result<Checkpoint, TrainError> {
        Ok(Checkpoint {
            preprocessing: self.preprocessing.clone(),
            classes: self.classes.clone(),
            training: record(config)?,
            ..Checkpoint::new(self.network.architecture())
        })
    }

    /// The pruning that the product still has: counted, not assumed.
    fn achieved(&self, product: &Network) -> Result<Option<PruningRecord>, TrainError> {
        let Some(pruning) = &self.pruning else { return Ok(None) };
        let sparsity = MaskSet::from_zeros(&WeightSet::from_vars(product.parameters().trainable()))?.sparsity();
        Ok(Some(PruningRecord {
            sparsity,
            ..pruning.clone()
        }))
    }
}

/// The objective of a setting.
fn objective(
    config: &ValidTrainConfig,
    data: &DataFolder,
    samples: &TrainingSamples,
    start: &Start,
    preprocessing: &Preprocessing,
    device: &Device,
) -> Result<Box<dyn Objective>, TrainError> {
    let batches = |images: &Arc<ImageSet>| Batches::new(images.clone(), preprocessing, config.seed, device);
    let (batch, steps) = (config.batch, config.steps());
    let labelled = &samples.labelled;
    let with_targets = |targets, weights| MaskBatches::of(batches(labelled), targets, weights, batch, steps);
    let attention = |images: &ImageSet| SampleWeights::read(config.attention.as_ref(), &images.ids(), config.seed);
    Ok(match config.setting {
        Setting::Supervised => {
            let mut targets = samples::mask_targets(labelled);
            if let Some(plant) = config.plant {
                plant.in_targets(&mut targets);
            }
            let batches = with_targets(targets, attention(labelled)?)?;
            Box::new(MaskObjective { batches })
        }
        Setting::SemiSupervised => {
            let uniform = SampleWeights::uniform(labelled.len());
            let unlabelled = samples.unlabelled.as_ref().unwrap_or(labelled);
            Box::new(MeanTeacherObjective::new(
                with_targets(samples::mask_targets(labelled), uniform)?,
                batches(unlabelled),
                attention(unlabelled)?,
                config.mean_teacher,
                steps,
                &start.network,
            )?)
        }
        Setting::WeaklySupervised => {
            let labels = samples::labels(data, labelled, &start.classes);
            let classes = start.classes.len();
            let weights = attention(labelled)?;
            Box::new(ImageLabelObjective::new(
                batches(labelled),
                labels,
                classes,
                weights,
                batch,
                steps,
            )?)
        }
        Setting::WeaklySupervisedBoxes => {
            let targets = box_targets(labelled, &samples::boxes(labelled), config.boxes.targets);
            let batches = with_targets(targets, attention(labelled)?)?;
            Box::new(MaskObjective { batches })
        }
    })
}

/// A training that a configuration describes, as the loop sees it.
struct Configured<'a> {
    device: &'a Device,
    state_path: &'a Path,
    identity: &'a Identity,
    start: &'a Start,
    objective: &'a mut dyn Objective,
    validation: Option<&'a (ImageSet, Validator)>,
}

impl Task for Configured<'_> {
    fn loss(&mut self, step: usize) -> Result<Tensor, TrainError> {
        self.objective.loss(&self.start.network, step)
    }

    fn after_step(&mut self, step: usize) -> Result<(), TrainError> {
        let network = &self.start.network;
        if let Some(masks) = &self.start.masks {
            masks.apply(network.parameters().trainable())?;
        }
        self.objective.after_step(network, step)
    }

    fn validate(&mut self) -> Result<Option<f64>, TrainError> {
        let Some((images, validator)) = self.validation else {
            return Ok(None);
        };
        let product = self.objective.product(&self.start.network);
        let predictor = NetworkPredictor::new(product, self.start.preprocessing.clone(), self.device);
        Ok(Some(validator.quality(&predictor, images)?))
    }

    fn save(&mut self, position: &Position<'_>) -> Result<(), TrainError> {
        let network = &self.start.network;
        state::save(self.state_path, self.identity, position, network, self.objective)
    }
}
