//! `cargo xtask ci`: everything CI runs, in the order in which a mistake shows soonest.

use crate::workspace::{build_htl, cargo, target};
use crate::{check_iou, readme, tidy};
use anyhow::{Context, Result, anyhow, bail};
use htl_experiment::engine::spell;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What `ci` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run only the steps whose names contain this
    #[arg(long)]
    only: Option<String>,
}

/// Library crates that are to be published.
const LIBRARIES: [&str; 8] = [
    "htl-ops",
    "htl-datasets",
    "htl-metrics",
    "htl-models",
    "htl-pruning",
    "htl-mining",
    "htl-trainers",
    "htl-report",
];

/// `smoke` is promised within this time on two cores; three times as much is a mistake, not a slow machine.
const SMOKE_LIMIT: Duration = Duration::from_secs(90);

type Step = (&'static str, fn() -> Result<Outcome>);

enum Outcome {
    Passed,
    Skipped(&'static str),
}

const STEPS: [Step; 10] = [
    ("tidy", || tidy::run().map(passed)),
    ("formatting", formatting),
    ("clippy", clippy),
    ("release build of htl", || build_htl().map(|_| Outcome::Passed)),
    ("tests", tests),
    ("documentation", documentation),
    ("packages", packages),
    ("smoke experiment", smoke),
    ("check-iou", || check_iou::run(&check_iou::Args::default()).map(passed)),
    ("README's results", || readme::check().map(passed)),
];

fn passed(_: ()) -> Outcome {
    Outcome::Passed
}

/// Runs the command: stops at the first step that fails.
pub fn run(args: &Args) -> Result<()> {
    let begin = Instant::now();
    let mut lines = Vec::new();
    for (name, step) in STEPS {
        if args.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        println!("--- {name}");
        let own = Instant::now();
        let outcome = step().map_err(|error| {
            anyhow!("ci: the step `{name}` failed: {error:#}\nTo repeat it: cargo xtask ci --only '{name}'")
        })?;
        let line = match outcome {
            Outcome::Passed => format!("{name:<24} passed in {}", spell(own.elapsed())),
            Outcome::Skipped(why) => format!("{name:<24} skipped: {why}"),
        };
        println!("--- {line}");
        lines.push(line);
    }
    if lines.is_empty() {
        bail!(
            "no step is called like that; there are {}",
            STEPS.map(|(name, _)| name).join(", ")
        );
    }
    println!("ci: all passed in {}\n  {}", spell(begin.elapsed()), lines.join("\n  "));
    Ok(())
}

/// Runs cargo and fails with what to do.
fn cargo_step(args: &[&str], change: impl FnOnce(&mut Command), advice: &str) -> Result<Outcome> {
    let mut command = cargo();
    command.args(args);
    change(&mut command);
    let status = command.status()?;
    if !status.success() {
        bail!("`cargo {}` ended with {status}. {advice}", args.join(" "));
    }
    Ok(Outcome::Passed)
}

/// Whether a cargo component is installed.
fn installed(component: &str) -> bool {
    let status = cargo()
        .args([component, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn formatting() -> Result<Outcome> {
    if !installed("fmt") {
        return Ok(Outcome::Skipped(
            "rustfmt is not installed (rustup component add rustfmt)",
        ));
    }
    cargo_step(&["fmt", "--all", "--check"], |_| (), "Run `cargo fmt --all`.")
}

fn clippy() -> Result<Outcome> {
    if !installed("clippy") {
        return Ok(Outcome::Skipped(
            "clippy is not installed (rustup component add clippy)",
        ));
    }
    let args = [
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ];
    cargo_step(&args, |_| (), "Its messages above say where.")
}

fn tests() -> Result<Outcome> {
    cargo_step(
        &["test", "--workspace"],
        |_| (),
        "The names of the failed tests are above.",
    )
}

fn documentation() -> Result<Outcome> {
    let args = ["doc", "--quiet", "--workspace", "--no-deps"];
    let deny = |command: &mut Command| {
        command.env("RUSTDOCFLAGS", "--deny warnings");
    };
    cargo_step(&args, deny, "Mend the documentation named above.")
}

fn packages() -> Result<Outcome> {
    let mut args = vec!["package", "--offline", "--quiet", "--no-verify", "--allow-dirty"];
    args.extend(LIBRARIES.iter().flat_map(|name| ["--package", name]));
    cargo_step(&args, |_| (), "A library crate cannot be packaged as it is.")
}

/// The whole experiment, small, in a fresh folder.
fn smoke() -> Result<Outcome> {
    let target = target()?;
    let out = tempfile::Builder::new().prefix("smoke-").tempdir_in(&target)?;
    let htl = target
        .join("release")
        .join(format!("htl{}", std::env::consts::EXE_SUFFIX));
    let begin = Instant::now();
    let status = Command::new(&htl)
        .args(["reproduce", "--profile", "smoke", "--device", "cpu", "--out"])
        .arg(out.path())
        .current_dir(crate::workspace::root())
        .status()
        .with_context(|| format!("cannot start {}", htl.display()))?;
    if !status.success() {
        bail!("`htl reproduce --profile smoke` ended with {status}");
    }
    let elapsed = begin.elapsed();
    println!(
        "smoke: {} (promised: {} on two cores)",
        spell(elapsed),
        spell(SMOKE_LIMIT)
    );
    if elapsed > 3 * SMOKE_LIMIT {
        bail!("the smoke experiment took {}, far more than promised", spell(elapsed));
    }
    Ok(Outcome::Passed)
}
