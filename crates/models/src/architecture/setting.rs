use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::ModelError;

/// A whole number that an encoder, decoder or head can be built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name in configurations and checkpoints.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// Its value where none is given.
    pub default: usize,
    /// The values it may have.
    pub allowed: Allowed,
}

/// Values that a setting may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// From the first to the second, both included.
    Between(usize, usize),
    /// One of these.
    OneOf(&'static [usize]),
}

impl Allowed {
    fn has(self, value: usize) -> bool {
        match self {
            Self::Between(least, most) => (least..=most).contains(&value),
            Self::OneOf(values) => values.contains(&value),
        }
    }
}

impl std::fmt::Display for Allowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Between(least, most) => write!(f, "in {least}..={most}"),
            Self::OneOf(values) => {
                let values: Vec<String> = values.iter().map(usize::to_string).collect();
                write!(f, "one of {}", values.join(", "))
            }
        }
    }
}

/// Values of settings by name.
pub type Settings = BTreeMap<String, usize>;

/// An encoder, decoder or head by name, and its settings: `{"name": "plain", "width": 16}`.
///
/// Settings that are not given have their default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The name of its row.
    pub name: String,
    /// The settings given.
    #[serde(flatten)]
    pub settings: Settings,
}

impl Part {
    /// A part with every setting at its default.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            settings: Settings::new(),
        }
    }

    /// With this value of a setting.
    #[must_use]
    pub fn with(mut self, setting: &str, value: usize) -> Self {
        self.settings.insert(setting.to_owned(), value);
        self
    }

    /// Adds the defaults of the settings that were not given, and checks all.
    ///
    /// # Errors
    /// [`ModelError::Config`] for an unknown setting, or a value that it may not have.
    pub(crate) fn complete(&self, known: &[Setting]) -> Result<Settings, ModelError> {
        for (name, value) in &self.settings {
            let Some(setting) = known.iter().find(|setting| setting.name == name) else {
                let names: Vec<&str> = known.iter().map(|setting| setting.name).collect();
                return Err(ModelError::Config {
                    key: format!("{}.{name}", self.name).into(),
                    expected: match names.is_empty() {
                        true => format!("left out: {} has no settings", self.name).into(),
                        false => format!("a setting of {}: {}", self.name, names.join(", ")).into(),
                    },
                    found: format!("{name} = {value}"),
                });
            };
            if !setting.allowed.has(*value) {
                return Err(ModelError::Config {
                    key: name.clone().into(),
                    expected: setting.allowed.to_string().into(),
                    found: value.to_string(),
                });
            }
        }
        let value = |setting: &Setting| self.settings.get(setting.name).copied().unwrap_or(setting.default);
        Ok(known
            .iter()
            .map(|setting| (setting.name.to_owned(), value(setting)))
            .collect())
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.settings
            .iter()
            .try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl std::str::FromStr for Part {
    type Err = ModelError;

    /// `name setting=value setting=value`.
    fn from_str(text: &str) -> Result<Self, ModelError> {
        let mut words = text.split_whitespace();
        let mut part = Self::new(words.next().unwrap_or_default());
        for word in words {
            let value = word
                .split_once('=')
                .and_then(|(name, value)| Some((name, value.parse().ok()?)));
            let Some((name, value)) = value else {
                return Err(ModelError::Config {
                    key: part.name.into(),
                    expected: "a name, and behind it settings as `name=value`, each value a whole number".into(),
                    found: htl_vocabulary::readable(text),
                });
            };
            part = part.with(name, value);
        }
        Ok(part)
    }
}
