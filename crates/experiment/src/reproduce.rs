//! The whole experiment, resumed where it was stopped.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use htl_datasets::DataFolder;
use htl_vocabulary::{RunFile, duration_in_words, file, setting, write_rates, write_whole};

use crate::ExperimentError;
use crate::data::{self, data_sha256};
use crate::design::{CROSS_FIT, DataOf, Experiment, Outline, Selection, design};
use crate::engine::local::Done;
use crate::engine::slurm::Slurm;
use crate::engine::{self, StopAt};
use crate::error::io;
use crate::plan::{Base, concatenate};
use crate::profile::Profile;
use crate::workplace::{Workplace, check_paths};

/// What to reproduce, where and how.
#[derive(Debug, Clone)]
pub struct Reproduce {
    /// Size of the experiment.
    pub profile: Profile,
    /// Device as asked for: `auto`, `cpu`, ...
    pub device_asked: String,
    /// Kind of device that this is here: `cpu`, `cuda`, `metal`.
    pub device: String,
    /// The data folder.
    pub data: PathBuf,
    /// Its name for people.
    pub data_name: String,
    /// The data folder as it was asked for; `None` for the one that comes with the program.
    pub data_given: Option<String>,
    /// Further options as they were given, for the command that makes the run again.
    pub options_given: Vec<String>,
    /// The output folder.
    pub out: PathBuf,
    /// Which part.
    pub selection: Selection,
    /// The `htl` program.
    pub htl: PathBuf,
    /// Stages at a time.
    pub jobs: usize,
    /// Reasons to stop before the end.
    pub stop: StopAt,
    /// What runs the stages.
    pub engine: Engine,
}

/// What runs the stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// This machine.
    Local,
    /// A cluster.
    Slurm(Slurm),
}

/// What a run made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The page and the results; `None` when no whole setting was selected.
    pub files: Option<[PathBuf; 2]>,
    /// Stages of the plan.
    pub stages: usize,
    /// Of which earlier runs had finished so many.
    pub reused: usize,
    /// Settings that can be reported.
    pub settings: Vec<String>,
}

impl Reproduce {
    /// Threads of each stage.
    pub(crate) fn threads(&self) -> usize {
        (cores() / self.jobs).max(1)
    }

    /// What determines every stage, where the data have this hash.
    pub(crate) fn base(&self, data_sha256: String) -> Result<Base, ExperimentError> {
        Ok(Base {
            data: self.data.clone(),
            data_sha256,
            program: htl_datasets::sha256_file(&self.htl)?,
            device: self.device.clone(),
        })
    }
}

/// Number of processor cores that we may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Stages at a time on a GPU: enough to fill the gaps one stage leaves, few enough for its memory.
const JOBS_ON_GPU: usize = 4;

/// Stages at a time where nobody says: as many as there are cores, or a few where they share a GPU.
pub fn usual_jobs(device: &str) -> usize {
    match device {
        "cpu" => cores(),
        _ => JOBS_ON_GPU,
    }
}

/// The moment `minutes` from `begin`.
///
/// # Errors
/// [`ExperimentError::Option`] unless it is a positive number.
pub fn time_limit(begin: Instant, minutes: f64) -> Result<Instant, ExperimentError> {
    let limit = Duration::try_from_secs_f64(minutes * 60.).ok();
    limit
        .filter(|limit| !limit.is_zero())
        .and_then(|limit| begin.checked_add(limit))
        .ok_or_else(|| ExperimentError::Option {
            option: "--time-limit",
            reason: format!("must be a positive number of minutes, found {minutes}"),
        })
}

/// Surveys the data and plans the selected part of the experiment; nothing is written.
///
/// # Errors
/// Unusable data; a selection of nothing.
pub fn plan(reproduce: &Reproduce) -> Result<Experiment, ExperimentError> {
    check_paths(reproduce)?;
    let data = DataFolder::open(&reproduce.data)?;
    let sha256 = data_sha256(&data)?;
    plan_for(reproduce, &data, sha256)
}

/// [`plan`] for data that were opened and hashed before.
fn plan_for(reproduce: &Reproduce, data: &DataFolder, data_sha256: String) -> Result<Experiment, ExperimentError> {
    let (dataset, extras) = data::survey(&reproduce.profile, data, &reproduce.data_name)?;
    if !extras.labels {
        tracing::warn!("fewer than two diagnoses (column dx): the image-label setting is left out");
    }
    let base = reproduce.base(data_sha256)?;
    let data = DataOf {
        shown: relative(&reproduce.out, &reproduce.data),
        given: reproduce.data_given.clone(),
        dataset,
        extras,
    };
    let mut experiment = design(&reproduce.profile, base, data);
    experiment.outline.options_given = reproduce.options_given.clone();
    reproduce.selection.cut(experiment)
}

/// Runs the experiment: plans it, runs what is missing, publishes what people read.
///
/// # Errors
/// [`ExperimentError::Stage`] if a stage fails, [`ExperimentError::Stopped`] at the time limit or by a signal. Nothing that
/// was finished is lost; the same again goes on.
pub fn reproduce(reproduce: &Reproduce) -> Result<Made, ExperimentError> {
    let begin = Instant::now();
    let place = Workplace::open(reproduce)?;
    let experiment = plan_for(reproduce, place.data(), place.data_sha256().to_owned())?;
    announce(reproduce, &experiment);
    let done = place.carry_out(&experiment.plan)?;
    let mut made = Made {
        files: None,
        stages: done.len(),
        reused: done.iter().filter(|done| done.reused).count(),
        settings: experiment.outline.settings.keys().cloned().collect(),
    };
    if experiment.outline.is_empty() {
        return Ok(made);
    }
    place.check_data()?;
    publish(&experiment.outline, &reproduce.out)?;
    let shown = reproduce.out.to_string_lossy().into_owned();
    let args = ["--device", &reproduce.device, "report", "--run", &shown].map(String::from);
    let log = reproduce.out.join(engine::LOGS).join("report.log");
    let stop = &reproduce.stop;
    let reported = engine::run_to_end(&reproduce.htl, &args, cores(), &log, || stop.is_signalled());
    if reported.is_err() && stop.is_signalled() {
        return Err(ExperimentError::Stopped {
            why: stop.reason(),
            finished: done.len(),
            stages: done.len(),
        });
    }
    reported?;
    let manifest = manifest(reproduce, &experiment, &done, begin.elapsed(), place.data_sha256());
    let path = reproduce.out.join(file::MANIFEST);
    let text = serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n";
    write_whole(&path, text).map_err(ExperimentError::NotWritten)?;
    made.files = Some([file::REPORT, file::RESULTS].map(|name| reproduce.out.join(name)));
    Ok(made)
}

/// The way from one folder to another, both absolute; the other as it is if there is none (another drive).
fn relative(from: &Path, to: &Path) -> String {
    let from = from.canonicalize().unwrap_or_else(|_| from.into());
    let (mut here, mut there) = (from.components().peekable(), to.components().peekable());
    if here.peek() != there.peek() {
        return to.to_string_lossy().into_owned();
    }
    while here.peek().is_some() && here.peek() == there.peek() {
        here.next();
        there.next();
    }
    let up = here.map(|_| "..".to_string());
    let down = there.map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

/// Says what is about to happen.
fn announce(reproduce: &Reproduce, experiment: &Experiment) {
    let dataset = &experiment.outline.dataset;
    let how = match reproduce.engine {
        Engine::Local => format!("{} at a time", reproduce.jobs),
        Engine::Slurm(_) => "as Slurm jobs".into(),
    };
    eprintln!(
        "reproduce: profile {}, data {} ({} train, {} val, {} test images), {} stages, {how}\n  in {}",
        reproduce.profile.name,
        dataset.name,
        dataset.train,
        dataset.val,
        dataset.test,
        experiment.plan.stages.len(),
        reproduce.out.display()
    );
}

/// Writes the files people read from the stages' files, and removes those of an earlier run that held more.
fn publish(outline: &Outline, out: &Path) -> Result<(), ExperimentError> {
    let run_file = outline.run_file();
    let copies = outline.copies();
    let earlier: BTreeSet<String> = match RunFile::read(out) {
        Ok(earlier) => tables_of(&earlier).collect(),
        Err(_) => BTreeSet::new(),
    };
    for name in earlier {
        if !copies.iter().any(|(_, to)| *to == name) {
            // Gone already, perhaps; whatever else lies in that folder is not ours.
            fs::remove_file(out.join(name)).ok();
        }
    }
    for (from, to) in &copies {
        let from = out.join(from);
        let bytes = fs::read(&from).map_err(io(&from, "read"))?;
        let to = out.join(to);
        write_whole(&to, bytes).map_err(ExperimentError::NotWritten)?;
    }
    if outline.analysis.is_none() {
        // Nobody was looked at.
        write_rates(&out.join(file::DEMOGRAPHICS), &[])?;
    }
    let tables: Vec<PathBuf> = outline.score_tables().iter().map(|path| out.join(path)).collect();
    let scores = out.join(&run_file.analysis.scores);
    concatenate(&tables, &scores)?;
    let path = out.join(file::RUN);
    let text = serde_json::to_string_pretty(&run_file).unwrap_or_default() + "\n";
    write_whole(&path, text).map_err(ExperimentError::NotWritten)
}

/// The score tables that a run published beside the long one: of settings that there are, whatever the file names.
fn tables_of(run: &RunFile) -> impl Iterator<Item = String> {
    let known = run.settings.keys().filter(|name| setting::named(name).is_some());
    known.map(|name| format!("{}/{name}.csv", file::HTL_FOLDER))
}

/// Everything about the run that is not its result.
fn manifest(
    reproduce: &Reproduce,
    experiment: &Experiment,
    done: &[Done],
    elapsed: Duration,
    data_sha256: &str,
) -> serde_json::Value {
    let mut seeds = experiment.outline.seeds();
    if experiment.outline.analysis.is_some() {
        let all = (0..reproduce.profile.cross_fit_seeds).collect();
        seeds.insert(CROSS_FIT.into(), all);
    }
    let tenths = |seconds: f64| (seconds * 10.).round() / 10.;
    let stages: Vec<serde_json::Value> = done
        .iter()
        .map(|Done { record, reused }| {
            serde_json::json!({
                "name": record.name, "folder": record.folder, "seconds": record.seconds, "reused": reused,
            })
        })
        .collect();
    serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": commit(),
        "profile": reproduce.profile,
        "seeds": seeds,
        "device": experiment.outline.device,
        "device_asked": reproduce.device_asked,
        "only": reproduce.selection.only,
        "data": {"name": experiment.outline.dataset.name, "sha256": data_sha256},
        "htl_sha256": experiment.plan.program,
        "machine": {
            "os": std::env::consts::OS,
            "architecture": std::env::consts::ARCH,
            "cores": cores(),
            "jobs": reproduce.jobs,
            "threads_per_job": reproduce.threads(),
        },
        "seconds": tenths(elapsed.as_secs_f64()),
        "stage_seconds": tenths(done.iter().map(|done| done.record.seconds).sum()),
        "stages": stages,
    })
}

/// The commit of the repository that we stand in, where git knows it.
fn commit() -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "HEAD"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_string())
}

impl Made {
    /// What a person is told at the end.
    pub fn summary(&self, selection: &Selection, elapsed: Duration) -> String {
        let took = duration_in_words(elapsed);
        let Some([report, results]) = &self.files else {
            return format!(
                "done in {took}: {} stages; no whole setting is among them, so there are no results to write",
                self.stages
            );
        };
        let mut text = format!(
            "done in {took}: {} stages, of which {} were finished before\n  report   {}\n  results  {}",
            self.stages,
            self.reused,
            report.display(),
            results.display()
        );
        if *selection != Selection::default() {
            let seeds = selection
                .seeds
                .map_or_else(String::new, |count| format!(", at most {count} seeds of each arm"));
            text.push_str(&format!(
                "\n  a part   settings {}{seeds}; the rest is absent from these files",
                self.settings.join(", ")
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_minutes() {
        let now = Instant::now();
        assert_eq!(time_limit(now, 0.5).unwrap() - now, Duration::from_secs(30));
        for wrong in [0., -1., f64::NAN, f64::INFINITY] {
            let message = time_limit(now, wrong).unwrap_err().to_string();
            assert!(message.contains("--time-limit"), "{wrong}");
        }
    }

    #[test]
    fn ways_between_folders() {
        let way = |from: &str, to: &str| relative(Path::new(from), Path::new(to));
        assert_eq!(way("/no/out/smoke", "/no/data"), "../../data");
        assert_eq!(way("/no/out", "/no/out/stages/data"), "stages/data");
    }

    /// Publishing leaves alone what it did not write, also behind a link, and removes its own old tables.
    #[test]
    fn files_of_others_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (out, elsewhere) = (folder.path().join("out"), folder.path().join("elsewhere"));
        fs::create_dir_all(&elsewhere).unwrap();
        fs::create_dir_all(&out).unwrap();
        fs::write(elsewhere.join("thesis.tex"), "precious").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(&elsewhere, out.join("htl")).unwrap();
        let outline = |settings: &[&str]| {
            let setting = |name: &&str| {
                let stage = |file: &str| {
                    let folder = format!("stages/{name}-{file}");
                    fs::create_dir_all(out.join(&folder)).unwrap();
                    let table = format!("image_id,setting,fold,htl\na,{name},,1\n");
                    fs::write(out.join(&folder).join(file::SCORES), table).unwrap();
                    crate::plan::StageRef {
                        name: format!("{name}/{file}"),
                        folder,
                    }
                };
                let setting = crate::design::SettingOutline {
                    arms: Default::default(),
                    compare: Vec::new(),
                    mined_arm: "baseline".into(),
                    mined: stage("mine"),
                    test_mined: stage("mine-test"),
                    sparsity: stage("sparsity"),
                    performance: None,
                    referral: None,
                };
                (name.to_string(), setting)
            };
            Outline {
                profile: "tiny".into(),
                device: "cpu".into(),
                data: "data".into(),
                data_given: None,
                options_given: Vec::new(),
                dataset: Default::default(),
                settings: settings.iter().map(setting).collect(),
                primary: Default::default(),
                trivial: Default::default(),
                analysis: None,
            }
        };
        publish(&outline(&["supervised", "semi-supervised"]), &out).unwrap();
        assert!(out.join("htl/semi-supervised.csv").exists());
        publish(&outline(&["supervised"]), &out).unwrap();
        assert!(out.join("htl/supervised.csv").exists() && out.join("htl/scores.csv").exists());
        assert!(!out.join("htl/semi-supervised.csv").exists());
        assert_eq!(fs::read_to_string(out.join("htl/thesis.tex")).unwrap(), "precious");
        assert_eq!(fs::read_to_string(elsewhere.join("thesis.tex")).unwrap(), "precious");
    }
}
