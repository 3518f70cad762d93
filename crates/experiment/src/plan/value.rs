use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::StageRef;
use crate::ExperimentError;
use crate::error::io;

/// An argument or configuration value. Paths stay symbolic until the stage runs, so that keys depend neither on where the
/// output folder lies nor on where the data do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// As it is.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A real number.
    Float(f64),
    /// A file (or with "" the folder) of an earlier stage.
    Stage {
        /// The stage.
        stage: StageRef,
        /// The file.
        file: String,
    },
    /// A file (or with "" the folder) of the data folder, whose content is part of the plan's base.
    Data(String),
    /// A file (or with "" the folder) of the stage itself.
    Own(String),
    /// A number that an earlier stage found.
    FromJson {
        /// The stage.
        stage: StageRef,
        /// Its JSON file.
        file: String,
        /// The number's key there.
        key: String,
    },
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
impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
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

/// Where paths are: filled in when a stage runs.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The output folder of the whole run.
    pub out: &'a Path,
    /// The data folder.
    pub data: &'a Path,
    /// The stage's own folder, renamed when it is done.
    pub own: &'a Path,
}

impl Value {
    /// The stage that the value comes from.
    pub fn stage(&self) -> Option<&StageRef> {
        match self {
            Self::Stage { stage, .. } | Self::FromJson { stage, .. } => Some(stage),
            _ => None,
        }
    }

    /// A file inside the folder that this value is.
    pub fn join(self, name: &str) -> Self {
        let joined = |folder: String| match folder.as_str() {
            "" => name.to_owned(),
            _ => format!("{folder}/{name}"),
        };
        match self {
            Self::Stage { stage, file } => Self::Stage {
                stage,
                file: joined(file),
            },
            Self::Data(file) => Self::Data(joined(file)),
            Self::Own(file) => Self::Own(joined(file)),
            other => other,
        }
    }

    /// How the value enters the key.
    pub(super) fn symbol(&self) -> String {
        match self {
            Self::Text(text) => format!("{text:?}"),
            Self::Integer(number) => number.to_string(),
            Self::Float(number) => format!("{number:?}"),
            Self::Stage { stage, file } => format!("<{}/{file}>", stage.folder),
            Self::Data(file) => format!("<data/{file}>"),
            Self::Own(file) => format!("<own/{file}>"),
            Self::FromJson { stage, file, key } => format!("<{}/{file}:{key}>", stage.folder),
        }
    }

    /// The value with its paths filled in.
    ///
    /// # Errors
    /// [`ExperimentError::Io`] or [`ExperimentError::Value`] for a number that its stage did not write.
    pub(super) fn resolve(&self, place: Place<'_>) -> Result<toml::Value, ExperimentError> {
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
            Self::Stage { stage, file } => path(&place.out.join(&stage.folder), file),
            Self::Data(file) => path(place.data, file),
            Self::Own(file) => path(place.own, file),
            Self::FromJson { stage, file, key } => {
                let path = place.out.join(&stage.folder).join(file);
                let wrong = |reason: String| ExperimentError::Value {
                    path: path.clone(),
                    reason,
                };
                let text = std::fs::read_to_string(&path).map_err(io(&path, "read"))?;
                let json: serde_json::Value =
                    serde_json::from_str(&text).map_err(|error| wrong(format!("not JSON: {error}")))?;
                let number = json.get(key);
                number
                    .and_then(|number| number.as_i64().map(toml::Value::Integer))
                    .or_else(|| number.and_then(serde_json::Value::as_f64).map(toml::Value::Float))
                    .ok_or_else(|| wrong(format!("no number `{key}`")))?
            }
        })
    }

    /// The path behind the value.
    ///
    /// # Errors
    /// [`ExperimentError::Value`] if the value is no path.
    pub(crate) fn path(&self, place: Place<'_>) -> Result<PathBuf, ExperimentError> {
        match self.resolve(place)? {
            toml::Value::String(path) => Ok(PathBuf::from(path)),
            other => Err(ExperimentError::Value {
                path: place.own.into(),
                reason: format!("`{other}` is not a path"),
            }),
        }
    }
}
