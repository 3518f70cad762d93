use std::collections::BTreeSet;

use htl_vocabulary::arm::BASELINE;
use serde::Deserialize;

use super::change::{Change, Variation, known_setting};
use super::scenario::Scenario;

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

impl CampaignFile {
    /// The fields of its profile.
    pub(super) fn profile(&self) -> &toml::Table {
        &self.profile
    }

    pub(super) fn check(&self) -> Result<(), String> {
        known_setting(&self.setting)?;
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
            if variation.name == BASELINE.key {
                return Err(format!(
                    "`{}` is the training without any change: call the variation something else",
                    BASELINE.key
                ));
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
            control
                .change()
                .check_parts()
                .map_err(|error| format!("`{}`: {error}", control.name))?;
        }
        let of_forms = self.forms.iter().filter_map(|form| form.controls.as_ref()).flatten();
        let mut asked = self.screen.controls.iter().chain(of_forms);
        let unknown = |name: &&String| !self.controls.iter().any(|control| control.name == **name);
        if let Some(unknown) = asked.find(unknown) {
            return Err(format!("there is no [[control]] called `{unknown}`"));
        }
        let mut of = self.controls.iter().filter_map(|control| control.of.as_ref()).flatten();
        match of.find(|name| !self.forms.iter().any(|form| form.name == **name)) {
            Some(unknown) => Err(format!("there is no [[form]] called `{unknown}`")),
            None => Ok(()),
        }
    }
}

/// Names become names of folders, and have to tell apart.
fn unique<'a>(names: impl Iterator<Item = &'a String>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for name in names {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!("`{name}` is no name: letters, digits and `-` make one"));
        }
        if !seen.insert(name) {
            return Err(format!("two things are called `{name}`"));
        }
    }
    Ok(())
}
