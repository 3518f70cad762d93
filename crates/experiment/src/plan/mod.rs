//! The plan: what has to be done, in which order, and under which key each result is kept. Plain data: it is written to
//! `plan.json`, printed by `htl plan --json` and read by whoever runs a stage.

mod annotation;
mod call;
mod native;
mod value;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use htl_vocabulary::write_whole;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use call::{CONFIG, HtlCall};
pub use native::Native;
pub(crate) use native::{FIRST_HALF, GROUP, LIST_SIZES, concatenate, fold_file, half_file};
pub use value::{Place, Value};

use crate::ExperimentError;
use crate::data_state::data_state;
use crate::error::io;

/// Version of the format of `plan.json`.
pub const PLAN_VERSION: u32 = 1;

/// Name of the file in the folder of a run.
pub const PLAN_FILE: &str = "plan.json";

/// A stage of the plan, by its unique name, and the folder of its result.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRef {
    /// Its name.
    pub name: String,
    /// Folder relative to the output folder, `stages/<name>-<key>`.
    pub folder: String,
}

impl StageRef {
    /// A file of the stage, relative to the output folder.
    pub fn relative(&self, file: &str) -> String {
        format!("{}/{file}", self.folder)
    }

    /// A file of the stage as a value for another stage.
    pub fn file(&self, file: &str) -> Value {
        Value::Stage {
            stage: self.clone(),
            file: file.into(),
        }
    }

    /// A number that the stage writes to a JSON file.
    pub fn number(&self, file: &str, key: &str) -> Value {
        Value::FromJson {
            stage: self.clone(),
            file: file.into(),
            key: key.into(),
        }
    }
}

/// What a stage does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Calls `htl`.
    Htl(HtlCall),
    /// Does something small by itself.
    Native(Native),
}

impl Action {
    fn values(&self) -> Vec<&Value> {
        match self {
            Self::Htl(call) => call.values().collect(),
            Self::Native(native) => native.reads(),
        }
    }

    fn symbol(&self) -> String {
        match self {
            Self::Htl(call) => call.symbol(),
            Self::Native(native) => native.symbol(),
        }
    }
}

/// What kind of work a stage is: engines give resources by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Lists, copies and joins of tables.
    Prepare,
    /// A training.
    Train,
    /// The search of a sparsity: several fine-tunings.
    Sparsity,
    /// Weights set to zero.
    Prune,
    /// Scores of images by many networks.
    Mine,
    /// A choice of images to annotate.
    Query,
    /// Test results of one network.
    Evaluate,
    /// Rates by group.
    Analyze,
}

impl Kind {
    /// All kinds, in the order in which they come up.
    pub const ALL: [Self; 8] = [
        Self::Prepare,
        Self::Train,
        Self::Sparsity,
        Self::Prune,
        Self::Mine,
        Self::Query,
        Self::Evaluate,
        Self::Analyze,
    ];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Train => "train",
            Self::Sparsity => "sparsity",
            Self::Prune => "prune",
            Self::Mine => "mine",
            Self::Query => "query",
            Self::Evaluate => "evaluate",
            Self::Analyze => "analyze",
        }
    }

    /// What becomes of the folder of a stage that was stopped.
    pub fn unfinished(self) -> Unfinished {
        match self {
            Self::Train => Unfinished::Continue,
            _ => Unfinished::Restart,
        }
    }
}

/// What to do with the folder of a stage that was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// The command itself continues from what it finds there.
    Continue,
    /// Delete and start again.
    Restart,
}

/// One step of the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Unique and readable: `supervised/baseline-0`.
    pub name: String,
    /// `stages/<name>-<key>`, relative to the output folder.
    pub folder: String,
    /// What it has in common with stages that differ by their seed only: `supervised/baseline`.
    pub series: String,
    /// What kind of work it is.
    pub kind: Kind,
    /// Expected work, in images that a supervised training sees.
    pub cost: f64,
    /// Names of the stages whose files it reads.
    pub needs: Vec<String>,
    /// What it does.
    pub action: Action,
}

impl Stage {
    /// A reference to it.
    pub fn reference(&self) -> StageRef {
        StageRef {
            name: self.name.clone(),
            folder: self.folder.clone(),
        }
    }
}

/// The stages of a run, each after those it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_VERSION`] of the program that made it.
    pub version: u32,
    /// Hash of what determines every stage: data, program, device.
    pub base: String,
    /// The program that runs the stages, by its SHA-256.
    pub program: String,
    /// Device that networks run on, as `htl --device` takes it.
    pub device: String,
    /// The data folder.
    pub data: PathBuf,
    /// SHA-256 of its content.
    pub data_sha256: String,
    /// Names, sizes and times of its files when the plan was made, as one hash.
    pub data_state: String,
    /// In the order in which they were added.
    pub stages: Vec<Stage>,
}

/// What determines every stage of a plan.
#[derive(Debug, Clone)]
pub struct Base {
    /// The data folder.
    pub data: PathBuf,
    /// SHA-256 of its content.
    pub data_sha256: String,
    /// SHA-256 of the program.
    pub program: String,
    /// Device that networks run on.
    pub device: String,
}

/// The beginning of a stage's name and where it stands in a series of seeds.
#[derive(Debug, Clone, Copy)]
pub struct StageName<'a> {
    /// What its series is called.
    pub series: &'a str,
    /// Its own name.
    pub name: &'a str,
}

impl<'a> From<&'a str> for StageName<'a> {
    fn from(name: &'a str) -> Self {
        Self { series: name, name }
    }
}

impl<'a> From<&'a String> for StageName<'a> {
    fn from(name: &'a String) -> Self {
        Self { series: name, name }
    }
}

impl Plan {
    /// A plan without stages.
    pub fn new(base: Base) -> Self {
        let Base {
            data,
            data_sha256,
            program,
            device,
        } = base;
        let key = Sha256::digest(format!("{data_sha256}:{program}:{device}"));
        Self {
            version: PLAN_VERSION,
            base: hex(&key),
            program,
            device,
            data_state: data_state(&data),
            data,
            data_sha256,
            stages: Vec::new(),
        }
    }

    /// Adds a stage. Its key follows from `action`; a stage that does what an earlier one does is that one.
    ///
    /// # Panics
    /// If there is a stage of that name: a defect of whoever plans.
    pub fn add<'a>(&mut self, name: impl Into<StageName<'a>>, kind: Kind, cost: f64, action: Action) -> StageRef {
        let StageName { series, name } = name.into();
        assert!(self.stage(name).is_none(), "two stages are called `{name}`");
        let mut hasher = Sha256::new();
        hasher.update(self.base.as_bytes());
        hasher.update([0]);
        hasher.update(action.symbol().as_bytes());
        let key = hex(&hasher.finalize()[..6]);
        let same = |stage: &&Stage| stage.folder.ends_with(&format!("-{key}")) && stage.action == action;
        if let Some(stage) = self.stages.iter().find(same) {
            return stage.reference();
        }
        let folder = format!("stages/{}-{key}", name.replace('/', "_"));
        let needs: BTreeSet<&str> = action
            .values()
            .into_iter()
            .filter_map(Value::stage)
            .map(|stage| stage.name.as_str())
            .collect();
        let stage = Stage {
            name: name.into(),
            folder,
            series: series.into(),
            kind,
            cost,
            needs: needs.into_iter().map(String::from).collect(),
            action,
        };
        let reference = stage.reference();
        self.stages.push(stage);
        reference
    }

    /// Adds a call of `htl`.
    pub fn call<'a>(&mut self, name: impl Into<StageName<'a>>, kind: Kind, cost: f64, call: HtlCall) -> StageRef {
        self.add(name, kind, cost, Action::Htl(call))
    }

    /// Adds a small stage of its own.
    pub fn native<'a>(&mut self, name: impl Into<StageName<'a>>, native: Native) -> StageRef {
        self.add(name, Kind::Prepare, 0.1, Action::Native(native))
    }

    /// The stage of that name.
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// Keeps these stages and those they need, and forgets every other one.
    pub fn keep(&mut self, goals: &BTreeSet<String>) {
        let mut kept = goals.clone();
        // Stages need earlier ones only.
        for stage in self.stages.iter().rev() {
            if kept.contains(&stage.name) {
                kept.extend(stage.needs.iter().cloned());
            }
        }
        self.stages.retain(|stage| kept.contains(&stage.name));
    }

    /// Positions of the stages that each stage needs.
    pub fn dependencies(&self) -> Vec<Vec<usize>> {
        let position = |name: &String| self.stages.iter().position(|stage| stage.name == *name);
        self.stages
            .iter()
            .map(|stage| stage.needs.iter().filter_map(position).collect())
            .collect()
    }

    /// Writes `plan.json` into the folder of a run.
    ///
    /// # Errors
    /// [`ExperimentError::Io`].
    pub fn write(&self, out: &Path) -> Result<(), ExperimentError> {
        let path = out.join(PLAN_FILE);
        write_whole(&path, self.to_json()).map_err(ExperimentError::NotWritten)
    }

    /// The plan as indented JSON.
    pub fn to_json(&self) -> String {
        // Plain structs with string keys and finite numbers always serialise.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Reads the plan of a run.
    ///
    /// # Errors
    /// [`ExperimentError::Plan`] if there is none, or one of another version, with what to do.
    pub fn read(out: &Path) -> Result<Self, ExperimentError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let path = out.join(PLAN_FILE);
        let wrong = |reason: String| ExperimentError::Plan {
            path: path.clone(),
            reason,
        };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(wrong(
                    "there is no plan: is this the --out folder of `htl reproduce`, and does this machine see it?"
                        .into(),
                ));
            }
            Err(error) => return Err(io(&path, "read")(error)),
        };
        let Version { version } = serde_json::from_str(&text).map_err(|error| wrong(format!("not a plan: {error}")))?;
        if version != PLAN_VERSION {
            return Err(wrong(format!(
                "this plan has version {version}, this htl reads version {PLAN_VERSION}: run `htl reproduce` again, which \
                 plans anew and keeps what is finished"
            )));
        }
        serde_json::from_str(&text).map_err(|error| wrong(format!("not a plan: {error}")))
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plan without stages, of nothing in particular.
    pub(crate) fn empty(base: &str) -> Plan {
        Plan::new(Base {
            data: "/data".into(),
            data_sha256: base.into(),
            program: "program".into(),
            device: "cpu".into(),
        })
    }

    fn chain(base: &str, seed: u64) -> Vec<String> {
        let mut plan = empty(base);
        let train = HtlCall::new("train").flag("--seed", seed);
        let first = plan.call("first", Kind::Train, 1., train);
        let evaluate = HtlCall::new("evaluate").flag("--checkpoint", first.file("checkpoint.safetensors"));
        plan.call("second", Kind::Evaluate, 1., evaluate);
        plan.stages.into_iter().map(|stage| stage.folder).collect()
    }

    /// What two arms have in common is done once.
    #[test]
    fn a_stage_that_does_the_same_is_the_same() {
        let mut plan = empty("base");
        let train = |seed: u64| HtlCall::new("train").flag("--seed", seed);
        let first = plan.call("first", Kind::Train, 1., train(0));
        assert_eq!(plan.call("again", Kind::Train, 1., train(0)), first);
        assert_ne!(plan.call("other", Kind::Train, 1., train(1)), first);
        assert_eq!(plan.stages.len(), 2);
    }

    /// What an earlier stage depends on changes the folder of the later one; nothing else does.
    #[test]
    fn keys_follow_content() {
        assert_eq!(chain("data", 1), chain("data", 1));
        let (a, b) = (chain("data", 1), chain("data", 2));
        assert!(a[0] != b[0] && a[1] != b[1]);
        assert_ne!(chain("data", 1)[1], chain("other data", 1)[1]);
    }

    /// Dependencies are read off the values; paths are filled in where the run happens.
    #[test]
    fn values_resolve_where_the_run_is() {
        let mut plan = empty("");
        let data = Value::Data(String::new());
        let first = plan.native("first", Native::Folds { data: data.clone() });
        let call = HtlCall::new("train")
            .config(&[
                ("seed".into(), 3u64.into()),
                ("data".into(), data),
                ("attention.scores".into(), first.file("scores.csv")),
            ])
            .flag("--out", Value::Own(String::new()));
        plan.call("second", Kind::Train, 1., call.clone());
        assert_eq!(plan.stages[1].needs, ["first"]);
        let place = Place {
            out: Path::new("/o"),
            data: Path::new("/data"),
            own: Path::new("/o/own"),
        };
        let (args, config) = call.resolve(place).unwrap();
        assert_eq!(args, ["train", "--config", "/o/own/stage.toml", "--out", "/o/own"]);
        let config: toml::Table = config.unwrap().parse().unwrap();
        assert_eq!(config["seed"].as_integer(), Some(3));
        assert_eq!(config["data"].as_str(), Some("/data"));
        let scores = format!("/o/{}/scores.csv", first.folder);
        assert_eq!(config["attention"]["scores"].as_str(), Some(scores.as_str()));
    }

    /// A plan is data: it comes back from its file; one of another version says what to do.
    #[test]
    fn plans_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let message = Plan::read(folder.path()).unwrap_err().to_string();
        assert!(message.contains("no plan"), "{message}");
        let mut plan = empty("base");
        plan.native("first", Native::Folds { data: "x".into() });
        plan.write(folder.path()).unwrap();
        assert_eq!(Plan::read(folder.path()).unwrap(), plan);
        plan.version = 99;
        plan.write(folder.path()).unwrap();
        let message = Plan::read(folder.path()).unwrap_err().to_string();
        assert!(message.contains("99") && message.contains("htl reproduce"), "{message}");
    }
}
