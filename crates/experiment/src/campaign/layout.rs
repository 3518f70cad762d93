use htl_mining::{Need, score_named};
use htl_vocabulary::campaign::{Group, MiningCost, Scenario as ScenarioResults};

use super::arms::{Wanted, arms};
use super::change::{Change, scores_of};
use super::scenario::{DATA, Scenario};
use super::trainings::Trainings;
use super::{Campaign, Phase};
use crate::Profile;
use crate::design;
use crate::design::builder::{Builder, Curve};
use crate::design::lists::Lists;
use crate::plan::{Base, GROUP, Native, Plan, Value, half_file};

/// A planned phase.
#[derive(Debug, Clone, PartialEq)]
pub struct CampaignOutline {
    /// What to run.
    pub plan: Plan,
    /// What it will have made.
    pub scenarios: Vec<ScenarioResults>,
}

/// Plans a phase of a campaign with trainings of a profile's size, on data that have, or do not have, a `metadata.csv`.
pub fn plan_phase(
    campaign: &Campaign,
    profile: &Profile,
    phase: &Phase,
    base: Base,
    metadata: bool,
) -> CampaignOutline {
    let mut plan = Plan::new(base);
    let subset = design::subset(&mut plan, profile);
    let data = subset.map_or(Value::Data(String::new()), |subset| subset.file(""));
    let scenarios = campaign.scenarios();
    let scenarios = scenarios.iter().enumerate();
    let scenarios = scenarios
        .map(|(at, scenario)| {
            let arms = arms(campaign, phase, at, scenario.planted().is_some());
            let ground = Ground {
                campaign,
                profile,
                phase,
                data: data.clone(),
                metadata,
            };
            ground.scenario(&mut plan, scenario, arms)
        })
        .collect();
    CampaignOutline { plan, scenarios }
}

/// What scenarios are planned on.
struct Ground<'a> {
    campaign: &'a Campaign,
    profile: &'a Profile,
    phase: &'a Phase,
    data: Value,
    metadata: bool,
}

impl Ground<'_> {
    fn scenario(&self, plan: &mut Plan, scenario: &Scenario, arms: Vec<Wanted>) -> ScenarioResults {
        let profile = self.profile;
        let prefix = &scenario.name;
        let planted = scenario.planted().map(|planted| {
            let native = Native::Plant {
                data: self.data.clone(),
                planted,
                seed: scenario.seed,
            };
            plan.native(&format!("{prefix}/data"), native)
        });
        let data = planted
            .as_ref()
            .map_or_else(|| self.data.clone(), |stage| stage.file(DATA));
        let group = scenario.group().map(str::to_owned);
        let halves = Native::TestHalves {
            data: data.clone(),
            group: group.clone(),
        };
        let halves = plan.native(&format!("{prefix}/test-halves"), halves);
        let lists = Lists::plan(plan, &format!("{prefix}/"), &data, profile.labelled_share);
        let (first_seed, seeds) = seeds(self.campaign, self.phase);
        let builder = Builder {
            plan,
            profile,
            data,
            metadata: self.metadata,
            first_seed,
            test_ids: Some(halves.file(&half_file(self.phase.half()))),
        };
        let curve = arms
            .iter()
            .map(|arm| curve_for(&arm.change))
            .max()
            .unwrap_or(Curve::Alone);
        let mut trainings = Trainings::new(
            builder,
            self.campaign.setting(),
            prefix,
            &lists,
            planted.as_ref(),
            curve,
            seeds,
        );
        let arms = arms.iter().map(|arm| trainings.arm(arm)).collect();
        let networks = usize::try_from(seeds).unwrap_or(usize::MAX);
        ScenarioResults {
            name: scenario.name.clone(),
            planted: scenario.planted().map(|planted| planted.words()),
            group: group.map(|rule| Group {
                rule,
                ids: halves.relative(GROUP),
            }),
            mining: MiningCost {
                image_steps: networks * (profile.image_steps + 2 * profile.fine_tune_steps),
                passes: networks * (3 + curve.passes() * profile.curve.len()),
            },
            arms,
        }
    }
}

/// The forgetting curves that the scores of an arm are read from.
fn curve_for(change: &Change) -> Curve {
    let scores = scores_of(change).into_iter().filter_map(|name| score_named(&name));
    let curves = scores.map(|score| match score.key {
        _ if !score.needs.contains(&Need::Curve) => Curve::Alone,
        key if key.contains("random") || key.contains("noise") => Curve::WithShams,
        key if key.ends_with("_raw") => Curve::Alone,
        _ => Curve::Reestimated,
    });
    curves.max().unwrap_or(Curve::Alone)
}

/// The first seed of a phase, and how many there are.
fn seeds(campaign: &Campaign, phase: &Phase) -> (u64, u64) {
    let screened = campaign.file.screen.seeds;
    match (phase, &campaign.file.confirm) {
        (Phase::Confirm(_), Some(confirm)) => (screened, confirm.seeds),
        _ => (0, screened),
    }
}
