use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use htl_device::Choice;
use htl_experiment::Reproduce;
use htl_experiment::campaign::{Campaign, CampaignOutline, Phase, run_phase};
use htl_experiment::plan::{Action, Kind};
use htl_report::{CampaignRow, best_forms, campaign_rows, write_campaign};
use htl_trainers::TrainConfig;
use htl_vocabulary::campaign::{CampaignFile, PhaseName};
use htl_vocabulary::{duration_in_words, file};

use super::engine_args::{EngineArgs, unfinished};
use super::experiment::PlaceArgs;

/// `htl campaign`.
#[derive(Args)]
#[command(
    after_help = "Screening trains every form and looks at one half of the test images; confirmation trains the best of them, \
    and all their controls, with fresh seeds and looks at the other half. Writes campaign.csv, campaign.md and campaign.html, \
    and a line for every look at test images into looks.csv. What is done is not done again."
)]
pub struct CampaignCommand {
    /// The campaign, TOML: see docs/attention.md
    file: PathBuf,
    /// Screen, but do not confirm
    #[arg(long)]
    screen_only: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

impl CampaignCommand {
    pub fn run(self, device: Choice) -> anyhow::Result<ExitCode> {
        let begin = Instant::now();
        let campaign = Campaign::read(&self.file)?;
        let mut run = self.place.run_of(campaign.profile()?, device)?;
        self.engine.put_to(&mut run, begin)?;
        match self.phases(&campaign, &run) {
            Ok(()) => {
                eprintln!(
                    "done in {}\n  table  {}\n  page   {}",
                    duration_in_words(begin.elapsed()),
                    run.out.join(file::CAMPAIGN_TABLE).display(),
                    run.out.join(file::CAMPAIGN_PAGE).display()
                );
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => unfinished(error),
        }
    }

    fn phases(&self, campaign: &Campaign, run: &Reproduce) -> anyhow::Result<()> {
        run_phase(campaign, &Phase::Screen, run, check)?;
        let rows = tabulate(&run.out)?;
        let Some(confirm) = campaign.file.confirm.as_ref().filter(|_| !self.screen_only) else {
            return Ok(());
        };
        let scenarios = campaign.scenarios();
        let best = |name: &str| best_forms(&rows, PhaseName::Screen.name(), name, confirm.best);
        let best: Vec<Vec<String>> = scenarios.iter().map(|scenario| best(&scenario.name)).collect();
        for (scenario, best) in scenarios.iter().zip(&best) {
            eprintln!("{}: {} to be confirmed", scenario.name, best.join(", "));
        }
        run_phase(campaign, &Phase::Confirm(best), run, check)?;
        tabulate(&run.out)?;
        Ok(())
    }
}

/// The tables of what was run so far, written and given.
fn tabulate(out: &Path) -> anyhow::Result<Vec<CampaignRow>> {
    let campaign = CampaignFile::read(out)?;
    let rows = campaign_rows(out, &campaign)?;
    write_campaign(out, &campaign, &rows)?;
    Ok(rows)
}

/// Every training's configuration makes sense: said before anything runs.
fn check(outline: &CampaignOutline) -> anyhow::Result<()> {
    for stage in outline.plan.stages.iter().filter(|stage| stage.kind == Kind::Train) {
        let Action::Htl(call) = &stage.action else { continue };
        let config: Result<TrainConfig, _> = call.draft().try_into();
        let name = || format!("the trainings {}", stage.series);
        config.with_context(name)?.check().with_context(name)?;
    }
    Ok(())
}
