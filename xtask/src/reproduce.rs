//! `cargo xtask reproduce`: the whole experiment, one command, resumed where it was stopped.

use crate::plan::{self, Experiment, Extras, Selection};
use crate::profile::{Precision, Profile};
use crate::run_file::{Dataset, RUN_FILE, Setting};
use crate::scheduler::{self, Options, StageReport};
use crate::table::concatenate;
use crate::workspace::{build_htl, cores, file_hash, hex, repository, root, write_whole};
use crate::{data, htl};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What `reproduce` takes.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Size of the experiment: tiny, smoke, embedded or isic2018
    #[arg(long, default_value = "embedded")]
    pub profile: String,
    /// Where to compute: auto, cpu, cuda or metal
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// Data folder; the images that come with the repository if left out
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// Output folder; out/PROFILE if left out
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Stages at a time; if left out, as many as there are cores, or 4 where they share a GPU
    #[arg(long)]
    pub jobs: Option<usize>,
    /// Numbers to train in; tf32 and bf16 are for GPUs
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    pub precision: Precision,
    /// Only these settings (supervised, semi-supervised, weakly-supervised, weakly-supervised-boxes), cross-fit (who is
    /// hard), or stages whose names begin like this, with what they need
    #[arg(long, value_delimiter = ',', value_name = "PART")]
    pub only: Vec<String>,
    /// Only the first N seeds of every arm; the trainings that are mined for hard images stay complete
    #[arg(long, value_name = "N")]
    pub seeds: Option<u64>,
    /// Stop after so many minutes, with exit code 75; the same command then goes on. Trainings stop at once and go on from
    /// their last validation, other stages are let finish
    #[arg(long, value_name = "MINUTES")]
    pub time_limit: Option<f64>,
    /// A ready-made htl binary; built first if left out
    #[arg(long)]
    pub htl: Option<PathBuf>,
}

/// Stages at a time on a GPU: enough to fill the gaps one stage leaves, few enough for its memory.
const JOBS_ON_GPU: usize = 4;

/// Data in the repository.
pub const EMBEDDED_DATA: &str = "data-manifest/embedded";

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let begin = Instant::now();
    let mut profile = Profile::named(&args.profile)?;
    profile.precision = args.precision;
    if !htl::DEVICES.contains(&args.device.as_str()) {
        bail!(
            "no device is called `{}`; there are {}",
            args.device,
            htl::DEVICES.join(", ")
        );
    }
    if args.jobs == Some(0) {
        bail!("--jobs must be at least 1");
    }
    if args.seeds == Some(0) {
        bail!("--seeds must be at least 1");
    }
    let deadline = args.time_limit.map(|minutes| limit(begin, minutes)).transpose()?;
    let (data_folder, data_name) = data_folder(&profile, args.data.as_deref())?;
    let out = match &args.out {
        Some(out) => std::path::absolute(out).with_context(|| format!("{} is no path", out.display()))?,
        None => root().join("out").join(profile.name),
    };
    let _lock = lock(&out)?;
    let htl = match &args.htl {
        Some(htl) => htl
            .canonicalize()
            .with_context(|| format!("there is no htl at {}", htl.display()))?,
        None => build_htl()?,
    };
    let device = htl::device(&htl, &args.device)?;
    htl::verify(&htl, &data_folder)?;
    let (dataset, extras) = plan::look(&profile, &data_folder, &data_name)?;
    if !extras.labels {
        eprintln!("note: fewer than two diagnoses (column dx): the image-label setting is left out");
    }
    let hashes = Hashes {
        data: data::checksum(&data_folder)?,
        htl: hex(&file_hash(&htl)?),
    };
    let selection = Selection {
        only: args.only.clone(),
        seeds: args.seeds,
    };
    let experiment = planned(&profile, &device, &out, &data_folder, extras, dataset, &hashes);
    let experiment = selection.cut(experiment)?;

    let jobs = args.jobs.unwrap_or(match device.as_str() {
        "cpu" => cores(),
        _ => JOBS_ON_GPU,
    });
    let options = Options {
        htl,
        common: vec!["--device".into(), device],
        threads: (cores() / jobs).max(1),
        out: out.clone(),
        jobs,
        deadline,
    };
    say_plan(&profile, &experiment, &options);
    let reports = scheduler::run(&experiment.plan, &options)?;
    if experiment.run_file.settings.is_empty() && experiment.run_file.analysis.maps.is_empty() {
        eprintln!(
            "done in {}: {} stages; no whole setting is among them, so there are no results to write",
            crate::progress::spell(begin.elapsed()),
            reports.len()
        );
        return Ok(());
    }
    publish(&experiment, &out)?;
    let report = ["report".into(), "--run".into(), out.to_string_lossy().into_owned()];
    let report: Vec<String> = options.common.iter().cloned().chain(report).collect();
    htl::call(&options.htl, &report)?;
    let manifest = manifest(
        &profile,
        args,
        &experiment,
        &hashes,
        &reports,
        begin.elapsed().as_secs_f64(),
        &options,
    );
    write_whole(
        &out.join("manifest.json"),
        serde_json::to_string_pretty(&manifest)? + "\n",
    )?;
    eprintln!(
        "done in {}: {} stages, of which {} were finished before\n  report   {}\n  results  {}",
        crate::progress::spell(begin.elapsed()),
        reports.len(),
        reports.iter().filter(|stage| stage.reused).count(),
        out.join("report.html").display(),
        out.join("results.json").display()
    );
    if selection != Selection::default() {
        let settings: Vec<&str> = experiment.run_file.settings.keys().map(String::as_str).collect();
        let seeds = args
            .seeds
            .map_or_else(String::new, |count| format!(", at most {count} seeds of each arm"));
        eprintln!(
            "  a part   settings {}{seeds}; the rest is absent from these files",
            settings.join(", ")
        );
    }
    Ok(())
}

struct Hashes {
    data: String,
    htl: String,
}

/// When `minutes` after `begin` are over.
fn limit(begin: Instant, minutes: f64) -> Result<Instant> {
    let limit = Duration::try_from_secs_f64(minutes * 60.).ok();
    limit
        .filter(|limit| !limit.is_zero())
        .and_then(|limit| begin.checked_add(limit))
        .with_context(|| format!("--time-limit must be a positive number of minutes, found {minutes}"))
}

fn planned(
    profile: &Profile,
    device: &str,
    out: &Path,
    data: &Path,
    extras: Extras,
    dataset: Dataset,
    hashes: &Hashes,
) -> Experiment {
    let base = format!("{}:{}:{device}", hashes.data, hashes.htl);
    plan::experiment(
        profile,
        device,
        data,
        &relative(out, data),
        extras,
        dataset,
        hex(&Sha256::digest(base)),
    )
}

/// The data folder to use and its name.
fn data_folder(profile: &Profile, given: Option<&Path>) -> Result<(PathBuf, String)> {
    if let Some(folder) = given {
        let folder = folder
            .canonicalize()
            .with_context(|| format!("there is no data folder {}", folder.display()))?;
        let name = folder
            .file_name()
            .map_or_else(|| "data".into(), |name| name.to_string_lossy().into_owned());
        return Ok((folder, name));
    }
    if profile.own_data_only {
        bail!(
            "the profile {} needs --data DIR: its images are not in the repository (`htl data fetch` gets them)",
            profile.name
        );
    }
    let Some(repository) = repository() else {
        bail!("there is no repository here, so no images come with it: give --data DIR");
    };
    Ok((repository.join(EMBEDDED_DATA), "embedded".into()))
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

/// Creates the output folder and takes it for ourselves until the file is dropped.
fn lock(out: &Path) -> Result<File> {
    fs::create_dir_all(out).with_context(|| {
        format!(
            "cannot create the output folder {}: choose another with --out",
            out.display()
        )
    })?;
    let path = out.join(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| {
            format!(
                "cannot write in the output folder {}: choose another with --out",
                out.display()
            )
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!(
                "another reproduce is running in {}: wait for it, or choose another folder with --out",
                out.display()
            )
        }
        // A file system without locks.
        Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// Says what is about to happen.
fn say_plan(profile: &Profile, experiment: &Experiment, options: &Options) {
    let Dataset { name, train, val, test } = &experiment.run_file.dataset;
    eprintln!(
        "reproduce: profile {}, data {name} ({train} train, {val} val, {test} test images), {} stages, {} at a time\n  in {}",
        profile.name,
        experiment.plan.stages.len(),
        options.jobs,
        options.out.display()
    );
}

/// A table of rates in which nobody was looked at, as the out-of-fold analysis was not run.
const RATES_HEADER: &str = "attribute,level,n,htl,rate,rate_lo,rate_hi,rate_ratio,rate_ratio_lo,rate_ratio_hi,odds_ratio,\
                            odds_ratio_lo,odds_ratio_hi,p,p_adjusted\n";

/// Writes the files people read from the stages' files.
fn publish(experiment: &Experiment, out: &Path) -> Result<()> {
    // Tables of an earlier run that held more.
    for entry in fs::read_dir(out.join("htl")).into_iter().flatten().flatten() {
        fs::remove_file(entry.path()).ok();
    }
    fs::create_dir_all(out.join("htl")).with_context(|| format!("cannot create {}", out.join("htl").display()))?;
    for (from, to) in &experiment.copies {
        let bytes = fs::read(out.join(from)).with_context(|| format!("cannot read {}", out.join(from).display()))?;
        write_whole(&out.join(to), bytes)?;
    }
    let demographics = &experiment.run_file.analysis.demographics;
    if !experiment.copies.iter().any(|(_, to)| to == demographics) {
        write_whole(&out.join(demographics), RATES_HEADER)?;
    }
    let long: Vec<PathBuf> = experiment.long.iter().map(|path| out.join(path)).collect();
    write_whole(&out.join(&experiment.run_file.analysis.scores), concatenate(&long)?)?;
    write_whole(
        &out.join(RUN_FILE),
        serde_json::to_string_pretty(&experiment.run_file)? + "\n",
    )
}

/// Everything about the run that is not its result.
fn manifest(
    profile: &Profile,
    args: &Args,
    experiment: &Experiment,
    hashes: &Hashes,
    reports: &[StageReport],
    seconds: f64,
    options: &Options,
) -> serde_json::Value {
    let seeds = |setting: &Setting| -> serde_json::Value {
        let seeds: BTreeSet<u64> = setting.arms.values().flatten().map(|seed| seed.seed).collect();
        seeds.into_iter().collect()
    };
    let settings = experiment.run_file.settings.iter();
    let mut all_seeds: serde_json::Map<_, _> = settings.map(|(name, setting)| (name.clone(), seeds(setting))).collect();
    if !experiment.run_file.analysis.maps.is_empty() {
        all_seeds.insert("cross-fit".into(), (0..profile.cross_fit_seeds).collect());
    }
    serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "commit": commit(),
        "profile": {
            "name": profile.name,
            "size": profile.size,
            "width": profile.width,
            "batch": profile.batch,
            "image_steps": profile.image_steps,
            "fine_tune_steps": profile.fine_tune_steps,
            "learning_rate": profile.learning_rate,
            "fine_tune_rate": profile.fine_tune_rate,
            "candidates": profile.candidates,
            "tolerance": profile.tolerance,
            "top": profile.top,
            "attention_weight": profile.attention_weight,
            "precision": profile.precision.name(),
        },
        "seeds": all_seeds,
        "device": experiment.run_file.device,
        "device_asked": args.device,
        "only": args.only,
        "data": {"name": experiment.run_file.dataset.name, "sha256": hashes.data},
        "htl_sha256": hashes.htl,
        "machine": {
            "os": std::env::consts::OS,
            "architecture": std::env::consts::ARCH,
            "cores": cores(),
            "jobs": options.jobs,
            "threads_per_job": options.threads,
        },
        "seconds": (seconds * 10.).round() / 10.,
        "stage_seconds": (reports.iter().map(|stage| stage.seconds).sum::<f64>() * 10.).round() / 10.,
        "stages": reports,
    })
}

/// The commit of the repository, where git knows it.
fn commit() -> Option<String> {
    let repository = repository()?;
    let output = Command::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(repository)
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let message = lock(folder.path()).unwrap_err().to_string();
        assert!(message.contains("--out"), "{message}");
        drop(first);
        lock(folder.path()).unwrap();
    }

    /// A path below a file cannot be a folder, whoever asks.
    #[test]
    fn an_impossible_output_folder_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let message = format!("{:#}", lock(&file.path().join("out")).unwrap_err());
        assert!(
            message.contains("output folder") && message.contains("--out"),
            "{message}"
        );
    }

    #[test]
    fn limits_are_minutes() {
        let now = Instant::now();
        assert_eq!(limit(now, 0.5).unwrap() - now, Duration::from_secs(30));
        for wrong in [0., -1., f64::NAN, f64::INFINITY] {
            assert!(
                limit(now, wrong).unwrap_err().to_string().contains("--time-limit"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn ways_between_folders() {
        let way = |from: &str, to: &str| relative(Path::new(from), Path::new(to));
        assert_eq!(way("/no/out/smoke", "/no/data"), "../../data");
        assert_eq!(way("/no/out", "/no/out/stages/data"), "stages/data");
    }

    #[test]
    fn the_large_profile_asks_for_data() {
        let profile = Profile::named("isic2018").unwrap();
        assert!(data_folder(&profile, None).unwrap_err().to_string().contains("--data"));
    }
}
