//! The section `[attention]` of the configuration.

use std::{collections::BTreeMap, path::PathBuf};

use htl_mining::FoldChoice;
use serde::{Deserialize, Serialize};

/// Attention to some of the samples: which ones, and in which form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// The score table of `htl mine`.
    pub scores: PathBuf,
    /// The setting, where the table holds several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// The fold, where the table holds several: a number, `all` (out-of-fold) or `none` (in-sample).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<FoldChoice>,
    /// Another score of the table: attends to as many images as `htl` marks, but the hardest by this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The attended images of the table.
    #[serde(default)]
    pub set: AttendedSet,
    /// The form of attention, by name: see [`attention_forms`](crate::attention_forms).
    #[serde(default = "sampling")]
    pub form: String,
    /// Strength of the attention; 1 is none.
    #[serde(default = "double")]
    pub weight: f64,
    /// Treatment of images whose label the dense networks unanimously contradict.
    #[serde(default)]
    pub suspects: Suspects,
    /// Further parameters of the form, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, f64>,
}

fn sampling() -> String {
    "sampling".to_owned()
}

fn double() -> f64 {
    2.0
}

/// The attended set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttendedSet {
    /// The table's `htl` column.
    #[default]
    Htl,
    /// The control: as many images of the table, drawn at random from the training's seed.
    Random,
}

/// Treatment of suspected label errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suspects {
    /// Attended to like any other image of the set.
    #[default]
    Keep,
    /// No additional attention.
    LeaveOut,
}
