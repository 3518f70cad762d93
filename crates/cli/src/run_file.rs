//! `run.json`: what a run consists of, as `cargo xtask reproduce` writes it. Paths are relative to the run's folder.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::Deserialize;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    pub profile: String,
    #[serde(rename = "device")]
    _device: String,
    /// The data folder: relative to the run's folder where it lies inside, else as it was given.
    pub data: PathBuf,
    pub dataset: Dataset,
    pub settings: BTreeMap<String, Setting>,
    pub trivial: BTreeMap<String, Results>,
    pub analysis: Analysis,
}

/// Name and size of a data folder.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    pub name: String,
    pub train: usize,
    pub val: usize,
    pub test: usize,
}

/// One setting.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setting {
    pub arms: BTreeMap<String, Vec<ArmSeed>>,
    /// Pairs (arm, against which arm).
    pub compare: Vec<[String; 2]>,
    pub scores: PathBuf,
    pub sparsity: PathBuf,
    #[serde(rename = "maps")]
    _maps: PathBuf,
    /// Scores of the test images, for metrics on the hard ones among them.
    #[serde(default)]
    pub test_scores: Option<PathBuf>,
}

/// One training of an arm.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmSeed {
    pub seed: u64,
    pub folder: PathBuf,
    pub per_image: PathBuf,
    pub summary: PathBuf,
    #[serde(default)]
    pub history: Option<PathBuf>,
}

/// Test results of a predictor.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    #[serde(rename = "per_image")]
    _per_image: PathBuf,
    pub summary: PathBuf,
}

/// Files about the hard-to-learn images.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    pub scores: PathBuf,
    pub demographics: PathBuf,
    pub maps: Vec<PathBuf>,
}

impl RunFile {
    /// Reads `run.json` of a run's folder.
    pub fn read(run: &Path) -> anyhow::Result<Self> {
        let path = run.join("run.json");
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "cannot read {}: is this the --out folder of a finished `cargo xtask reproduce`?",
                path.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }
}
