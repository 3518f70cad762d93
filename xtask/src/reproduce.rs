//! `cargo xtask reproduce`: the whole experiment, one command, resumed where it was stopped.

use crate::plan::{self, Experiment, Extras};
use crate::profile::Profile;
use crate::run_file::{Dataset, RUN_FILE};
use crate::scheduler::{self, Options, StageReport};
use crate::table::concatenate;
use crate::workspace::{build_htl, cores, file_hash, hex, root, write_whole};
use crate::{child, data};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What `reproduce` takes.
#[derive(Debug, clap::Args)]
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
    /// Stages at a time; as many as there are cores if left out
    #[arg(long)]
    pub jobs: Option<usize>,
    /// A ready-made htl binary; built first if left out
    #[arg(long)]
    pub htl: Option<PathBuf>,
}

/// What `auto` and `cpu` both mean in this version.
const DEVICE: &str = "cpu";

/// Data in the repository.
pub const EMBEDDED_DATA: &str = "data-manifest/embedded";

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let begin = Instant::now();
    let profile = Profile::named(&args.profile)?;
    if !["auto", "cpu", "cuda", "metal"].contains(&args.device.as_str()) {
        bail!(
            "no device is called `{}`; there are auto, cpu, cuda, metal",
            args.device
        );
    }
    if matches!(args.device.as_str(), "cuda" | "metal") {
        bail!(
            "--device {}: this version runs on the CPU only; use --device cpu",
            args.device
        );
    }
    if args.jobs == Some(0) {
        bail!("--jobs must be at least 1");
    }
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
    verify(&htl, &data_folder)?;
    let (dataset, extras) = plan::look(&profile, &data_folder, &data_name)?;
    if !extras.labels {
        eprintln!("note: fewer than two diagnoses (column dx): the image-label setting is left out");
    }
    let hashes = Hashes {
        data: data::checksum(&data_folder)?,
        htl: hex(&file_hash(&htl)?),
    };
    let experiment = planned(&profile, &out, &data_folder, extras, dataset, &hashes);

    let jobs = args.jobs.unwrap_or_else(cores);
    let options = Options {
        htl,
        common: vec!["--device".into(), args.device.clone()],
        threads: (cores() / jobs).max(1),
        out: out.clone(),
        jobs,
    };
    say_plan(&profile, &experiment, &options);
    let reports = scheduler::run(&experiment.plan, &options)?;
    publish(&experiment, &out)?;
    call(&options, &["report", "--run", &out.to_string_lossy()])?;
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
    Ok(())
}

struct Hashes {
    data: String,
    htl: String,
}

fn planned(
    profile: &Profile,
    out: &Path,
    data: &Path,
    extras: Extras,
    dataset: Dataset,
    hashes: &Hashes,
) -> Experiment {
    let base = format!("{}:{}:{DEVICE}", hashes.data, hashes.htl);
    plan::experiment(
        profile,
        DEVICE,
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
    Ok((root().join(EMBEDDED_DATA), "embedded".into()))
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

/// Lets `htl` check the data, which also draws splits where there are none.
fn verify(htl: &Path, data: &Path) -> Result<()> {
    let args = [
        "data".to_string(),
        "verify".into(),
        "--data".into(),
        data.to_string_lossy().into_owned(),
    ];
    let status = Command::new(htl)
        .args(&args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {}", htl.display()))?;
    if !status.success() {
        bail!(
            "the data in {} is not usable as it is; the messages above say why",
            data.display()
        );
    }
    Ok(())
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

/// Writes the files people read from the stages' files.
fn publish(experiment: &Experiment, out: &Path) -> Result<()> {
    fs::create_dir_all(out.join("htl")).with_context(|| format!("cannot create {}", out.join("htl").display()))?;
    for (from, to) in &experiment.copies {
        let bytes = fs::read(out.join(from)).with_context(|| format!("cannot read {}", out.join(from).display()))?;
        write_whole(&out.join(to), bytes)?;
    }
    let long: Vec<PathBuf> = experiment.long.iter().map(|path| out.join(path)).collect();
    write_whole(&out.join(&experiment.run_file.analysis.scores), concatenate(&long)?)?;
    write_whole(
        &out.join(RUN_FILE),
        serde_json::to_string_pretty(&experiment.run_file)? + "\n",
    )
}

/// Calls `htl` outside the plan, for what is quick and never kept.
fn call(options: &Options, args: &[&str]) -> Result<()> {
    let args: Vec<String> = options
        .common
        .iter()
        .cloned()
        .chain(args.iter().map(|arg| arg.to_string()))
        .collect();
    let status = Command::new(&options.htl)
        .args(&args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {}", options.htl.display()))?;
    if !status.success() {
        bail!(
            "this failed; its messages are above:\n  {}",
            child::command_line(&options.htl, &args)
        );
    }
    Ok(())
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
    let seeds = |count: u64| (0..count).collect::<Vec<u64>>();
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
        },
        "seeds": {
            "supervised": seeds(profile.supervised_seeds),
            "cross-fit": seeds(profile.cross_fit_seeds),
            "semi-supervised": seeds(profile.semi_seeds),
            "weakly-supervised": seeds(profile.weak_seeds),
        },
        "device": args.device,
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
    let output = Command::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(root())
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
