//! `cargo xtask gpu-kit`: a folder to carry to a machine with a GPU that has no Rust, no network and little time.

use crate::check_cuda::{Built, Toolkit};
use crate::reproduce::EMBEDDED_DATA;
use crate::workspace::{cargo, root};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `gpu-kit` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    toolkit: Toolkit,
    /// Collected ISIC copies, for the development split; without them the kit has the embedded images only
    #[arg(long, value_name = "ISIC_DIR")]
    data: Option<PathBuf>,
    /// Longer side of the development split's images in pixels; given again, another copy of them is packed
    #[arg(long, default_values_t = [192], value_parser = clap::value_parser!(u32).range(16..))]
    side: Vec<u32>,
    /// Folder to write; must not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A ready-made htl, and with --bench and --agreement no build; an htl for the CPU tries the kit itself
    #[arg(long, value_name = "PROGRAM", requires_all = ["bench", "agreement"])]
    htl: Option<PathBuf>,
    /// A ready-made htl-bench
    #[arg(long, value_name = "PROGRAM", requires = "htl")]
    bench: Option<PathBuf>,
    /// A ready-made test `agreement` of htl-ops
    #[arg(long, value_name = "PROGRAM", requires = "htl")]
    agreement: Option<PathBuf>,
}

/// What is carried must be small.
const MOST_BYTES: u64 = 64 << 20;

/// The development split.
const SPLITS: &str = "data-manifest/development.csv";

/// Campaigns that the kit can run.
const CAMPAIGNS: &str = "docs/campaigns";

/// Files of the repository that are the kit's own.
const SCRIPTS: [&str; 4] = [
    "tests/gpu/run.sh",
    "tests/gpu/bench.py",
    "tests/gpu/jobs.py",
    "tests/gpu/agree.py",
];
const PEERS: [&str; 3] = [
    "tests/peers/training_step.py",
    "tests/peers/unet.py",
    "tests/peers/segmentation_models.py",
];

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    ensure!(
        !args.out.exists(),
        "{} exists; remove it or choose another --out",
        args.out.display()
    );
    let built = match (&args.htl, &args.bench, &args.agreement) {
        (Some(htl), Some(bench), Some(agreement)) => Built {
            htl: htl.clone(),
            bench: bench.clone(),
            agreement: agreement.clone(),
        },
        _ => args.toolkit.build()?,
    };
    let out = std::path::absolute(&args.out)?;
    let parent = out.parent().context("--out needs a folder above it")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    let place = tempfile::Builder::new().prefix(".gpu-kit-").tempdir_in(parent)?;
    let (kit, work) = (place.path().join("kit"), place.path().join("work"));
    for folder in ["peers", "campaigns"] {
        fs::create_dir_all(kit.join(folder))?;
    }
    fs::create_dir_all(&work)?;

    let programs = [
        ("htl", &built.htl),
        ("htl-bench", &built.bench),
        ("agreement", &built.agreement),
    ];
    for (name, path) in programs {
        let stripped = work.join(name);
        call(
            Command::new("strip").arg("-o").args([&stripped, path]),
            "install binutils",
        )?;
    }
    let packed = programs.map(|(name, _)| (work.as_path(), name));
    archive(&kit.join("programs.tar.xz"), &packed)?;

    let embedded = root().join(EMBEDDED_DATA);
    let mut data = vec![(embedded.parent().context("data has a folder")?, "embedded")];
    let names: Vec<String> = args.side.iter().map(|side| format!("development-{side}")).collect();
    if let Some(isic) = &args.data {
        for (side, name) in args.side.iter().zip(&names) {
            development(isic, *side, &work.join(name))?;
            data.push((&work, name));
        }
    }
    archive(&kit.join("data.tar"), &data)?;
    for (files, folder) in [(&SCRIPTS[..], kit.clone()), (&PEERS[..], kit.join("peers"))] {
        for file in files {
            let from = root().join(file);
            let name = from.file_name().context("a script has a name")?;
            fs::copy(&from, folder.join(name)).with_context(|| format!("cannot read {}", from.display()))?;
        }
    }
    let campaigns = root().join(CAMPAIGNS);
    for entry in fs::read_dir(&campaigns).with_context(|| format!("cannot read {}", campaigns.display()))? {
        let entry = entry?;
        if entry.path().is_dir() {
            continue;
        }
        fs::copy(entry.path(), kit.join("campaigns").join(entry.file_name()))?;
    }
    let bytes = say_sizes(&kit)?;
    ensure!(
        bytes <= MOST_BYTES,
        "the kit has {:.1} MiB, at most {} can be carried: make --side smaller",
        mebibytes(bytes),
        MOST_BYTES >> 20
    );
    fs::rename(&kit, &out).with_context(|| format!("cannot move the kit to {}", out.display()))?;
    println!(
        "gpu-kit: {:.1} MiB; on the machine with the GPU: {}",
        mebibytes(bytes),
        args.out.join("run.sh").display()
    );
    Ok(())
}

/// Makes the data folder of the development split.
fn development(isic: &Path, side: u32, out: &Path) -> Result<()> {
    let mut command = cargo();
    command
        .args([
            "run",
            "--release",
            "--package",
            "htl-isic-data",
            "--",
            "make-data-folder",
        ])
        .args(["--source", "isic2018", "--splits", SPLITS, "--side", &side.to_string()])
        .arg("--isic")
        .arg(std::path::absolute(isic)?)
        .arg("--out")
        .arg(out);
    call(&mut command, "is Rust installed?")
}

/// Packs these names of these folders. Images stay as they are: they are compressed already.
fn archive(file: &Path, contents: &[(&Path, &str)]) -> Result<()> {
    let mut command = Command::new("tar");
    command.args(["--create", "--sort=name", "--owner=0", "--group=0"]);
    if file.extension().is_some_and(|extension| extension == "xz") {
        command.arg("--xz").env("XZ_OPT", "-6 --threads=0");
    }
    command.arg("--file").arg(file);
    for (folder, name) in contents {
        command.arg("--directory").arg(folder).arg(name);
    }
    call(&mut command, "install GNU tar and xz")
}

fn call(command: &mut Command, advice: &str) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("cannot run {name}: {advice}"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}");
    }
    Ok(())
}

/// Prints a line per file and gives the sum.
fn say_sizes(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sum += say_sizes(&path)?;
            continue;
        }
        let bytes = path.metadata()?.len();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        println!("  {:8.2} MiB  {name}", mebibytes(bytes));
        sum += bytes;
    }
    Ok(sum)
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
