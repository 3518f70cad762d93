use std::path::Path;

use candle_core::{Device, Tensor};
use htl_datasets::{DataFolder, ImageSet};
use htl_inference::{NetworkPredictor, Validator};
use htl_models::Checkpoint;
use htl_vocabulary::{HistoryRow, file, read_dynamics, read_history, write_history};

use crate::{
    StopFlag, TrainError,
    attention::{self, ExtraTerm},
    config::{TrainConfig, ValidTrainConfig},
    dynamics::Recorder,
    files::{take_folder, write},
    finite,
    fit::{EpochPlace, Loop, Position, Resume, Task},
    inputs::Inputs,
    keep::{Keeper, mean},
    objective::{Parts, Training},
    observe::{End, HistoryCsv, Observer, Observers},
    samples::training_samples,
    start::{Start, record},
    state::{self, Contents, Identity, State},
    weight_average::WeightAverage,
};

/// Largest norm of the gradient over all parameters.
const CLIP: f64 = 5.0;

/// Result of [`train`].
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

/// Trains as `config` says and writes checkpoint, state and history into the folder `out`, and `dynamics.csv` if the
/// configuration asks for it.
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
/// folder holds another training, [`TrainError::Busy`] if another training is writing there.
pub fn train(
    config: &ValidTrainConfig,
    device: &Device,
    out: &Path,
    observer: &mut dyn Observer,
    stop: &StopFlag,
) -> Result<Outcome, TrainError> {
    config.check_device(device)?;
    let _span = tracing::info_span!("train", setting = config.setting, out = %out.display()).entered();
    let _alone = take_folder(out)?;
    let (checkpoint_path, state_path) = (out.join(file::CHECKPOINT), out.join(file::STATE));
    let data = DataFolder::open(&config.data)?;
    let identity = Identity {
        config: config.to_toml(),
        inputs: Inputs::of(config, &data)?,
    };
    let saved = State::read(&state_path, &identity, config.steps())?;
    if let Some(saved) = &saved
        && (saved.step() == config.steps() || config.recipe.ends_after(saved.history()))
        && holds_result(&checkpoint_path, config)?
    {
        tracing::info!("finished before, from the same inputs: nothing to train");
        let rows = saved.history().to_vec();
        let history_path = out.join(file::HISTORY);
        if !read_history(&history_path).is_ok_and(|found| found == rows) {
            write_history(&history_path, &rows)?;
        }
        if config.dynamics.is_some() {
            let (dynamics, path) = (saved.dynamics()?, out.join(file::DYNAMICS));
            if !read_dynamics(&path).is_ok_and(|found| found == dynamics.rows()) {
                dynamics.write(&path)?;
            }
        }
        return Ok(Outcome::AlreadyFinished(rows));
    }
    write(&out.join(file::CONFIG), identity.config.as_bytes())?;

    let objective = config.objective()?;
    let (label, unlisted) = (objective.label(), objective.unlisted());
    let samples = training_samples(&data, config.labelled.as_deref(), config.size, label, unlisted)?;
    let validation = objective.validation(config.size, &data)?;
    let mut keeper = Keeper::new(config.keep);
    if keeper.is_some()
        && !matches!(&validation, Some((_, validator)) if !matches!(validator, Validator::Classes { .. }))
    {
        return Err(TrainError::Parameter {
            key: "keep",
            message: "`last`: no validation image has a mask or a box to choose a network by".into(),
            found: "another".into(),
        });
    }
    tracing::info!(
        labelled = samples.labelled.len(),
        unlabelled = samples.unlabelled.as_ref().map_or(0, |images| images.len()),
        validation = validation.as_ref().map_or(0, |(images, _)| images.len()),
        "images read"
    );
    let start = Start::of(config, &data, device)?;
    let parts = Parts {
        seed: config.seed,
        batch: config.batch,
        steps: config.steps(),
        recipe: config.recipe,
        attention: config.attention.as_ref(),
        mean_teacher: config.mean_teacher,
        boxes: config.boxes,
        pseudo: &config.pseudo,
        data: &data,
        samples: &samples,
        classes: &start.classes,
        network: &start.network,
        preprocessing: &start.preprocessing,
        device,
    };
    let mut training = objective.start(&parts)?;
    let mut recorder = match config.dynamics {
        Some(params) => Some(Recorder::new(params, &samples.labelled, objective.given(&parts)?)),
        None => None,
    };
    let mut average = WeightAverage::of(&start.network, config.recipe.average)?;
    let mut extra = attention::extra_term(config.attention.as_ref())?;
    let resume = match saved {
        Some(saved) => saved.restore(
            &start.network,
            training.as_mut(),
            &mut extra,
            recorder.as_mut(),
            keeper.as_mut(),
            average.as_mut(),
        )?,
        None => Resume::default(),
    };
    tracing::info!(
        network = %start.network.architecture(),
        parameters = start.network.parameters().trainable_count(),
        from = resume.step,
        steps = config.steps(),
        "training"
    );
    let looped = Loop {
        steps: config.steps(),
        per_epoch: training.samples().div_ceil(config.batch).max(1),
        validate_every: config.validate_every,
        learning_rate: config.learning_rate,
        weight_decay: config.weight_decay,
        clip: CLIP,
        recipe: config.recipe,
    };
    let mut task = Configured {
        device,
        state_path: &state_path,
        identity: &identity,
        start: &start,
        training: training.as_mut(),
        extra: &mut extra,
        validation: validation.as_ref(),
        recorder: recorder.as_mut(),
        keeper: keeper.as_mut(),
        average: average.as_mut(),
    };
    let mut observers = Observers::new()
        .with(HistoryCsv::new(out.join(file::HISTORY)))
        .with(observer);
    let variables = start.network.parameters().trainable();
    let (end, history) = looped.run(variables, &mut task, resume, &mut observers, stop)?;
    if let Some(recorder) = &recorder {
        recorder.dynamics().write(&out.join(file::DYNAMICS))?;
    }
    if let End::Stopped { step } = end {
        let steps = config.steps();
        tracing::info!(step, "stopped, state saved");
        return Ok(Outcome::Stopped { step, steps });
    }

    let last = match &average {
        Some(average) => average.network()?,
        None => training.final_model(&start.network),
    };
    let best = keeper.map(|keeper| keeper.network(last)).transpose()?;
    let final_model = best.as_ref().unwrap_or(last);
    if let Some(problem) = finite::problem(final_model.parameters())? {
        return Err(TrainError::BrokenResult {
            path: out.to_owned(),
            problem,
        });
    }
    start
        .checkpoint(config, final_model)?
        .save(final_model, &checkpoint_path)?;
    tracing::info!(checkpoint = %checkpoint_path.display(), "finished");
    Ok(Outcome::Trained(history))
}

/// The validation images and what validates a network on them; `None` if the split holds no label of the setting's kind.
///
/// # Errors
/// [`TrainError::Parameter`] for an unknown setting, else from reading the images.
pub fn validation(config: &TrainConfig, data: &DataFolder) -> Result<Option<(ImageSet, Validator)>, TrainError> {
    config.objective()?.validation(config.size, data)
}

/// Returns whether the checkpoint is an intact one of this training. An unreadable one does not count: it can be written
/// again from the state.
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

/// A configured training, as the loop sees it.
struct Configured<'a> {
    device: &'a Device,
    state_path: &'a Path,
    identity: &'a Identity,
    start: &'a Start,
    training: &'a mut dyn Training,
    extra: &'a mut ExtraTerm,
    validation: Option<&'a (ImageSet, Validator)>,
    recorder: Option<&'a mut Recorder>,
    keeper: Option<&'a mut Keeper>,
    average: Option<&'a mut WeightAverage>,
}

impl Task for Configured<'_> {
    fn loss(&mut self, step: usize) -> Result<Tensor, TrainError> {
        let network = &self.start.network;
        self.extra.before_step(network, step)?;
        self.training.loss(network, step, self.extra)
    }

    fn after_step(&mut self, step: usize) -> Result<(), TrainError> {
        let network = &self.start.network;
        if let Some(masks) = &self.start.masks {
            masks.apply(network.parameters().trainable())?;
        }
        if let Some(average) = &mut self.average {
            average.follow(network, step)?;
        }
        self.training.after_step(network, step)
    }

    fn after_epoch(&mut self, epoch: usize, place: EpochPlace) -> Result<(), TrainError> {
        let Some(recorder) = &mut self.recorder else {
            return Ok(());
        };
        let start = self.start;
        recorder.judge(epoch, place, &start.network, &start.preprocessing, self.device)
    }

    fn validate(&mut self, step: usize) -> Result<Option<f64>, TrainError> {
        finite::check_parameters(self.start.network.parameters(), step)?;
        let Some((images, validator)) = self.validation else {
            return Ok(None);
        };
        let model = match &self.average {
            Some(average) => average.network()?,
            None => self.training.final_model(&self.start.network),
        };
        let predictor = NetworkPredictor::new(model, self.start.preprocessing.clone(), self.device);
        let Some(keeper) = &mut self.keeper else {
            return Ok(Some(validator.quality(&predictor, images)?));
        };
        let qualities = validator.qualities(&predictor, images)?.unwrap_or_default();
        keeper.offer(model, &qualities)?;
        Ok(Some(mean(&qualities)))
    }

    fn save(&mut self, position: &Position<'_>) -> Result<(), TrainError> {
        let network = &self.start.network;
        state::save(
            self.state_path,
            self.identity,
            position,
            &Contents {
                network,
                training: self.training,
                extra: self.extra,
                recorder: self.recorder.as_deref(),
                keeper: self.keeper.as_deref(),
                average: self.average.as_deref(),
            },
        )
    }
}
