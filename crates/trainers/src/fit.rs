use std::{path::Path, sync::Arc};

use candle_core::{Device, Var};
use htl_datasets::{DataFolder, ImageSet};
use htl_inference::{NetworkPredictor, Validator};
use htl_models::{Architecture, Checkpoint, ClassifierConfig, Network, Preprocessing, PruningRecord, UNetConfig};
use htl_ops::optim::{AdamW, AdamWParams};
use htl_pruning::{MaskSet, WeightSet};

use crate::{
    HistoryRow, TrainError,
    attention::SampleWeights,
    batches::{Batches, MaskBatches},
    box_targets::box_targets,
    config::{Setting, TrainConfig, ValidTrainConfig},
    files::write_atomically,
    history,
    losses::Losses,
    objective::{ImageLabelObjective, MaskObjective, MeanTeacherObjective, Objective},
    samples::{self, TrainingSamples, training_samples, validation},
    schedule::one_cycle,
    state::{self, State},
};

/// File names inside a training's folder.
pub mod names {
    /// The trained network.
    pub const CHECKPOINT: &str = "checkpoint.safetensors";
    /// Optimiser, averages and step, to go on from.
    pub const STATE: &str = "state.safetensors";
    /// A row per epoch.
    pub const HISTORY: &str = "history.csv";
    /// The effective configuration.
    pub const CONFIG: &str = "config.toml";
}

/// Largest norm of the gradient over all parameters.
const CLIP: f64 = 5.0;

/// Trains as `config` says and writes checkpoint, history and state into `out`; a folder with an unfinished training of
/// the same configuration is resumed, bit for bit as if it had not been interrupted.
///
/// `progress` is called with (steps done, steps in all); on a GPU with those that it has been given to do.
///
/// A CUDA device should be one of [`Device::new_cuda_with_stream`]: one order for all threads.
///
/// # Errors
/// [`TrainError`]; nothing that was finished is lost.
pub fn train(
    config: &ValidTrainConfig,
    device: &Device,
    out: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<HistoryRow>, TrainError> {
    config.check_device(device)?;
    std::fs::create_dir_all(out).map_err(|source| TrainError::Write {
        path: out.to_owned(),
        source,
    })?;
    let text = config.to_toml();
    let saved = State::read(&out.join(names::STATE), &text)?;
    if saved.as_ref().is_some_and(|s| s.step == config.steps()) && out.join(names::CHECKPOINT).exists() {
        progress(config.steps(), config.steps());
        return history::read_history(&out.join(names::HISTORY));
    }
    write_atomically(&out.join(names::CONFIG), text.as_bytes())?;

    let data = DataFolder::open(&config.data)?;
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
    let run = Run {
        config,
        device,
        out,
        text: &text,
        start: &start,
        validation: validation.as_ref(),
    };
    let rows = run.fit(objective.as_mut(), saved, progress)?;

    let trained = objective.product(&start.network);
    let checkpoint = Checkpoint {
        pruning: start.achieved(trained)?,
        ..start.checkpoint(config)?
    };
    checkpoint.save(trained, &out.join(names::CHECKPOINT))?;
    Ok(rows)
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
        let training = serde_json::to_value(config).map_err(|e| TrainError::ConfigSyntax {
            path: "the effective configuration".into(),
            message: e.to_string(),
        })?;
        Ok(Checkpoint {
            preprocessing: self.preprocessing.clone(),
            classes: self.classes.clone(),
            training,
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

/// The loop that all settings share.
struct Run<'a> {
    config: &'a ValidTrainConfig,
    device: &'a Device,
    out: &'a Path,
    text: &'a str,
    start: &'a Start,
    validation: Option<&'a (ImageSet, Validator)>,
}

impl Run<'_> {
    fn fit(
        &self,
        objective: &mut dyn Objective,
        saved: Option<State>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Vec<HistoryRow>, TrainError> {
        let config = self.config;
        let network = &self.start.network;
        let trainable = network.parameters().trainable().to_vec();
        let params = AdamWParams {
            weight_decay: config.weight_decay,
            ..AdamWParams::default()
        };
        let mut optimizer = AdamW::new(trainable.clone(), params)?;
        let state_path = self.out.join(names::STATE);
        let history_path = self.out.join(names::HISTORY);
        let steps = config.steps();
        let per_epoch = objective.epoch().div_ceil(config.batch).max(1);
        let mut rows = Vec::new();
        let mut first = 0;
        if let Some(saved) = saved {
            saved.restore(network, &mut optimizer, objective)?;
            first = saved.step;
            rows = history::read_history(&history_path)?;
            rows.retain(|row| row.step <= first);
        }

        let mut losses = Losses::default();
        for step in first..steps {
            progress(step, steps);
            let rate = one_cycle(step, steps, config.learning_rate);
            // What fails may fail because the training diverged some steps before.
            self.step(objective, &mut optimizer, &trainable, &mut losses, step, rate)
                .or_else(|error| losses.read().and(Err(error)))?;

            let done = step + 1;
            if done % per_epoch == 0 || done == steps {
                let epoch = done.div_ceil(per_epoch);
                let look = epoch % config.validate_every == 0 || done == steps;
                let train_loss = losses.mean()?;
                rows.push(HistoryRow {
                    epoch,
                    step: done,
                    learning_rate: rate,
                    train_loss,
                    val_quality: if look { self.validate(objective)? } else { None },
                });
                if look {
                    history::write(&history_path, &rows)?;
                    state::save(&state_path, self.text, done, network, &optimizer, objective)?;
                }
            }
        }
        progress(steps, steps);
        Ok(rows)
    }

    /// One gradient step. Nothing here may wait for the device: it works on what it was given before.
    fn step(
        &self,
        objective: &mut dyn Objective,
        optimizer: &mut AdamW,
        trainable: &[(String, Var)],
        losses: &mut Losses,
        step: usize,
        rate: f64,
    ) -> Result<(), TrainError> {
        let network = &self.start.network;
        let loss = objective.loss(network, step)?;
        let mut gradients = htl_ops::backward(&loss)?;
        losses.add(step, &loss)?;
        optimizer.step_clipped(&mut gradients, rate, CLIP)?;
        if let Some(masks) = &self.start.masks {
            masks.apply(trainable)?;
        }
        objective.after_step(network, step)
    }

    fn validate(&self, objective: &dyn Objective) -> Result<Option<f64>, TrainError> {
        let Some((images, validator)) = self.validation else {
            return Ok(None);
        };
        let product = objective.product(&self.start.network);
        let predictor = NetworkPredictor::new(product, self.start.preprocessing.clone(), self.device);
        Ok(Some(validator.quality(&predictor, images)?))
    }
}
