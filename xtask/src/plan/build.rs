//! Building blocks all settings share: train, choose a sparsity, prune, mine, evaluate.

use super::checkpoints;
use crate::profile::{Precision, Profile};
use crate::run_file::{ArmSeed, Setting};
use crate::stage::{Action, HtlCall, Plan, StageRef, Unfinished, Value};
use std::collections::BTreeMap;

/// Files `htl` writes.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
pub const HISTORY: &str = "history.csv";
pub const SCORES: &str = "scores.csv";
pub const MAPS: &str = "maps.safetensors";
pub const SPARSITY: &str = "sparsity.json";
pub const PER_IMAGE: &str = "per_image.csv";
const METADATA: &str = "metadata.csv";
pub const SUMMARY: &str = "summary.json";

/// A training configuration.
#[derive(Clone)]
pub struct Config(pub Vec<(String, Value)>);

impl Config {
    /// Adds a key, or replaces it.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some(entry) => entry.1 = value,
            None => self.0.push((key.into(), value)),
        }
        self
    }
}

/// Dense trainings, their pruned copies and the sham.
pub struct Population {
    /// Trainings.
    pub dense: Vec<StageRef>,
    /// Pruned and fine-tuned.
    pub sparse: Vec<StageRef>,
    /// Fine-tuned alike at sparsity 0.
    pub sham: Vec<StageRef>,
}

/// Which images a mining looks at.
#[derive(Default)]
pub struct Mining {
    /// Only those of this list.
    pub only: Option<Value>,
    /// None of this list.
    pub except: Option<Value>,
    /// Number of the fold, for networks that never saw these images.
    pub fold: Option<u64>,
    /// Look at the test images instead of the training images.
    pub test: bool,
}

/// A setting as planned.
pub struct PlannedSetting {
    pub arms: BTreeMap<String, Vec<ArmSeed>>,
    pub compare: Vec<[String; 2]>,
    pub mined: StageRef,
    pub test_mined: StageRef,
    pub sparsity: StageRef,
}

impl PlannedSetting {
    /// As `run.json` has it.
    pub fn into_run_file(self) -> Setting {
        Setting {
            arms: self.arms,
            compare: self.compare,
            scores: self.mined.relative(SCORES),
            sparsity: self.sparsity.relative(SPARSITY),
            maps: self.mined.relative(MAPS),
            test_scores: self.test_mined.relative(SCORES),
        }
    }
}

/// Pairs of arms from their names.
pub fn pairs(pairs: &[[&str; 2]]) -> Vec<[String; 2]> {
    pairs.iter().map(|pair| pair.map(String::from)).collect()
}

/// Adds stages to a plan.
pub struct Builder<'a> {
    pub plan: &'a mut Plan,
    pub profile: &'a Profile,
    pub data: Value,
    /// Whether the data folder has a `metadata.csv`.
    pub metadata: bool,
}

impl Builder<'_> {
    /// The table of demographics: the data folder's `metadata.csv`, else one that knows nothing but ids.
    pub fn metadata(&mut self) -> Value {
        let data = self.data.clone();
        if self.metadata {
            return match data {
                Value::Stage { stage, file } => Value::Stage {
                    stage,
                    file: join(&file, METADATA),
                },
                Value::Data { folder, file } => Value::Data {
                    folder,
                    file: join(&file, METADATA),
                },
                other => other,
            };
        }
        let stage = self
            .plan
            .native("metadata", "ids only v1", vec![data.clone()], move |place| {
                let mut text = String::from("image_id,split,age_approx,sex,anatom_site,dx\n");
                for row in crate::data::rows(&place.path(&data)?)? {
                    text.push_str(&format!("{},{},,,,\n", row.image_id, row.split));
                }
                crate::workspace::write_whole(&place.folder.join(METADATA), text)
            });
        stage.file(METADATA)
    }

    /// The profile's configuration for a setting.
    pub fn config(&self, setting: &str) -> Config {
        let config = Config(Vec::new())
            .with("setting", setting)
            .with("data", self.data.clone())
            .with("size", self.profile.size)
            .with("width", self.profile.width)
            .with("batch", self.profile.batch)
            .with("image_steps", self.profile.image_steps)
            .with("learning_rate", self.profile.learning_rate)
            .with("validate_every", self.profile.validate_every);
        match self.profile.precision {
            // What `htl` does unasked, so that keys are the same as without the choice.
            Precision::F32 => config,
            other => config.with("precision", other.name()),
        }
    }

    /// The configuration of the fine-tuning that belongs to a training.
    pub fn fine_tuning(&self, config: &Config) -> Config {
        config
            .clone()
            .with("image_steps", self.profile.fine_tune_steps)
            .with("learning_rate", self.profile.fine_tune_rate)
    }

    /// The same training with attention to a set of the mined images.
    fn attending(&self, config: &Config, mined: &StageRef, set: &str) -> Config {
        config
            .clone()
            .with("attention.scores", mined.file(SCORES))
            .with("attention.set", set)
            .with("attention.form", "sampling")
            .with("attention.weight", self.profile.attention_weight)
    }

    /// Work of a training, in supervised images.
    fn cost(&self, config: &Config) -> f64 {
        let get = |key: &str| config.0.iter().find(|(name, _)| name == key).map(|(_, value)| value);
        let steps = match get("image_steps") {
            Some(Value::Integer(steps)) => *steps as f64,
            _ => self.profile.image_steps as f64,
        };
        let share = match get("setting") {
            Some(Value::Text(setting)) if setting == "semi-supervised" => 2.5,
            Some(Value::Text(setting)) if setting == "weakly-supervised" => 0.5,
            _ => 1.,
        };
        steps * share + self.small()
    }

    /// Work of a small stage, in supervised images.
    fn small(&self) -> f64 {
        20.
    }

    /// A training, continued where it was stopped.
    pub fn train(&mut self, name: &str, config: &Config) -> StageRef {
        let cost = self.cost(config);
        let call = HtlCall::new("train")
            .config(&config.0)
            .flag("--out", Value::Own(String::new()));
        self.plan.add(name, cost, Unfinished::Continue, Action::Htl(call))
    }

    /// One training per seed, called `<name>-<seed>`.
    pub fn train_seeds(&mut self, name: &str, config: &Config, seeds: u64) -> Vec<StageRef> {
        super::seeds(seeds)
            .map(|seed| self.train(&format!("{name}-{seed}"), &config.clone().with("seed", seed)))
            .collect()
    }

    /// The largest sparsity whose pruned and fine-tuned quality stays near the dense one.
    pub fn sparsity(&mut self, name: &str, dense: &StageRef, config: &Config) -> StageRef {
        let config = self.fine_tuning(config).with("seed", 0u64);
        let candidates: Vec<String> = self.profile.candidates.iter().map(f64::to_string).collect();
        // From the largest down to the first that is good enough.
        let cost = self.cost(&config) * 2.;
        let call = HtlCall::new("sparsity")
            .flag("--checkpoint", dense.file(CHECKPOINT))
            .config(&config.0)
            .flag("--candidates", candidates.join(","))
            .flag("--tolerance", self.profile.tolerance)
            .flag("--out", Value::Own(SPARSITY.into()));
        self.plan.call(&format!("{name}/sparsity"), cost, call)
    }

    /// Prunes and fine-tunes each dense training, and fine-tunes it unpruned as the sham.
    pub fn population(&mut self, name: &str, dense: Vec<StageRef>, config: &Config, sparsity: &StageRef) -> Population {
        let config = self.fine_tuning(config);
        let (mut sparse, mut sham) = (Vec::new(), Vec::new());
        for (seed, training) in dense.iter().enumerate() {
            let call = HtlCall::new("prune")
                .flag("--checkpoint", training.file(CHECKPOINT))
                .flag("--method", "global-magnitude")
                .flag("--sparsity", sparsity.number(SPARSITY, "sparsity"))
                .flag("--out", Value::Own(CHECKPOINT.into()));
            let cost = self.small();
            let pruned = self.plan.call(&format!("{name}/pruned-{seed}"), cost, call);
            let config = config.clone().with("seed", seed);
            let from = |init: &StageRef| config.clone().with("init", init.file(CHECKPOINT));
            let (from_pruned, from_dense) = (from(&pruned), from(training));
            sparse.push(self.train(&format!("{name}/sparse-{seed}"), &from_pruned));
            sham.push(self.train(&format!("{name}/sham-{seed}"), &from_dense));
        }
        Population { dense, sparse, sham }
    }

    /// Scores of the training images.
    pub fn mine(&mut self, name: &str, setting: &str, population: &Population, mining: Mining) -> StageRef {
        let mut call = HtlCall::new("mine")
            .flags("--dense", checkpoints(&population.dense))
            .flags("--sparse", checkpoints(&population.sparse))
            .flags("--sham", checkpoints(&population.sham))
            .flag("--data", self.data.clone())
            .flag("--split", if mining.test { "test" } else { "train" })
            .flag("--setting", setting)
            .flag("--top", self.profile.top);
        // Only here are the masks of the scored images labels that the setting has.
        let labels = if setting == "supervised" && !mining.test {
            "masks"
        } else {
            "ignore"
        };
        call = call.flag("--labels", labels);
        if let Some(fold) = mining.fold {
            call = call.flag("--fold", fold);
        }
        if let Some(only) = mining.only {
            call = call.flag("--ids", only);
        }
        if let Some(except) = mining.except {
            call = call.flag("--exclude", except);
        }
        call = call
            .flag("--out", Value::Own(SCORES.into()))
            .flag("--maps", Value::Own(MAPS.into()));
        let cost = self.small() * (1 + population.dense.len()) as f64;
        self.plan.call(name, cost, call)
    }

    /// Scores of the test images, for results on the hard ones among them.
    pub fn mine_test(&mut self, setting: &str, population: &Population) -> StageRef {
        let mining = Mining {
            test: true,
            ..Mining::default()
        };
        self.mine(&format!("{setting}/mine-test"), setting, population, mining)
    }

    /// Test results of a checkpoint.
    pub fn evaluate(&mut self, name: &str, seed: u64, training: &StageRef, threshold: Option<&str>) -> ArmSeed {
        let mut call = HtlCall::new("evaluate")
            .flag("--checkpoint", training.file(CHECKPOINT))
            .flag("--data", self.data.clone())
            .flag("--split", "test")
            .flag("--out", Value::Own(PER_IMAGE.into()));
        if let Some(threshold) = threshold {
            call = call.flag("--threshold", threshold);
        }
        let cost = self.small();
        let evaluated = self.plan.call(&format!("{name}-{seed}/test"), cost, call);
        ArmSeed {
            seed,
            folder: training.folder.clone(),
            per_image: evaluated.relative(PER_IMAGE),
            summary: evaluated.relative(SUMMARY),
            history: Some(training.relative(HISTORY)),
        }
    }

    /// Test results of one training per seed.
    pub fn evaluate_seeds(&mut self, name: &str, trainings: &[StageRef]) -> Vec<ArmSeed> {
        super::seeds(trainings.len() as u64)
            .zip(trainings)
            .map(|(seed, training)| self.evaluate(name, seed, training, None))
            .collect()
    }

    /// Trains and tests an arm.
    pub fn arm(&mut self, name: &str, config: &Config, seeds: u64) -> Vec<ArmSeed> {
        let trainings = self.train_seeds(name, config, seeds);
        self.evaluate_seeds(name, &trainings)
    }

    /// Adds the arms that attend to the mined images: `htl`, and its control `random`.
    pub fn attended_arms(
        &mut self,
        arms: &mut BTreeMap<String, Vec<ArmSeed>>,
        setting: &str,
        config: &Config,
        mined: &StageRef,
        seeds: u64,
    ) {
        for arm in ["htl", "random"] {
            let config = self.attending(config, mined, arm);
            arms.insert(arm.into(), self.arm(&format!("{setting}/{arm}"), &config, seeds));
        }
    }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        name.into()
    } else {
        format!("{folder}/{name}")
    }
}
