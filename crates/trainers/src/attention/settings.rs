//! The section `[attention]` of the configuration.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Which samples get more attention, and in which form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// The score table of `htl mine`.
    pub scores: PathBuf,
    /// Which set of its images.
    #[serde(default)]
    pub set: AttendedSet,
    /// What the set is given more of: see [`attention_forms`](crate::attention_forms).
    #[serde(default = "sampling")]
    pub form: String,
    /// How much more; 1 is none.
    #[serde(default = "double")]
    pub weight: f64,
    /// What happens to images whose label the dense networks contradict in agreement.
    #[serde(default)]
    pub suspects: Suspects,
    /// Numbers that the form takes besides, by key.
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

/// What attention does with suspected label errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suspects {
    /// They are attended to as any other image of the set.
    #[default]
    Keep,
    /// They get no additional attention.
    LeaveOut,
}
