//! A campaign: which form of attention pays on these data? Forms, controls and ceilings of one setting, in scenarios of known
//! imbalance, screened on one half of the test images and confirmed with fresh seeds on the other.

mod arms;
mod change;
mod file;
mod keys;
mod layout;
mod run;
mod scenario;
mod trainings;

use std::path::Path;

use htl_vocabulary::campaign::{Half, PhaseName};
use htl_vocabulary::readable;

pub use change::{Change, Query, Variation};
pub use file::{CampaignFile, Confirmation, Screening};
pub use layout::{CampaignOutline, plan_phase};
pub use run::{PhaseMade, run_phase};
pub use scenario::{Planted, Scenario};

use crate::design::{SETTING_PLANS, SettingPlan, setting_plan};
use crate::{ExperimentError, Profile};

/// A campaign as its file describes it, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Campaign {
    /// Name of the file.
    pub name: String,
    /// Everything else.
    pub file: CampaignFile,
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
        let file: CampaignFile = toml::from_str(&text).map_err(|error| wrong(readable(&error.to_string())))?;
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| "campaign".into());
        file.check().map_err(wrong)?;
        let campaign = Self { name, file };
        campaign.profile().map_err(|error| wrong(error.to_string()))?;
        Ok(campaign)
    }

    /// The size of trainings that the file asks for.
    ///
    /// # Errors
    /// What [`Profile::from_table`] refuses; nothing that [`read`](Self::read) let pass.
    pub fn profile(&self) -> Result<Profile, ExperimentError> {
        Profile::from_table(&self.name, self.file.profile().clone())
    }

    /// The setting's row.
    pub fn setting(&self) -> &'static SettingPlan {
        // The file was checked.
        setting_plan(&self.file.setting).unwrap_or(&SETTING_PLANS[0])
    }

    /// Confirmation, were every form among the best.
    pub(crate) fn everything(&self) -> Phase {
        let forms: Vec<String> = self.file.forms.iter().map(|form| form.name.clone()).collect();
        Phase::Confirm(vec![forms; self.scenarios().len()])
    }

    /// The scenarios; the data as they are, if the file names none.
    pub fn scenarios(&self) -> Vec<Scenario> {
        match self.file.scenarios.as_slice() {
            [] => vec![Scenario::natural()],
            scenarios => scenarios.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests;
