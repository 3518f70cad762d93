//! A campaign: which form of attention pays on these data? Forms, controls and ceilings of one setting, in scenarios of known
//! imbalance, screened on one half of the test images and confirmed with fresh seeds on the other.

mod arms;
mod keys;
mod layout;
mod run;
mod scenario;
mod trainings;

use std::collections::BTreeSet;
use std::path::Path;

use htl_vocabulary::campaign::{Half, PhaseName};
use serde::Deserialize;

pub use layout::{CampaignOutline, plan_phase};
pub use run::{PhaseMade, run_phase};
pub use scenario::{Planted, Scenario};

use crate::design::{SETTING_PLANS, SettingPlan};
use crate::{ExperimentError, Profile};

/// A campaign as its file describes it, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    /// Name of the file.
    pub name: String,
    /// Size of trainings, in a profile's fields.
    pub profile: Profile,
    /// Everything else.
    pub file: CampaignFile,
}

/// The TOML file of a campaign.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignFile {
    /// Key of the setting whose trainings are varied.
    pub setting: String,
    /// Fields of a profile, and `base`, the built-in profile that the others come from.
    #[serde(default)]
    profile: toml::Table,
    /// Every form on one half of the test images.
    pub screen: Screening,
    /// The best of them with fresh seeds on the other half; nothing is confirmed without it.
    #[serde(default)]
    pub confirm: Option<Confirmation>,
    /// What every training has that is not the setting's own; other changes are on top of it.
    #[serde(default)]
    pub baseline: Change,
    /// Data folders with a planted truth.
    #[serde(default, rename = "scenario")]
    pub scenarios: Vec<Scenario>,
    /// Ways of training that compete.
    #[serde(default, rename = "form")]
    pub forms: Vec<Variation>,
    /// Changes that turn a form into its control.
    #[serde(default, rename = "control")]
    pub controls: Vec<Variation>,
    /// Trainings that know the truth: nothing of their kind can gain more.
    #[serde(default, rename = "ceiling")]
    pub ceilings: Vec<Variation>,
    /// Other trainings to compare with, such as one that is as long as all that a form needs together.
    #[serde(default, rename = "reference")]
    pub references: Vec<Variation>,
}

/// The first phase.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Screening {
    /// Trainings of every arm.
    pub seeds: u64,
    /// Controls that are trained for every form already here.
    #[serde(default)]
    pub controls: Vec<String>,
}

/// The second phase.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    /// Trainings of every arm, with seeds that screening did not use.
    pub seeds: u64,
    /// How many forms of each scenario, those of the largest gain.
    pub best: usize,
}

/// A change of the setting's training.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variation {
    /// Its name.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub about: String,
    /// As in [`Change`].
    #[serde(default)]
    pub train: toml::Table,
    /// As in [`Change`].
    #[serde(default)]
    pub query: Option<Query>,
    /// Of a form, the controls that it has; if left out, all that change something that the form has.
    #[serde(default)]
    pub controls: Option<Vec<String>>,
}

/// What a variation changes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Keys of a training's configuration. `"$scores"` and `"$maps"` are what `htl mine` made of the scenario's trainings,
    /// `"$planted"` a score table that marks what was planted and `"$parity"` the weight that makes up for what was removed;
    /// `"$own"` leaves the key out, for trainings that make scores of their own.
    #[serde(default)]
    pub train: toml::Table,
    /// How some of its labels are bought.
    #[serde(default)]
    pub query: Option<Query>,
}

/// Labels that are bought by a score: networks are trained on a random list, judge all other images, and more labels are chosen
/// by what they say.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// Labels of the random list.
    pub start: Option<usize>,
    /// Labels that are bought.
    pub budget: Option<usize>,
    /// How, as `htl query` has it: `top-fifth`, `top`, `random`.
    pub strategy: Option<String>,
    /// By which score; the usual one if left out.
    pub by: Option<String>,
}

impl Variation {
    /// What it changes.
    fn change(&self) -> Change {
        Change {
            train: self.train.clone(),
            query: self.query.clone(),
        }
    }
}

impl Change {
    /// The same with another change on top.
    fn with(&self, above: &Self) -> Self {
        let query = match (&self.query, &above.query) {
            (Some(below), Some(above)) => {
                let (below, above) = (below.clone(), above.clone());
                Some(Query {
                    start: above.start.or(below.start),
                    budget: above.budget.or(below.budget),
                    strategy: above.strategy.or(below.strategy),
                    by: above.by.or(below.by),
                })
            }
            (below, above) => above.clone().or_else(|| below.clone()),
        };
        Self {
            train: keys::merged(&self.train, &above.train),
            query,
        }
    }

    /// Whether all that another change touches is there.
    fn has_all_of(&self, other: &Self) -> bool {
        let sections = other.train.keys().all(|key| self.train.contains_key(key));
        sections && (self.query.is_some() || other.query.is_none())
    }

    fn check(&self) -> Result<(), String> {
        keys::dotted(&self.train)?;
        let Some(query) = &self.query else { return Ok(()) };
        for (key, count) in [("start", query.start), ("budget", query.budget)] {
            if count.is_none_or(|count| count == 0) {
                return Err(format!("a query needs `{key}`, at least 1"));
            }
        }
        if self.train.contains_key("labelled") {
            return Err("a query finds the labelled images: `labelled` is not for it".into());
        }
        Ok(())
    }
}

/// What is to be run.
#[derive(Debug, Clone, PartialEq)]
pub enum Phase {
    /// All forms, some controls.
    Screen,
    /// Some forms with all their controls, by scenario: names of forms.
    Confirm(Vec<Vec<String>>),
}

impl Phase {
    /// Its name.
    pub fn name(&self) -> PhaseName {
        match self {
            Self::Screen => PhaseName::Screen,
            Self::Confirm(_) => PhaseName::Confirm,
        }
    }

    /// The half of the test images that it looks at.
    pub fn half(&self) -> Half {
        match self {
            Self::Screen => Half::First,
            Self::Confirm(_) => Half::Second,
        }
    }
}

impl Campaign {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// [`ExperimentError::Campaign`] with the line or the name that makes no sense; what [`Profile::check`] refuses.
    pub fn read(path: &Path) -> Result<Self, ExperimentError> {
        let wrong = |reason: String| ExperimentError::Campaign {
            path: path.into(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let file: CampaignFile = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| "campaign".into());
        let profile = Profile::from_table(&name, file.profile.clone()).map_err(|error| wrong(error.to_string()))?;
        file.check().map_err(wrong)?;
        Ok(Self { name, profile, file })
    }

    /// The setting's row.
    pub fn setting(&self) -> &'static SettingPlan {
        // The file was checked.
        let found = SETTING_PLANS.iter().find(|row| row.setting.key == self.file.setting);
        found.unwrap_or(&SETTING_PLANS[0])
    }

    /// The scenarios; the data as they are, if the file names none.
    pub fn scenarios(&self) -> Vec<Scenario> {
        match self.file.scenarios.as_slice() {
            [] => vec![Scenario::natural()],
            scenarios => scenarios.to_vec(),
        }
    }
}

impl CampaignFile {
    fn check(&self) -> Result<(), String> {
        let keys: Vec<&str> = SETTING_PLANS.iter().map(|row| row.setting.key).collect();
        if !keys.contains(&self.setting.as_str()) {
            return Err(format!(
                "there is no setting `{}`: choose {}",
                self.setting,
                keys.join(", ")
            ));
        }
        if self.forms.is_empty() {
            return Err("it has no [[form]]: nothing competes".into());
        }
        let seeds = [
            Some(self.screen.seeds),
            self.confirm.as_ref().map(|confirm| confirm.seeds),
        ];
        if let Some(seeds) = seeds.into_iter().flatten().find(|seeds| !(1..=1000).contains(seeds)) {
            return Err(format!("`seeds` is from 1 to 1000, found {seeds}"));
        }
        if self.confirm.as_ref().is_some_and(|confirm| confirm.best == 0) {
            return Err("`best` of [confirm] is at least 1".into());
        }
        for scenario in &self.scenarios {
            scenario.check()?;
        }
        let scenarios = self.scenarios.iter().map(|scenario| &scenario.name);
        let variations = [&self.forms, &self.controls, &self.ceilings, &self.references];
        let variations = variations.into_iter().flatten();
        unique(scenarios)?;
        unique(variations.clone().map(|variation| &variation.name))?;
        for variation in variations {
            if variation.name == "baseline" {
                return Err("`baseline` is the training without any change: call the variation something else".into());
            }
        }
        self.baseline.check().map_err(|error| format!("[baseline]: {error}"))?;
        for variation in [&self.forms, &self.ceilings, &self.references].into_iter().flatten() {
            let whole = self.baseline.with(&variation.change());
            whole
                .check()
                .map_err(|error| format!("`{}`: {error}", variation.name))?;
        }
        for control in &self.controls {
            keys::dotted(&control.train).map_err(|error| format!("`{}`: {error}", control.name))?;
        }
        let of_forms = self.forms.iter().filter_map(|form| form.controls.as_ref()).flatten();
        let mut asked = self.screen.controls.iter().chain(of_forms);
        let unknown = |name: &&String| !self.controls.iter().any(|control| control.name == **name);
        match asked.find(unknown) {
            Some(unknown) => Err(format!("there is no [[control]] called `{unknown}`")),
            None => Ok(()),
        }
    }
}

/// Names become names of folders, and have to tell apart.
fn unique<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!("`{name}` is no name: letters, digits, `-` and `.` make one"));
        }
        if !seen.insert(name) {
            return Err(format!("two things are called `{name}`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
