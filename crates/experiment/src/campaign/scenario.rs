use htl_datasets::{DataFolder, GroupRule, MaskNoise, Planting};
use htl_mining::{ScoreRow, ScoreTable};
use htl_vocabulary::{file, write_whole};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::Path;

use crate::ExperimentError;

/// The training data of a part of a campaign: as they are, or with something planted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// A group of images that is made rare: see [`GroupRule`].
    #[serde(default)]
    pub rare: Option<String>,
    /// The share of it that is kept.
    #[serde(default)]
    pub keep: Option<f64>,
    /// A kind of mistakes that is made in masks.
    #[serde(default)]
    pub noise: Option<String>,
    /// The share of the masks that get one.
    #[serde(default)]
    pub share: Option<f64>,
    /// The group whose gain is told apart; the rare one, if there is one and this is left out.
    #[serde(default)]
    pub group: Option<String>,
    /// Seed of what is planted.
    #[serde(default)]
    pub seed: u64,
}

/// What a scenario plants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Planted {
    /// A rare group.
    Rare {
        /// The group.
        group: String,
        /// The share of it that is kept.
        keep: f64,
    },
    /// Wrong masks.
    Noise {
        /// Their kind.
        noise: String,
        /// The share of the masks.
        share: f64,
    },
}

/// The data folder of a planted scenario, in its stage.
pub(crate) const DATA: &str = "data";
/// What was planted, in its stage.
const TRUTH: &str = "truth";
/// The weight that makes up for what was removed, under the key `parity`.
pub(crate) const PARITY: &str = "parity.json";

impl Scenario {
    /// The data as they are.
    pub fn natural() -> Self {
        Self {
            name: "natural".into(),
            rare: None,
            keep: None,
            noise: None,
            share: None,
            group: None,
            seed: 0,
        }
    }

    /// What it plants; `None` for the data as they are.
    pub fn planted(&self) -> Option<Planted> {
        match (&self.rare, self.keep, &self.noise, self.share) {
            (Some(group), Some(keep), None, None) => Some(Planted::Rare {
                group: group.clone(),
                keep,
            }),
            (None, None, Some(noise), Some(share)) => Some(Planted::Noise {
                noise: noise.clone(),
                share,
            }),
            _ => None,
        }
    }

    /// The group whose gain is told apart.
    pub fn group(&self) -> Option<&str> {
        self.group.as_deref().or(self.rare.as_deref())
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let given = [
            self.rare.is_some(),
            self.keep.is_some(),
            self.noise.is_some(),
            self.share.is_some(),
        ];
        if given.contains(&true) && self.planted().is_none() {
            return Err(format!(
                "scenario `{name}`: give `rare` and `keep`, or `noise` and `share`, or none of the four"
            ));
        }
        for rule in [&self.rare, &self.group].into_iter().flatten() {
            rule.parse::<GroupRule>()
                .map_err(|error| format!("scenario `{name}`: {error}"))?;
        }
        if let Some(noise) = &self.noise
            && MaskNoise::named(noise).is_none()
        {
            let names = MaskNoise::ALL.map(MaskNoise::name);
            return Err(format!(
                "scenario `{name}`: there is no noise `{noise}`: choose {}",
                names.join(", ")
            ));
        }
        for share in [self.keep, self.share].into_iter().flatten() {
            if !(share > 0.0 && share <= 1.0) {
                return Err(format!(
                    "scenario `{name}`: a share is above 0 and at most 1, found {share}"
                ));
            }
        }
        Ok(())
    }
}

impl Planted {
    /// In words, for tables.
    pub fn words(&self) -> String {
        match self {
            Self::Rare { group, keep } => format!("{group}, {} % kept", percent(*keep)),
            Self::Noise { noise, share } => format!("{} % of the masks {noise}", percent(*share)),
        }
    }

    /// Plants it into a stage's folder: the data to train on, what was planted as a list and as a score table, and the weight
    /// that makes up for what was removed.
    pub(crate) fn plant(&self, data: &DataFolder, seed: u64, own: &Path) -> Result<(), ExperimentError> {
        let planting = match self {
            Self::Rare { group, keep } => Planting::rare_group(data, &group.parse()?, *keep, seed)?,
            Self::Noise { noise, share } => {
                // The file was checked.
                let noise = MaskNoise::named(noise).unwrap_or(MaskNoise::Swapped);
                Planting::noisy_masks(data, noise, *share, seed)?
            }
        };
        let (kept, removed) = (planting.planted().len() as f64, planting.removed().len() as f64);
        planting.write(data, &own.join(DATA), &own.join(TRUTH))?;
        let train = data.split(htl_datasets::Split::Train);
        let left = train
            .iter()
            .filter(|sample| !planting.removed().contains(&sample.image_id));
        let table = marked(left.map(|sample| sample.image_id.as_str()), planting.planted())?;
        table.write(own.join(file::SCORES))?;
        let parity = serde_json::json!({ "parity": (kept + removed) / kept });
        write_whole(&own.join(PARITY), format!("{parity}\n")).map_err(ExperimentError::NotWritten)
    }
}

/// A share in percent, without the noise of binary fractions.
fn percent(share: f64) -> f64 {
    (share * 1e6).round() / 1e4
}

/// A score table without scores, that marks some images.
fn marked<'a>(ids: impl Iterator<Item = &'a str>, marked: &BTreeSet<String>) -> Result<ScoreTable, ExperimentError> {
    let mut table = ScoreTable::new(Vec::<String>::new());
    for id in ids {
        table.push(ScoreRow {
            image_id: id.to_owned(),
            setting: String::new(),
            fold: None,
            scores: Vec::new(),
            htl: marked.contains(id),
        })?;
    }
    Ok(table)
}
