//! `campaign.json`: what a campaign consists of, read by whoever makes its tables. Paths are relative to its folder.

use serde::{Deserialize, Serialize};
use std::path::Path;

use crate::error::read_json;
use crate::{FormatError, file};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignFile {
    /// Its name.
    pub name: String,
    /// Key of the setting.
    pub setting: String,
    /// Name of the data.
    pub data: String,
    /// What was run so far.
    pub phases: Vec<Phase>,
}

impl CampaignFile {
    /// Reads `campaign.json` of a campaign's folder.
    ///
    /// # Errors
    /// [`FormatError::Io`] if there is none, [`FormatError::Json`] naming the field that does not fit.
    pub fn read(folder: &Path) -> Result<Self, FormatError> {
        read_json(&folder.join(file::CAMPAIGN), file::CAMPAIGN)
    }
}

/// A phase of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseName {
    /// Every form, on one half of the test images.
    Screen,
    /// The best of them with fresh seeds, on the other half.
    Confirm,
}

impl PhaseName {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Screen => "screen",
            Self::Confirm => "confirm",
        }
    }
}

/// A half of the test images, whole lesions and patients in one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Half {
    /// That of screening.
    First,
    /// That of confirmation.
    Second,
}

impl Half {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
        }
    }
}

/// One phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Which.
    pub phase: PhaseName,
    /// The half of the test images that it looked at.
    pub half: Half,
    /// By scenario.
    pub scenarios: Vec<Scenario>,
}

/// Results on training data with one planted truth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What is planted; `None` for the data as they are.
    pub planted: Option<String>,
    /// The group whose gain is told apart, and the list of its test images.
    pub group: Option<Group>,
    /// Images that the networks behind the scores saw, counted with repetition; their passes over the training images for the
    /// scores.
    pub mining: MiningCost,
    /// The arms, the baseline first.
    pub arms: Vec<Arm>,
}

/// A group of test images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The rule, as text.
    pub rule: String,
    /// The list of its images.
    pub ids: String,
}

/// What scores cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MiningCost {
    /// Images that the networks saw in trainings and fine-tunings, counted with repetition.
    pub image_steps: usize,
    /// Passes over the scored images.
    pub passes: usize,
}

/// What an arm is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The setting's own training.
    Baseline,
    /// It competes.
    Form,
    /// A form with something else in the place of its score.
    Control,
    /// It knows the truth.
    Ceiling,
    /// Another training to compare with.
    Reference,
}

impl Role {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Baseline => "baseline",
            Self::Form => "form",
            Self::Control => "control",
            Self::Ceiling => "ceiling",
            Self::Reference => "reference",
        }
    }
}

/// A way of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// What it is there for.
    pub role: Role,
    /// The form that it is a control of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Images that each of its networks saw, counted with repetition.
    pub image_steps: usize,
    /// Whether it needs the scores.
    pub mined: bool,
    /// Its trainings.
    pub seeds: Vec<SeedResult>,
}

/// Test results of one training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedResult {
    /// Its seed.
    pub seed: u64,
    /// Per image.
    pub per_image: String,
    /// What it took to annotate the labels that it bought: an [`Annotation`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotation: Option<String>,
}

/// What it takes to annotate images.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annotation {
    /// Images.
    pub images: usize,
    /// Mean share of an image that its lesion takes.
    pub area: f64,
    /// Mean length of its outline, in diagonals of the image.
    pub outline: f64,
}

impl Annotation {
    /// Reads one.
    ///
    /// # Errors
    /// [`FormatError::Io`] if there is none, [`FormatError::Json`] naming the field that does not fit.
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        read_json(path, file::ANNOTATION)
    }
}
