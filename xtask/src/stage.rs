//! Stages: what has to be done, in which order, and under which key the result is kept.
//!
//! A stage's key is the hash of everything that determines its result: what it runs, the keys of the stages it reads, the
//! data and the `htl` binary. Its folder carries the key, so a finished folder is never out of date.

use crate::workspace::hex;
use anyhow::{Context as _, Result};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A stage already in the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRef {
    /// Position in the plan.
    pub index: usize,
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

    /// A number another stage writes to a JSON file.
    pub fn number(&self, file: &str, key: &str) -> Value {
        Value::FromJson {
            stage: self.clone(),
            file: file.into(),
            key: key.into(),
        }
    }
}

/// An argument or configuration value. Paths stay symbolic until the stage runs, so that keys do not depend on where
/// the output folder lies.
#[derive(Debug, Clone)]
pub enum Value {
    /// As it is.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A real number.
    Float(f64),
    /// A file (or with "" the folder) of an earlier stage.
    Stage { stage: StageRef, file: String },
    /// A file (or with "" the folder) outside the output folder; its content is part of the plan's base hash.
    Data { folder: PathBuf, file: String },
    /// A file (or with "" the folder) of the stage itself.
    Own(String),
    /// A number an earlier stage found.
    FromJson { stage: StageRef, file: String, key: String },
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}
impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}
impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Integer(number as i64)
    }
}
impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Integer(number as i64)
    }
}

impl Value {
    fn stage(&self) -> Option<&StageRef> {
        match self {
            Self::Stage { stage, .. } | Self::FromJson { stage, .. } => Some(stage),
            _ => None,
        }
    }

    /// How the value enters the key.
    fn symbol(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => format!("{number:?}"),
            Self::Stage { stage, file } => format!("<{}/{file}>", stage.folder),
            Self::Data { file, .. } => format!("<data/{file}>"),
            Self::Own(file) => format!("<own/{file}>"),
            Self::FromJson { stage, file, key } => format!("<{}/{file}:{key}>", stage.folder),
        }
    }

    /// The value with its paths filled in. `own` is the folder of the running stage.
    fn resolve(&self, out: &Path, own: &Path) -> Result<toml::Value> {
        let path = |folder: &Path, file: &str| {
            let path = if file.is_empty() {
                folder.to_path_buf()
            } else {
                folder.join(file)
            };
            toml::Value::String(path.to_string_lossy().into_owned())
        };
        Ok(match self {
            Self::Text(text) => toml::Value::String(text.clone()),
            Self::Integer(number) => toml::Value::Integer(*number),
            Self::Float(number) => toml::Value::Float(*number),
            Self::Stage { stage, file } => path(&out.join(&stage.folder), file),
            Self::Data { folder, file } => path(folder, file),
            Self::Own(file) => path(own, file),
            Self::FromJson { stage, file, key } => {
                let path = out.join(&stage.folder).join(file);
                let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let json: serde_json::Value =
                    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
                let number = &json[key.as_str()];
                number
                    .as_i64()
                    .map(toml::Value::Integer)
                    .or_else(|| number.as_f64().map(toml::Value::Float))
                    .with_context(|| format!("{} has no number `{key}`", path.display()))?
            }
        })
    }
}

/// A call of `htl`, with the configuration file it reads, if any.
#[derive(Debug, Clone, Default)]
pub struct HtlCall {
    args: Vec<Value>,
    config: Vec<(String, Value)>,
}

/// Name of the configuration file a stage writes for `htl`.
pub const CONFIG: &str = "stage.toml";

impl HtlCall {
    /// `htl <command>`.
    pub fn new(command: &str) -> Self {
        Self {
            args: vec![command.into()],
            config: Vec::new(),
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, value: impl Into<Value>) -> Self {
        self.args.push(value.into());
        self
    }

    /// Adds `--name value`.
    pub fn flag(self, name: &str, value: impl Into<Value>) -> Self {
        self.arg(name).arg(value)
    }

    /// Adds `--name value...`, nothing when there is no value.
    pub fn flags(mut self, name: &str, values: Vec<Value>) -> Self {
        if !values.is_empty() {
            self.args.push(name.into());
            self.args.extend(values);
        }
        self
    }

    /// Writes these settings to the stage's folder and passes them as `--config`. A key `a.b` is `b` in the table `[a]`.
    pub fn config(mut self, settings: &[(String, Value)]) -> Self {
        self.config = settings.to_vec();
        self.flag("--config", Value::Own(CONFIG.into()))
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        self.args.iter().chain(self.config.iter().map(|(_, value)| value))
    }

    fn symbol(&self) -> String {
        let args: Vec<String> = self.args.iter().map(Value::symbol).collect();
        let config: Vec<String> = self
            .config
            .iter()
            .map(|(key, value)| format!("{key}={}", value.symbol()))
            .collect();
        format!("htl {}\n{}", args.join(" "), config.join("\n"))
    }

    /// The arguments with all paths filled in, and the configuration file's text.
    pub fn resolve(&self, out: &Path, own: &Path) -> Result<(Vec<String>, Option<String>)> {
        let mut args = Vec::with_capacity(self.args.len());
        for value in &self.args {
            args.push(match value.resolve(out, own)? {
                toml::Value::String(text) => text,
                other => other.to_string(),
            });
        }
        if self.config.is_empty() {
            return Ok((args, None));
        }
        let mut root = toml::Table::new();
        for (key, value) in &self.config {
            let value = value.resolve(out, own)?;
            match key.split_once('.') {
                None => drop(root.insert(key.clone(), value)),
                Some((table, key)) => {
                    let inner = root
                        .entry(table)
                        .or_insert_with(|| toml::Value::Table(toml::Table::new()));
                    if let Some(inner) = inner.as_table_mut() {
                        inner.insert(key.into(), value);
                    }
                }
            }
        }
        Ok((
            args,
            Some(toml::to_string(&root).context("cannot write the configuration as TOML")?),
        ))
    }
}

/// Where a native stage works.
pub struct Place<'a> {
    /// The output folder of the whole run.
    pub out: &'a Path,
    /// The stage's own folder, renamed when it is done.
    pub folder: &'a Path,
}

impl Place<'_> {
    /// The path behind a value.
    pub fn path(&self, value: &Value) -> Result<PathBuf> {
        match value.resolve(self.out, self.folder)? {
            toml::Value::String(path) => Ok(PathBuf::from(path)),
            other => anyhow::bail!("`{other}` is not a path"),
        }
    }
}

/// What a native stage does.
pub type Native = Box<dyn Fn(&Place) -> Result<()> + Send + Sync>;

/// What a stage does.
pub enum Action {
    /// Calls `htl`.
    Htl(HtlCall),
    /// Does something small by itself, from the values it names.
    Native {
        /// What it does, with its version and parameters: all that determines its result beside `reads`.
        description: String,
        /// What it reads.
        reads: Vec<Value>,
        /// How.
        run: Native,
    },
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
pub struct Stage {
    /// Unique, readable.
    pub name: String,
    /// `stages/<name>-<key>`.
    pub folder: String,
    /// Stages whose files it reads.
    pub needs: Vec<usize>,
    /// Expected work, in any unit common to all stages.
    pub cost: f64,
    /// After an interruption.
    pub unfinished: Unfinished,
    /// What it does.
    pub action: Action,
}

/// The stages of a run, each after those it needs.
pub struct Plan {
    base: String,
    /// In the order in which they were added.
    pub stages: Vec<Stage>,
    names: BTreeSet<String>,
}

impl Plan {
    /// `base` is the hash of what determines every stage: data, binary, device.
    pub fn new(base: String) -> Self {
        Self {
            base,
            stages: Vec::new(),
            names: BTreeSet::new(),
        }
    }

    /// Adds a stage. Its key follows from `action`.
    pub fn add(&mut self, name: &str, cost: f64, unfinished: Unfinished, action: Action) -> StageRef {
        assert!(self.names.insert(name.into()), "two stages are called `{name}`");
        let (symbol, needs): (String, BTreeSet<usize>) = match &action {
            Action::Htl(call) => (
                call.symbol(),
                call.values()
                    .filter_map(Value::stage)
                    .map(|stage| stage.index)
                    .collect(),
            ),
            Action::Native { description, reads, .. } => {
                let symbols: Vec<String> = reads.iter().map(Value::symbol).collect();
                (
                    format!("native {description}\n{}", symbols.join("\n")),
                    reads.iter().filter_map(Value::stage).map(|stage| stage.index).collect(),
                )
            }
        };
        let mut hasher = Sha256::new();
        hasher.update(self.base.as_bytes());
        hasher.update([0]);
        hasher.update(symbol.as_bytes());
        let key = hex(&hasher.finalize()[..6]);
        let folder = format!("stages/{}-{key}", name.replace('/', "_"));
        let index = self.stages.len();
        self.stages.push(Stage {
            name: name.into(),
            folder: folder.clone(),
            needs: needs.into_iter().collect(),
            cost,
            unfinished,
            action,
        });
        StageRef { index, folder }
    }

    /// Forgets every stage but these and those they need; gives the old positions of what is left.
    pub fn keep(&mut self, goals: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut kept = goals.clone();
        // Stages need earlier ones only.
        for index in (0..self.stages.len()).rev() {
            if kept.contains(&index) {
                kept.extend(&self.stages[index].needs);
            }
        }
        let place: BTreeMap<usize, usize> = kept.iter().enumerate().map(|(new, old)| (*old, new)).collect();
        let mut index = 0;
        self.stages.retain(|_| {
            index += 1;
            kept.contains(&(index - 1))
        });
        for stage in &mut self.stages {
            stage.needs = stage.needs.iter().filter_map(|old| place.get(old).copied()).collect();
        }
        kept
    }

    /// Adds a call of `htl` that starts again when it was stopped.
    pub fn call(&mut self, name: &str, cost: f64, call: HtlCall) -> StageRef {
        self.add(name, cost, Unfinished::Restart, Action::Htl(call))
    }

    /// Adds a stage that xtask does itself.
    pub fn native(
        &mut self,
        name: &str,
        description: impl Into<String>,
        reads: Vec<Value>,
        run: impl Fn(&Place) -> Result<()> + Send + Sync + 'static,
    ) -> StageRef {
        let action = Action::Native {
            description: description.into(),
            reads,
            run: Box::new(run),
        };
        self.add(name, 0.1, Unfinished::Restart, action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(base: &str, seed: u64) -> Vec<String> {
        let mut plan = Plan::new(base.into());
        let first = plan.call("first", 1., HtlCall::new("train").flag("--seed", seed));
        plan.call(
            "second",
            1.,
            HtlCall::new("evaluate").flag("--checkpoint", first.file("checkpoint.safetensors")),
        );
        plan.stages.into_iter().map(|stage| stage.folder).collect()
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
        let mut plan = Plan::new(String::new());
        let first = plan.native("first", "v1", vec![], |_| Ok(()));
        let call = HtlCall::new("train")
            .config(&[
                ("seed".into(), 3u64.into()),
                ("attention.scores".into(), first.file("scores.csv")),
            ])
            .flag("--out", Value::Own(String::new()));
        let second = plan.call("second", 1., call.clone());
        assert_eq!(plan.stages[second.index].needs, [0]);
        let (args, config) = call.resolve(Path::new("/o"), Path::new("/o/own")).unwrap();
        assert_eq!(args, ["train", "--config", "/o/own/stage.toml", "--out", "/o/own"]);
        assert_eq!(
            config.unwrap(),
            format!("seed = 3\n\n[attention]\nscores = \"/o/{}/scores.csv\"\n", first.folder)
        );
    }
}
