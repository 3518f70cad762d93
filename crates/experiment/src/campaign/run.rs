use std::path::Path;

use htl_vocabulary::campaign::{CampaignFile as Written, Phase as PhaseResults};
use htl_vocabulary::{file, read_rows, write_rows, write_whole};
use serde::{Deserialize, Serialize};

use super::layout::{CampaignOutline, plan_phase};
use super::{Campaign, Phase};
use crate::data;
use crate::workplace::Workplace;
use crate::{ExperimentError, Reproduce};

/// What a phase made.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseMade {
    /// Its results.
    pub results: PhaseResults,
    /// Stages of the plan.
    pub stages: usize,
    /// Of which earlier runs had finished so many.
    pub reused: usize,
}

/// Plans a phase and lets `check` look at the plan, before screening also at that of all that may be confirmed; then runs what is missing of it and writes `campaign.json`, which keeps what
/// an earlier phase wrote. Every look at test images is a line of `looks.csv`.
///
/// # Errors
/// Those of [`reproduce`](crate::reproduce), and what `check` says.
pub fn run_phase<E: From<ExperimentError>>(
    campaign: &Campaign,
    phase: &Phase,
    run: &Reproduce,
    check: impl Fn(&CampaignOutline) -> Result<(), E>,
) -> Result<PhaseMade, E> {
    let place = Workplace::open(run)?;
    let (_, extras) = data::survey(&run.profile, place.data(), &run.data_name)?;
    if !(campaign.setting().possible)(&extras) {
        return Err(ExperimentError::UnfitData {
            folder: run.data.clone(),
            reason: format!("it does not have what the setting {} needs", campaign.file.setting),
        }
        .into());
    }
    let base = run.base(place.data_sha256().to_owned())?;
    if let (Phase::Screen, Some(_)) = (phase, &campaign.file.confirm) {
        // Which forms are confirmed is known later, what may be wrong with their controls now.
        check(&plan_phase(
            campaign,
            &run.profile,
            &campaign.everything(),
            base.clone(),
            extras.metadata,
        ))?;
    }
    let outline = plan_phase(campaign, &run.profile, phase, base, extras.metadata);
    check(&outline)?;
    let trainings: usize = outline
        .scenarios
        .iter()
        .flat_map(|s| &s.arms)
        .map(|arm| arm.seeds.len())
        .sum();
    eprintln!(
        "campaign {}: {}, {} scenarios, {trainings} trainings to compare, {} stages\n  in {}",
        campaign.name,
        phase.name().name(),
        outline.scenarios.len(),
        outline.plan.stages.len(),
        run.out.display()
    );
    let done = place.carry_out(&outline.plan)?;
    place.check_data()?;
    let results = PhaseResults {
        phase: phase.name(),
        half: phase.half(),
        scenarios: outline.scenarios,
    };
    log_look(&run.out, &campaign.name, &results)?;
    write(campaign, run, &results)?;
    Ok(PhaseMade {
        results,
        stages: done.len(),
        reused: done.iter().filter(|done| done.reused).count(),
    })
}

/// `campaign.json` with this phase in it; a confirmation of other screening results goes.
fn write(campaign: &Campaign, run: &Reproduce, results: &PhaseResults) -> Result<(), ExperimentError> {
    let earlier = Written::read(&run.out)
        .map(|written| written.phases)
        .unwrap_or_default();
    let mut phases: Vec<PhaseResults> = earlier
        .into_iter()
        .filter(|phase| phase.phase < results.phase)
        .collect();
    phases.push(results.clone());
    let written = Written {
        name: campaign.name.clone(),
        setting: campaign.file.setting.clone(),
        data: run.data_name.clone(),
        phases,
    };
    let text = serde_json::to_string_pretty(&written).unwrap_or_default() + "\n";
    write_whole(&run.out.join(file::CAMPAIGN), text).map_err(ExperimentError::NotWritten)
}

/// A look at test images.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Look {
    time: String,
    campaign: String,
    phase: String,
    half: String,
    scenario: String,
    seeds: usize,
    arms: String,
}

/// Who looked at which test images is kept, run after run.
fn log_look(out: &Path, campaign: &str, results: &PhaseResults) -> Result<(), ExperimentError> {
    let path = out.join(file::LOOKS);
    let mut looks: Vec<Look> = if path.exists() { read_rows(&path)? } else { Vec::new() };
    let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    looks.extend(results.scenarios.iter().map(|scenario| {
        let arms: Vec<&str> = scenario.arms.iter().map(|arm| arm.name.as_str()).collect();
        Look {
            time: time.clone(),
            campaign: campaign.to_owned(),
            phase: results.phase.name().to_owned(),
            half: results.half.name().to_owned(),
            scenario: scenario.name.clone(),
            seeds: scenario.arms.first().map_or(0, |arm| arm.seeds.len()),
            arms: arms.join(" "),
        }
    }));
    Ok(write_rows(&path, &looks)?)
}
