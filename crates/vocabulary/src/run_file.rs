//! `run.json`: what a run consists of, read by `htl report`. Paths are relative to the run's folder.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

use crate::error::read_json;
use crate::results::{Contrast, Dataset};
use crate::{FormatError, file};

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// Profile's name.
    pub profile: String,
    /// Kind of device the networks ran on: `cpu`, `cuda`, `metal`.
    pub device: String,
    /// Data folder: relative to the run's folder where it lies inside, else as it was given.
    pub data: String,
    /// `--data` as it was given to the run; `None` for the data that come with the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_given: Option<String>,
    /// Further options as they were given to the run: `--profile-file`, `--only`, `--seeds`, `--precision`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options_given: Vec<String>,
    /// Name and size of the data.
    pub dataset: Dataset,
    /// By setting.
    pub settings: BTreeMap<String, Setting>,
    /// The one comparison of each setting that was declared before the run; empty in run files of before there were any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub primary: BTreeMap<String, Contrast>,
    /// By predictor that learns nothing.
    pub trivial: BTreeMap<String, Results>,
    /// Who is hard to learn.
    pub analysis: Analysis,
}

impl RunFile {
    /// Reads `run.json` of a run's folder.
    ///
    /// # Errors
    /// [`FormatError::Io`] if there is none, [`FormatError::Json`] naming the field that does not fit.
    pub fn read(run: &Path) -> Result<Self, FormatError> {
        read_json(&run.join(file::RUN), file::RUN)
    }
}

/// One setting.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    /// By arm.
    pub arms: BTreeMap<String, Vec<ArmSeed>>,
    /// Pairs (arm, against which arm) whose paired gains are reported.
    pub compare: Vec<[String; 2]>,
    /// The arm whose networks, dense and pruned, say which images are hard to learn; `None` in run files of before it was
    /// written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mined_arm: Option<String>,
    /// Score table of the training images.
    pub scores: String,
    /// How the sparsity was chosen.
    pub sparsity: String,
    /// Probability maps behind the scores.
    pub maps: String,
    /// Score table of the test images, for results on the hard ones among them.
    pub test_scores: String,
    /// Probability maps behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_maps: Option<String>,
    /// The rule that selected the hard-to-learn set; `None` in run files of before it was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<String>,
    /// Quality of its arms by group, of the test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub performance: Option<String>,
    /// Whom its networks would refer, of the test images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referral: Option<Referral>,
}

/// What uncertainty is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Referral {
    /// A row per signal.
    pub signals: String,
    /// A row per predictor of one or several networks.
    pub ensembles: String,
}

/// One training of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmSeed {
    /// Its seed.
    pub seed: u64,
    /// Folder of the training.
    pub folder: String,
    /// Test results per image.
    pub per_image: String,
    /// Test results over images.
    pub summary: String,
    /// Learning curve, where the arm was trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<String>,
}

/// Test results of a predictor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// Per image.
    pub per_image: String,
    /// Over images.
    pub summary: String,
}

/// Files about the hard-to-learn images.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// All score tables, long.
    pub scores: String,
    /// Rates by group.
    pub demographics: String,
    /// The same by the boundary-normalised score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demographics_boundary: Option<String>,
    /// One test per attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omnibus: Option<String>,
    /// People and lesions together: every coefficient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regression: Option<String>,
    /// People and lesions together: every attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regression_tests: Option<String>,
    /// Rates of suspected label errors by group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspect_labels: Option<String>,
    /// Forgetting curves by group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgetting: Option<String>,
    /// How well scores come out again over halves of the seeds, one table per fold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reliability: Vec<String>,
    /// Probability maps behind the out-of-fold scores.
    pub maps: Vec<String>,
}
