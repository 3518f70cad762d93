use serde::{Deserialize, Serialize};

use super::value::{Place, Value};
use crate::ExperimentError;

/// A call of `htl`, with the configuration file it reads, if any.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HtlCall {
    args: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
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

    /// The command.
    pub fn command(&self) -> &str {
        match self.args.first() {
            Some(Value::Text(command)) => command,
            _ => "",
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

    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.args.iter().chain(self.config.iter().map(|(_, value)| value))
    }

    pub(super) fn symbol(&self) -> String {
        let args: Vec<String> = self.args.iter().map(Value::symbol).collect();
        let config: Vec<String> = self
            .config
            .iter()
            .map(|(key, value)| format!("{key}={}", value.symbol()))
            .collect();
        format!("htl {}\n{}", args.join(" "), config.join("\n"))
    }

    /// The arguments with all paths filled in, and the configuration file's text.
    ///
    /// # Errors
    /// Those of values that earlier stages should have written.
    pub fn resolve(&self, place: Place<'_>) -> Result<(Vec<String>, Option<String>), ExperimentError> {
        let mut args = Vec::with_capacity(self.args.len());
        for value in &self.args {
            args.push(match value.resolve(place)? {
                toml::Value::String(text) => text,
                other => other.to_string(),
            });
        }
        if self.config.is_empty() {
            return Ok((args, None));
        }
        let mut root = toml::Table::new();
        for (key, value) in &self.config {
            insert(&mut root, key, value.resolve(place)?);
        }
        let text = toml::to_string(&root).map_err(|error| ExperimentError::Value {
            path: place.own.join(CONFIG),
            reason: error.to_string(),
        })?;
        Ok((args, Some(text)))
    }
}

impl HtlCall {
    /// The configuration with stand-ins for what earlier stages will have made: whether it makes sense can be checked before
    /// anything runs.
    pub fn draft(&self) -> toml::Table {
        let mut root = toml::Table::new();
        for (key, value) in &self.config {
            let value = match value {
                Value::Text(text) => text.clone().into(),
                Value::Integer(number) => (*number).into(),
                Value::Float(number) => (*number).into(),
                Value::FromJson { .. } => 1.0.into(),
                path => path.symbol().into(),
            };
            insert(&mut root, key, value);
        }
        root
    }
}

/// Puts a value under a dotted key: every part but the last is a section.
fn insert(table: &mut toml::Table, key: &str, value: toml::Value) {
    let Some((section, rest)) = key.split_once('.') else {
        table.insert(key.into(), value);
        return;
    };
    let inner = table
        .entry(section)
        .or_insert_with(|| toml::Value::Table(toml::Table::new()));
    if let Some(inner) = inner.as_table_mut() {
        insert(inner, rest, value);
    }
}
