//! The section `[attention]` of the configuration.

use std::{collections::BTreeMap, path::PathBuf};

use htl_mining::{FoldChoice, Grade};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Attention to some of the samples: which ones, and in which form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// The score table of `htl mine`; not for forms that make scores of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<PathBuf>,
    /// The setting, where the table holds several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setting: Option<String>,
    /// The fold, where the table holds several: a number, `all` (out-of-fold) or `none` (in-sample).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub fold: Option<FoldChoice>,
    /// Another score of the table: attends to as many images as `htl` marks, but the hardest by this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The attended images of the table.
    #[serde(default)]
    pub set: AttendedSet,
    /// How the weight depends on the score.
    #[serde(default, skip_serializing_if = "Dose::is_set")]
    pub dose: Dose,
    /// Doses other than a set: the weight grows with this power of the score's or the rank's share; above 1 favours the hardest.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub power: f64,
    /// For a random control: attention goes to other images of the same tenth by this column, such as `small_size`, so that it differs
    /// from the method's in nothing that the column knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<String>,
    /// Share of the steps after which attention begins; before it every image counts alike. Weights of pixels hold from the
    /// beginning.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub after: f64,
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

impl Attention {
    /// The marked images of a score table drawn twice as often.
    pub fn to(scores: impl Into<PathBuf>) -> Self {
        Self {
            scores: Some(scores.into()),
            setting: None,
            fold: None,
            by: None,
            set: AttendedSet::Htl,
            dose: Dose::Set,
            power: one(),
            matched: None,
            after: 0.0,
            form: sampling(),
            weight: double(),
            suspects: Suspects::Keep,
            params: BTreeMap::new(),
        }
    }
}

fn one() -> f64 {
    1.0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
fn is_one(power: &f64) -> bool {
    *power == 1.0
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

fn sampling() -> String {
    "sampling".to_owned()
}

fn double() -> f64 {
    2.0
}

/// How the weight of an image depends on its score. The largest weight is `weight`, the smallest 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Dose {
    /// `weight` for a set of images, 1 for the others.
    #[default]
    Set,
    /// In proportion to the score.
    Score,
    /// In proportion to the rank by the score.
    Rank,
}

impl Dose {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde passes references
    fn is_set(&self) -> bool {
        *self == Self::Set
    }

    /// How attention grows with the score; `None` for a set.
    pub(super) fn grade(self) -> Option<Grade> {
        match self {
            Self::Set => None,
            Self::Score => Some(Grade::Score),
            Self::Rank => Some(Grade::Rank),
        }
    }
}

/// The attended set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttendedSet {
    /// The table's `htl` column.
    #[default]
    Htl,
    /// The control: as many images of the table, or the same weights, drawn at random from the training's seed.
    Random,
}

/// Treatment of suspected label errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Suspects {
    /// Attended to like any other image of the set.
    #[default]
    Keep,
    /// No additional attention.
    LeaveOut,
}
