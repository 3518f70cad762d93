use std::path::Path;

use candle_core::Device;
use htl_datasets::{DataFolder, ImageSet};
use htl_models::{Architecture, Checkpoint, ClassifierConfig, Network, Preprocessing, PruningRecord, UNetConfig};
use htl_ops::optim::{AdamW, AdamWParams, clip_gradients};
use htl_pruning::{MaskSet, WeightSet};

use crate::{
    HistoryRow, TrainError,
    attention::SampleWeights,
    batches::Batches,
    box_targets::box_targets,
    config::{Setting, TrainConfig, ValidTrainConfig},
    files::write_atomically,
    history,
    objective::{ImageLabelObjective, MaskObjective, MeanTeacherObjective, Objective},
    quality::{Judge, quality},
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
/// `progress` is called with (steps done, steps in all).
///
/// # Errors
/// [`TrainError`]; nothing that was finished is lost.
pub fn train(
    config: &ValidTrainConfig,
    device: &Device,
    out: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<HistoryRow>, TrainError> {
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
            let network = Network::build(&architecture, config.seed, device)?;
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
        let (checkpoint, network) = Checkpoint::load(path, device)?;
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
fn objective<'a>(
    config: &'a ValidTrainConfig,
    data: &DataFolder,
    samples: &'a TrainingSamples,
    start: &'a Start,
    preprocessing: &'a Preprocessing,
    device: &'a Device,
) -> Result<Box<dyn Objective + 'a>, TrainError> {
    let batches = |images: &'a ImageSet| Batches {
        images,
        preprocessing,
        seed: config.seed,
        device,
    };
    let labelled = &samples.labelled;
    let attention = |images: &ImageSet| SampleWeights::read(config.attention.as_ref(), &images.ids(), config.seed);
    Ok(match config.setting {
        Setting::Supervised => {
            let mut targets = samples::mask_targets(labelled);
            if let Some(plant) = config.plant {
                plant.in_targets(&mut targets);
            }
            Box::new(MaskObjective::new(
                batches(labelled),
                targets,
                attention(labelled)?,
                config.batch,
            )?)
        }
        Setting::SemiSupervised => {
            let targets = samples::mask_targets(labelled);
            let uniform = SampleWeights::uniform(labelled.len());
            let supervised = MaskObjective::new(batches(labelled), targets, uniform, config.batch)?;
            let unlabelled = samples.unlabelled.as_ref().unwrap_or(labelled);
            let weights = attention(unlabelled)?;
            let params = config.mean_teacher;
            Box::new(MeanTeacherObjective::new(
                supervised,
                batches(unlabelled),
                weights,
                params,
                config.steps(),
                &start.network,
            )?)
        }
        Setting::WeaklySupervised => {
            let labels = samples::labels(data, labelled, &start.classes);
            let classes = start.classes.len();
            Box::new(ImageLabelObjective::new(
                batches(labelled),
                labels,
                classes,
                attention(labelled)?,
                config.batch,
            )?)
        }
        Setting::WeaklySupervisedBoxes => {
            let targets = box_targets(labelled, &samples::boxes(labelled), config.boxes.targets);
            Box::new(MaskObjective::new(
                batches(labelled),
                targets,
                attention(labelled)?,
                config.batch,
            )?)
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
    validation: Option<&'a (ImageSet, Judge)>,
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

        let (mut sum, mut count) = (0.0, 0usize);
        for step in first..steps {
            progress(step, steps);
            let rate = one_cycle(step, steps, config.learning_rate);
            let loss = objective.loss(network, step)?;
            let mut gradients = loss.backward()?;
            let value = loss.to_scalar::<f32>()?;
            if !value.is_finite() {
                return Err(TrainError::Diverged { step, loss: value });
            }
            clip_gradients(&mut gradients, &trainable, CLIP)?;
            optimizer.step(&gradients, rate)?;
            if let Some(masks) = &self.start.masks {
                masks.apply(&trainable)?;
            }
            objective.after_step(network, step)?;
            sum += f64::from(value);
            count += 1;

            let done = step + 1;
            if done % per_epoch == 0 || done == steps {
                let epoch = done.div_ceil(per_epoch);
                let look = epoch % config.validate_every == 0 || done == steps;
                rows.push(HistoryRow {
                    epoch,
                    step: done,
                    learning_rate: rate,
                    train_loss: sum / count as f64,
                    val_quality: if look { self.validate(objective)? } else { None },
                });
                (sum, count) = (0.0, 0);
                if look {
                    history::write(&history_path, &rows)?;
                    state::save(&state_path, self.text, done, network, &optimizer, objective)?;
                }
            }
        }
        progress(steps, steps);
        Ok(rows)
    }

    fn validate(&self, objective: &dyn Objective) -> Result<Option<f64>, TrainError> {
        let Some((images, judge)) = self.validation else {
            return Ok(None);
        };
        let product = objective.product(&self.start.network);
        quality(judge, product, images, &self.start.preprocessing, self.device).map(Some)
    }
}
