//! `htl-bench mining`: how well scores find what was planted, and at what cost.
//!
//! Each scenario is a data folder with a planted truth. Networks are trained on it, every score of the registry is computed of
//! its images, and judged by the truth: area under the ROC curve, average precision, rank correlation with the true error,
//! what it adds to seed spread. A scenario is a child process, resumed where it stopped and left alone once it is done.

mod cost;
mod evaluate;
mod networks;
mod scenario;
mod settings;
mod tables;
mod write;

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use candle_core::Device;
use htl_datasets::DataFolder;
use htl_vocabulary::{read_json, write_whole};

use evaluate::Row;
use networks::Networks;
use scenario::Scenario;
use settings::Settings;

/// What was found in a scenario.
const RESULT: &str = "result.json";
/// What everything in the output folder was made with.
const SETTINGS: &str = "settings.json";

/// `htl-bench mining`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The data folder: its training split is planted in, its test split looked at
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Masks of an earlier revision (masks/<id>.png, and revisions.csv with image_id and iou), for the scenario `revisions`
    #[arg(long, value_name = "DIR")]
    revised: Option<PathBuf>,
    /// A few scenarios, seeds and steps: minutes instead of hours
    #[arg(long)]
    quick: bool,
    /// Trainings per scenario, at least 3; 6, or 3 with --quick
    #[arg(long, value_parser = clap::value_parser!(u64).range(3..))]
    seeds: Option<u64>,
    /// Epochs of a dense training on the data as they are; 30, or 8 with --quick
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    epochs: Option<u64>,
    /// Only this scenario; may be repeated. `--only list` names them
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Scenarios at a time; as many as there are cores if left out
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: Option<u64>,
    /// Where networks, tables and results go: mining.csv and mining.md
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Run the one scenario of --only in this process
    #[arg(long, hide = true)]
    here: bool,
}

impl Args {
    pub fn run(&self) -> Result<()> {
        let mut scenarios = scenario::all(self.quick, self.revised.as_deref(), &DataFolder::open(&self.data)?)?;
        if self.only.iter().any(|name| name == "list") {
            scenarios.iter().for_each(|scenario| println!("{}", scenario.name()));
            return Ok(());
        }
        if !self.only.is_empty() {
            let names: Vec<String> = scenarios.iter().map(Scenario::name).collect();
            if let Some(unknown) = self.only.iter().find(|name| !names.contains(name)) {
                bail!("--only {unknown}: no such scenario; there are {}", names.join(", "));
            }
            scenarios.retain(|scenario| self.only.contains(&scenario.name()));
        }
        let settings = Settings::of(&self.data, self.revised.as_deref(), self.quick, self.seeds, self.epochs)?;
        settings.keep(&self.out.join(SETTINGS))?;
        if self.here {
            return scenarios.iter().try_for_each(|scenario| self.find(scenario, &settings));
        }
        self.run_children(&scenarios)?;
        let mut rows: Vec<Row> = Vec::new();
        for scenario in &scenarios {
            rows.extend(read_json::<Vec<Row>>(&self.result(scenario), RESULT)?);
        }
        write::csv(&self.out.join("mining.csv"), &rows)?;
        write::markdown(&self.out.join("mining.md"), &rows, &settings)?;
        println!("{} and mining.md beside it", self.out.join("mining.csv").display());
        Ok(())
    }

    fn result(&self, scenario: &Scenario) -> PathBuf {
        self.out.join(scenario.name()).join(RESULT)
    }

    /// Trains, scores and judges, unless that is done.
    fn find(&self, scenario: &Scenario, settings: &Settings) -> Result<()> {
        let result = self.result(scenario);
        if result.exists() {
            return Ok(());
        }
        let folder = self.out.join(scenario.name());
        let ground = scenario
            .prepare(&self.data, &folder)
            .with_context(|| format!("planting {}", scenario.name()))?;
        let networks = Networks::trained(&ground.data, &folder, settings, &Device::Cpu)?;
        let rows = evaluate::rows(&scenario.name(), &ground, &networks, settings, &folder, &Device::Cpu)?;
        Ok(write_whole(&result, serde_json::to_string(&rows)?)?)
    }

    /// One child per scenario, so many at a time, the cores shared among them.
    fn run_children(&self, scenarios: &[Scenario]) -> Result<()> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let jobs = self
            .jobs
            .map_or(cores, |jobs| jobs as usize)
            .min(scenarios.len())
            .max(1);
        let threads = (cores / jobs).max(1);
        let mut waiting = scenarios.iter().filter(|scenario| !self.result(scenario).exists());
        let mut running: Vec<(String, Child)> = Vec::new();
        loop {
            while running.len() < jobs
                && let Some(scenario) = waiting.next()
            {
                eprintln!("{} ...", scenario.name());
                running.push((scenario.name(), self.child(scenario, threads)?));
            }
            if running.is_empty() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
            let mut failed = None;
            let mut still = Vec::new();
            for (name, mut child) in running {
                match child.try_wait()? {
                    None => still.push((name, child)),
                    Some(status) if status.success() => {}
                    Some(status) => failed = Some((name, status)),
                }
            }
            if let Some((name, status)) = failed {
                for (_, mut child) in still {
                    child.kill().and_then(|()| child.wait()).ok();
                }
                bail!("scenario {name} ended with {status}; its message is above. The same command continues");
            }
            running = still;
        }
    }

    fn child(&self, scenario: &Scenario, threads: usize) -> Result<Child> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(&program);
        command.args(["mining", "--here", "--only", &scenario.name()]);
        command.arg("--data").arg(&self.data).arg("--out").arg(&self.out);
        let flag = |command: &mut Command, name: &str, value: &Path| {
            command.arg(name).arg(value);
        };
        if let Some(revised) = &self.revised {
            flag(&mut command, "--revised", revised);
        }
        if self.quick {
            command.arg("--quick");
        }
        for (flag, value) in [("--seeds", self.seeds), ("--epochs", self.epochs)] {
            if let Some(value) = value {
                command.arg(flag).arg(value.to_string());
            }
        }
        command.env("RAYON_NUM_THREADS", threads.to_string());
        command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))
    }
}
