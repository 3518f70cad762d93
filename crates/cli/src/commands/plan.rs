use clap::Args;
use htl_device::Choice;
use htl_experiment::plan::Kind;

use super::experiment::ExperimentArgs;
use super::print;

/// `htl plan`.
#[derive(Args)]
pub struct PlanCommand {
    #[command(flatten)]
    experiment: ExperimentArgs,
    /// The whole plan as JSON, as `htl reproduce` writes it to plan.json
    #[arg(long)]
    json: bool,
}

impl PlanCommand {
    pub fn run(self, device: Choice) -> anyhow::Result<()> {
        let plan = htl_experiment::plan(&self.experiment.reproduce(device)?)?.plan;
        if self.json {
            return print(plan.to_json().trim_end());
        }
        for stage in &plan.stages {
            print(&format!(
                "{:<44} {:<9} {:>9.0}  {}",
                stage.name,
                stage.kind.name(),
                stage.cost,
                stage.folder
            ))?;
        }
        let of = |kind: Kind| plan.stages.iter().filter(|stage| stage.kind == kind).count();
        let kinds = Kind::ALL.map(|kind| (kind, of(kind)));
        let kinds = kinds.iter().filter(|(_, count)| *count > 0);
        let kinds: Vec<String> = kinds.map(|(kind, count)| format!("{count} {}", kind.name())).collect();
        print(&format!("{} stages: {}", plan.stages.len(), kinds.join(", ")))
    }
}
