//! Building blocks that all settings share: train, choose a sparsity, prune, mine, evaluate.

use htl_mining::column::TRUE_ERROR;
use htl_vocabulary::{Setting, file, setting};

use super::lists::Lists;
use super::outline::SeedOutline;
use super::setting_plan::{Attending, Cycle, Key, Labels, Mining, Training};
use crate::plan::{HtlCall, Kind, Native, Plan, StageName, StageRef, Value};
use crate::profile::{Precision, Profile};

/// Work of a small stage, in supervised images.
pub(super) const SMALL: f64 = 20.;

/// Share of the images that a filtered cycle leaves out.
const LEFT_OUT: f64 = 0.3;

/// Doses of attention grow with this power of the rank.
const DOSE_POWER: f64 = 2.;

/// A training configuration, and what a step of it costs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    keys: Vec<(String, Value)>,
    image_steps: usize,
    step_cost: f64,
}

impl Config {
    /// Adds a key, or replaces it.
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        match self.keys.iter_mut().find(|(name, _)| name == key) {
            Some(entry) => entry.1 = value,
            None => self.keys.push((key.into(), value)),
        }
        self
    }

    /// Leaves a key out.
    pub fn without(mut self, key: &str) -> Self {
        self.keys.retain(|(name, _)| name != key);
        self
    }

    /// Images that the training sees, counted with repetition.
    pub fn image_steps(mut self, image_steps: usize) -> Self {
        self.image_steps = image_steps;
        self.with("image_steps", image_steps)
    }

    /// Images that the training sees, counted with repetition.
    pub fn images(&self) -> usize {
        self.image_steps
    }

    /// Work of the training, in supervised images.
    fn cost(&self) -> f64 {
        self.image_steps as f64 * self.step_cost + SMALL
    }
}

/// Dense trainings, their pruned copies and the sham.
pub(crate) struct Population {
    /// Trainings.
    pub dense: Vec<StageRef>,
    /// Pruned and fine-tuned.
    pub sparse: Vec<StageRef>,
    /// Fine-tuned alike at sparsity 0.
    pub sham: Vec<StageRef>,
}

/// Which images a mining looks at.
pub(crate) enum Images {
    /// The training images.
    Train,
    /// The training images outside a list, of which a set is selected.
    Except(Value),
    /// The training images outside a list, for their scores alone.
    Candidates(Value),
    /// The training images of a list, which the networks of this fold never saw.
    Fold(Value, u64),
    /// The test images.
    Test,
}

/// What forgetting curves are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Curve {
    /// Nothing: for selecting.
    Alone,
    /// Those with normalisation statistics estimated anew.
    Reestimated,
    /// Shams of the same dose: for an analysis.
    WithShams,
}

impl Curve {
    /// As `htl mine --curve` has it.
    fn word(self) -> &'static str {
        match self {
            Self::Alone => "raw",
            Self::Reestimated => "pruned",
            Self::WithShams => "all",
        }
    }

    /// Damaged copies per sparsity.
    pub fn passes(self) -> usize {
        match self {
            Self::Alone => 1,
            Self::Reestimated => 2,
            Self::WithShams => 6,
        }
    }
}

/// Whether a mining may read masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Masks {
    /// For the columns that need them.
    Read,
    /// Not at all.
    Ignore,
}

impl Images {
    /// The images that a setting mines, and whether their masks may be read.
    pub fn mined(mining: Mining, lists: &Lists) -> (Self, Masks) {
        match mining {
            Mining::WithMasks => (Self::Train, Masks::Read),
            Mining::LabelFree => (Self::Train, Masks::Ignore),
            Mining::Unlabelled => (Self::Except(lists.labelled()), Masks::Ignore),
        }
    }
}

/// Adds stages to a plan.
pub(crate) struct Builder<'a> {
    pub plan: &'a mut Plan,
    pub profile: &'a Profile,
    pub data: Value,
    /// Whether the data folder has a `metadata.csv`.
    pub metadata: bool,
    /// The first seed of every series of trainings.
    pub first_seed: u64,
    /// The test images that results are about; `None` for all.
    pub test_ids: Option<Value>,
}

impl Builder<'_> {
    /// The table of demographics: the data folder's `metadata.csv`, else one that knows nothing but ids.
    pub fn metadata(&mut self) -> Value {
        let data = self.data.clone();
        if self.metadata {
            return data.join(file::METADATA);
        }
        self.plan.native("metadata", Native::Ids { data }).file(file::METADATA)
    }

    /// The profile's configuration of a way of training.
    pub fn config(&self, training: &Training, lists: Option<&Lists>) -> Config {
        let config = Config {
            keys: Vec::new(),
            image_steps: 0,
            step_cost: training.cost,
        };
        let mut config = config
            .with("setting", training.setting.key)
            .with("data", self.data.clone())
            .with("size", self.profile.size)
            .with("width", self.profile.width)
            .with("batch", self.profile.batch)
            .image_steps(self.profile.image_steps)
            .with("learning_rate", self.profile.learning_rate)
            .with("validate_every", self.profile.validate_every);
        if self.profile.precision != Precision::F32 {
            // The usual precision is what `htl` does unasked: keys are the same as without the choice.
            config = config.with("precision", self.profile.precision.name());
        }
        config = self.network(config);
        if let Some(list) = lists.and_then(|lists| lists.of(training.labels)) {
            config = config.with("labelled", list);
        }
        let keys = training.keys.iter();
        keys.fold(config, |config, (key, value)| match value {
            Key::Word(word) => config.with(key, *word),
            Key::Number(number) => config.with(key, *number),
        })
    }

    /// The keys of the profile's network and recipe. What a training does unasked is not said: keys are the same as without.
    fn network(&self, mut config: Config) -> Config {
        let profile = self.profile;
        if profile.encoder != "plain" {
            config = config.with("network.encoder", profile.encoder.as_str());
        }
        if profile.decoder != "unet" {
            config = config.with("network.decoder", profile.decoder.as_str());
        }
        if let (Some(path), Some(sha256)) = (&profile.pretrained, &profile.pretrained_sha256) {
            config = config
                .with("network.pretrained", path.to_string_lossy().into_owned())
                .with("network.pretrained_sha256", sha256.as_str());
        }
        for (key, value) in &profile.recipe {
            let key = format!("recipe.{key}");
            config = match value {
                toml::Value::Integer(number) => config.with(&key, *number),
                toml::Value::Float(number) => config.with(&key, *number),
                other => config.with(&key, other.as_str().map_or_else(|| other.to_string(), str::to_owned)),
            };
        }
        config
    }

    /// The configuration of the fine-tuning that belongs to a training: from its network on, at the schedule of any.
    fn fine_tuning(&self, config: &Config) -> Config {
        config
            .clone()
            .without("network.pretrained")
            .without("network.pretrained_sha256")
            .image_steps(self.profile.fine_tune_steps)
            .with("learning_rate", self.profile.fine_tune_rate)
    }

    /// A training, continued where it was stopped.
    pub fn train(&mut self, series: &str, seed: u64, config: &Config) -> StageRef {
        let config = config.clone().with("seed", seed);
        let call = HtlCall::new("train")
            .config(&config.keys)
            .flag("--out", Value::Own(String::new()));
        let name = format!("{series}-{seed}");
        let name = StageName { series, name: &name };
        self.plan.call(name, Kind::Train, config.cost(), call)
    }

    /// One training per seed.
    pub fn train_seeds(&mut self, series: &str, config: &Config, seeds: u64) -> Vec<StageRef> {
        let seeds = self.first_seed..self.first_seed + seeds;
        seeds.map(|seed| self.train(series, seed, config)).collect()
    }

    /// The largest sparsity whose pruned and fine-tuned quality stays near the dense one.
    pub fn sparsity(&mut self, prefix: &str, dense: &StageRef, config: &Config) -> StageRef {
        let config = self.fine_tuning(config).with("seed", 0u64);
        let candidates: Vec<String> = self.profile.candidates.iter().map(f64::to_string).collect();
        // From the largest down to the first that is good enough.
        let cost = config.cost() * 2.;
        let call = HtlCall::new("sparsity")
            .flag("--checkpoint", dense.file(file::CHECKPOINT))
            .config(&config.keys)
            .flag("--method", self.profile.pruning.as_str())
            .flag("--candidates", candidates.join(","))
            .flag("--tolerance", self.profile.tolerance)
            .flag("--out", Value::Own(file::SPARSITY.into()));
        let name = format!("{prefix}/sparsity");
        self.plan.call(&name, Kind::Sparsity, cost, call)
    }

    /// Prunes and fine-tunes each dense training, and fine-tunes it unpruned as the sham.
    pub fn population(
        &mut self,
        prefix: &str,
        dense: Vec<StageRef>,
        config: &Config,
        sparsity: &StageRef,
    ) -> Population {
        let config = self.fine_tuning(config);
        let (mut sparse, mut sham) = (Vec::new(), Vec::new());
        for (seed, training) in (self.first_seed..).zip(&dense) {
            let call = HtlCall::new("prune")
                .flag("--checkpoint", training.file(file::CHECKPOINT))
                .flag("--method", self.profile.pruning.as_str())
                .flag("--sparsity", sparsity.number(file::SPARSITY, "sparsity"))
                .flag("--out", Value::Own(file::CHECKPOINT.into()));
            let (series, name) = (format!("{prefix}/pruned"), format!("{prefix}/pruned-{seed}"));
            let (series, name) = (series.as_str(), name.as_str());
            let pruned = self.plan.call(StageName { series, name }, Kind::Prune, SMALL, call);
            let from = |init: &StageRef| config.clone().with("init", init.file(file::CHECKPOINT));
            let (from_pruned, from_dense) = (from(&pruned), from(training));
            sparse.push(self.train(&format!("{prefix}/sparse"), seed, &from_pruned));
            sham.push(self.train(&format!("{prefix}/sham"), seed, &from_dense));
        }
        Population { dense, sparse, sham }
    }

    /// Scores of images.
    pub fn mine(
        &mut self,
        name: &str,
        setting: &Setting,
        population: &Population,
        images: Images,
        masks: Masks,
        curve: Curve,
    ) -> StageRef {
        let mut call = HtlCall::new("mine")
            .flags("--dense", checkpoints(&population.dense))
            .flags("--sparse", checkpoints(&population.sparse))
            .flags("--sham", checkpoints(&population.sham))
            .flag("--data", self.data.clone())
            .flag(
                "--split",
                if matches!(images, Images::Test) {
                    "test"
                } else {
                    "train"
                },
            )
            .flag("--setting", setting.key)
            .flag("--curve", curve.word())
            .flag("--curve-method", self.profile.pruning.as_str())
            .flag("--sparsities", self.profile.curve_text())
            .flag("--top", self.profile.top)
            .flag("--labels", if masks == Masks::Read { "masks" } else { "ignore" });
        call = match images {
            Images::Train | Images::Test => call,
            Images::Except(list) => call.flag("--exclude", list),
            Images::Candidates(list) => call.flag("--exclude", list).flag("--select", "none"),
            Images::Fold(list, fold) => call.flag("--fold", fold).flag("--ids", list),
        };
        call = call
            .flag("--out", Value::Own(file::SCORES.into()))
            .flag("--maps", Value::Own(file::MAPS.into()));
        let passes = 1 + population.dense.len() * (1 + curve.passes() * self.profile.curve.len());
        self.plan.call(name, Kind::Mine, SMALL * passes as f64, call)
    }

    /// Whom the networks of a population would refer of the test images, and what several of them are worth together.
    pub fn refer(&mut self, prefix: &str, population: &Population) -> StageRef {
        let call = HtlCall::new("refer")
            .flags("--dense", checkpoints(&population.dense))
            .flags("--sparse", checkpoints(&population.sparse))
            .flag("--data", self.data.clone())
            .flag("--split", "test")
            .flag("--sparsities", self.profile.curve_text())
            .flag("--out", Value::Own(String::new()));
        // Copies with either statistics, shams of the same dose, and eight views, on val and test images.
        let passes = population.dense.len() * (10 + 4 * self.profile.curve.len());
        self.plan
            .call(&format!("{prefix}/refer"), Kind::Analyze, SMALL * passes as f64, call)
    }

    /// Test results of a checkpoint.
    pub fn evaluate(&mut self, series: &str, seed: u64, training: &StageRef, threshold: Option<&str>) -> SeedOutline {
        let mut call = HtlCall::new("evaluate")
            .flag("--checkpoint", training.file(file::CHECKPOINT))
            .flag("--data", self.data.clone())
            .flag("--split", "test")
            .flag("--out", Value::Own(file::PER_IMAGE.into()));
        if let Some(threshold) = threshold {
            call = call.flag("--threshold", threshold);
        }
        if let Some(ids) = &self.test_ids {
            call = call.flag("--ids", ids.clone());
        }
        let name = format!("{series}-{seed}/test");
        let series = format!("{series}/test");
        let name = StageName {
            series: &series,
            name: &name,
        };
        let test = self.plan.call(name, Kind::Evaluate, SMALL, call);
        SeedOutline {
            seed,
            training: training.clone(),
            test,
        }
    }

    /// Test results of one training per seed.
    pub fn evaluate_seeds(
        &mut self,
        series: &str,
        trainings: &[StageRef],
        threshold: Option<&str>,
    ) -> Vec<SeedOutline> {
        (self.first_seed..)
            .zip(trainings)
            .map(|(seed, training)| self.evaluate(series, seed, training, threshold))
            .collect()
    }

    /// Trains and tests an arm.
    pub fn arm(&mut self, series: &str, config: &Config, seeds: u64) -> Vec<SeedOutline> {
        let trainings = self.train_seeds(series, config, seeds);
        self.evaluate_seeds(series, &trainings, None)
    }

    /// The same training with attention to the mined images.
    pub fn attending(&self, config: &Config, mined: &StageRef, attending: &Attending) -> Config {
        let config = config
            .clone()
            .with("attention.scores", mined.file(file::SCORES))
            .with("attention.set", attending.set)
            .with("attention.dose", "rank")
            .with("attention.power", DOSE_POWER)
            .with("attention.weight", self.profile.attention_weight);
        match attending.by {
            Some(score) => config.with("attention.by", score),
            None => config,
        }
    }

    /// The same training on the masks that the mined networks agree on.
    pub fn next_cycle(&mut self, prefix: &str, config: &Config, mined: &StageRef, cycle: Cycle) -> Config {
        let config = config.clone().with("pseudo.maps", mined.file(file::MAPS));
        match cycle {
            Cycle::Whole => config.with("pseudo.pixels", "all"),
            Cycle::Pixels(pixels) => config.with("pseudo.pixels", pixels),
            Cycle::Without(score) => without(config, score, mined),
            Cycle::RightImages => without(config, TRUE_ERROR, &self.truth(prefix, mined)),
            Cycle::RightPixels => config
                .with("pseudo.maps", self.truth(prefix, mined).file(file::MAPS))
                .with("pseudo.pixels", "agreed"),
        }
    }

    /// What is wrong with mined pseudo-masks.
    pub fn truth(&mut self, prefix: &str, mined: &StageRef) -> StageRef {
        let call = HtlCall::new("truth")
            .flag("--pseudo", mined.file(file::MAPS))
            .flag("--data", self.data.clone())
            .flag("--out", Value::Own(file::SCORES.into()))
            .flag("--maps", Value::Own(file::MAPS.into()));
        self.plan.call(&format!("{prefix}/truth"), Kind::Mine, SMALL, call)
    }

    /// The training that out-of-fold networks have: the supervised one, on the images of a list.
    pub fn fold_config(&self, list: Value) -> Config {
        self.config(&Training::of(setting::SUPERVISED), None)
            .with("labelled", list)
    }
}

/// A cycle without the images of the largest score in the table of a stage.
fn without(config: Config, score: &str, scores: &StageRef) -> Config {
    config
        .with("pseudo.pixels", "all")
        .with("pseudo.leave_out.by", score)
        .with("pseudo.leave_out.share", LEFT_OUT)
        .with("pseudo.leave_out.scores", scores.file(file::SCORES))
}

/// The networks of trainings.
fn checkpoints(stages: &[StageRef]) -> Vec<Value> {
    stages.iter().map(|stage| stage.file(file::CHECKPOINT)).collect()
}

impl Lists {
    /// The list that a training may use the labels of.
    fn of(&self, labels: Labels) -> Option<Value> {
        match labels {
            Labels::All => None,
            Labels::Listed => Some(self.labelled()),
            Labels::FirstHalf => Some(self.first_half()),
        }
    }
}
