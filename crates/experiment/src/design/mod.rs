//! The experiment: one row per setting, and one layout that makes stages of any row.

pub(crate) mod builder;
mod label_free;
mod layout;
pub(crate) mod lists;
mod outline;
pub(crate) mod purchase;
mod select;
mod semi_supervised;
mod setting_plan;
mod supervised;
mod weakly_supervised;
mod weakly_supervised_boxes;

use htl_vocabulary::results::Dataset;

pub use outline::{AnalysisOutline, Outline, SeedOutline, SettingOutline};
pub use select::{CROSS_FIT, Selection};
pub use setting_plan::{ArmPlan, Cycle, Key, Labels, Mining, Networks, SettingPlan, Training};

use crate::data::Extras;
use crate::plan::{Base, Native, Plan, StageRef, Value};
use crate::profile::Profile;
use builder::Builder;
use lists::Lists;

/// The settings of an experiment, in the order in which they are planned.
pub const SETTING_PLANS: &[SettingPlan] = &[
    supervised::PLAN,
    semi_supervised::PLAN,
    weakly_supervised::PLAN,
    weakly_supervised_boxes::PLAN,
    label_free::PLAN,
];

/// The row of a setting.
pub(crate) fn setting_plan(key: &str) -> Option<&'static SettingPlan> {
    SETTING_PLANS.iter().find(|row| row.setting.key == key)
}

/// A planned experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// What to run.
    pub plan: Plan,
    /// What it will have made.
    pub outline: Outline,
}

/// The data of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct DataOf {
    /// The data folder as `run.json` is to name it.
    pub shown: String,
    /// The data folder as it was asked for; `None` for the one that comes with the program.
    pub given: Option<String>,
    /// Name and sizes.
    pub dataset: Dataset,
    /// What it has beside images and masks.
    pub extras: Extras,
}

/// Plans the whole experiment.
pub fn design(profile: &Profile, base: Base, data: DataOf) -> Experiment {
    let device = base.device.clone();
    let mut plan = Plan::new(base);
    let subset = subset(&mut plan, profile);
    let (folder, shown) = match subset {
        None => (Value::Data(String::new()), data.shown),
        Some(subset) => (subset.file(""), subset.folder),
    };
    let lists = Lists::plan(&mut plan, "", &folder, profile.labelled_share);
    let mut builder = Builder {
        plan: &mut plan,
        profile,
        data: folder,
        metadata: data.extras.metadata,
        first_seed: 0,
        test_ids: None,
    };
    let mut settings = std::collections::BTreeMap::new();
    let wanted = |row: &&SettingPlan| (row.possible)(&data.extras) && (row.seeds)(profile) > 0;
    for row in SETTING_PLANS.iter().filter(wanted) {
        let outline = layout::setting(row, &mut builder, &lists);
        settings.insert(row.setting.key.to_owned(), outline);
    }
    let supervised = settings
        .get(supervised::PLAN.setting.key)
        .map(|setting| setting.sparsity.clone());
    let analysis = supervised.map(|sparsity| layout::cross_fit(&mut builder, &lists, &sparsity));
    let trivial = layout::trivial(&mut builder);
    Experiment {
        outline: Outline {
            profile: profile.name.clone(),
            device,
            data: shown,
            data_given: data.given,
            options_given: Vec::new(),
            dataset: data.dataset,
            settings,
            primary: profile.primary.clone(),
            trivial,
            analysis,
        },
        plan,
    }
}

/// Adds the stage that takes fewer images, where a profile wants that.
pub(crate) fn subset(plan: &mut Plan, profile: &Profile) -> Option<StageRef> {
    let data = Value::Data(String::new());
    let counts = profile.subset?;
    Some(plan.native("data", Native::Subset { data, counts }))
}

/// Trains and tests the supervised baseline with seeds 0, 1, ..., once for each set of changes of its configuration.
/// Gives the per-image results, relative to the output folder, by change, then seed.
pub fn trainings(
    profile: &Profile,
    base: Base,
    seeds: u64,
    changes: &[Vec<(&str, Value)>],
) -> (Plan, Vec<Vec<String>>) {
    let mut plan = Plan::new(base);
    let mut builder = Builder {
        plan: &mut plan,
        profile,
        data: Value::Data(String::new()),
        metadata: true,
        first_seed: 0,
        test_ids: None,
    };
    let mut results = Vec::new();
    for (index, changes) in changes.iter().enumerate() {
        let config = builder.config(&supervised::PLAN.own, None);
        let config = changes
            .iter()
            .fold(config, |config, (key, value)| config.with(key, value.clone()));
        let arm = builder.arm(&format!("training-{index}"), &config, seeds);
        let file = htl_vocabulary::file::PER_IMAGE;
        results.push(arm.into_iter().map(|seed| seed.test.relative(file)).collect());
    }
    (plan, results)
}

#[cfg(test)]
mod tests;
