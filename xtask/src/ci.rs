//! `cargo xtask ci`: everything CI runs, in the order in which a mistake shows soonest.

use crate::workspace::{build_htl, cargo, target};
use crate::{check_iou, tidy};
use anyhow::{Context, Result, anyhow, bail};
use htl_vocabulary::duration_in_words;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
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
const LIBRARIES: [&str; 13] = [
    "htl-vocabulary",
    "htl-ops",
    "htl-metrics",
    "htl-datasets",
    "htl-models",
    "htl-onnx",
    "htl-pruning",
    "htl-mining",
    "htl-inference",
    "htl-trainers",
    "htl-experiment",
    "htl-report",
    "htl-device",
];

/// `smoke` is promised within this time on two cores; three times as much is a mistake, not a slow machine.
const SMOKE_LIMIT: Duration = Duration::from_secs(90);

/// What is not built unless it is asked for, and can be built anywhere.
const FEATURES: &str = "htl-datasets/tiff,htl-datasets/dicom";

/// What the line of a test begins with that could not run here.
const SKIPPED: &str = "skipped: ";

type Step = (&'static str, fn() -> Result<Outcome>);

enum Outcome {
    Passed,
    Skipped(&'static str),
    /// Passed, but some tests could not run here: why, and how many.
    PassedBut(BTreeMap<String, usize>),
}

const STEPS: [Step; 10] = [
    ("tidy", || tidy::run().map(passed)),
    ("formatting", formatting),
    ("supply chain", supply_chain),
    ("clippy", clippy),
    ("release build of htl", || build_htl().map(|_| Outcome::Passed)),
    ("tests", tests),
    ("documentation", documentation),
    ("packages", packages),
    ("smoke experiment", smoke),
    ("check-iou", || check_iou::run(&check_iou::Args::default()).map(passed)),
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
        let passed = format!("{name:<24} passed in {}", duration_in_words(own.elapsed()));
        let line = match outcome {
            Outcome::Passed => passed,
            Outcome::Skipped(why) => format!("{name:<24} skipped: {why}"),
            Outcome::PassedBut(skipped) => {
                let count: usize = skipped.values().sum();
                let whys = skipped.iter().map(|(why, count)| format!("\n{:<29}{count}: {why}", ""));
                format!(
                    "{passed}; {count} tests could not run here:{}",
                    whys.collect::<String>()
                )
            }
        };
        println!("--- {line}");
        lines.push(line);
    }
    if lines.is_empty() {
        bail!("unknown step; there are {}", STEPS.map(|(name, _)| name).join(", "));
    }
    println!(
        "ci: all passed in {}\n  {}",
        duration_in_words(begin.elapsed()),
        lines.join("\n  ")
    );
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

/// Licences and sources of everything that is built in. Advisories are left out: their database has to be fetched.
fn supply_chain() -> Result<Outcome> {
    if !installed("deny") {
        return Ok(Outcome::Skipped(
            "cargo-deny is not installed (cargo install cargo-deny --locked)",
        ));
    }
    cargo_step(
        &["deny", "--log-level", "error", "check", "licenses", "bans", "sources"],
        |_| (),
        "A licence or source is not allowed by deny.toml: its messages above say which.",
    )
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
        "--features",
        FEATURES,
        "--",
        "--deny",
        "warnings",
    ];
    cargo_step(&args, |_| (), "Its messages above say where.")
}

fn tests() -> Result<Outcome> {
    // A test that cannot run here passes and says so in a line of its own, which only this option shows.
    let mut command = cargo();
    command.args(["test", "--workspace", "--features", FEATURES, "--", "--show-output"]);
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut skipped = BTreeMap::new();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
            if let Some(why) = line.strip_prefix(SKIPPED) {
                *skipped.entry(why.to_owned()).or_insert(0) += 1;
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("`cargo test --workspace` ended with {status}. The names of the failed tests are above.");
    }
    Ok(match skipped.is_empty() {
        true => Outcome::Passed,
        false => Outcome::PassedBut(skipped),
    })
}

fn documentation() -> Result<Outcome> {
    let args = ["doc", "--quiet", "--workspace", "--no-deps"];
    let deny = |command: &mut Command| {
        command.env("RUSTDOCFLAGS", "--deny warnings");
    };
    cargo_step(&args, deny, "Fix the documentation named above.")
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
        duration_in_words(elapsed),
        duration_in_words(SMOKE_LIMIT)
    );
    if elapsed > 3 * SMOKE_LIMIT {
        bail!(
            "the smoke experiment took {}, far more than promised",
            duration_in_words(elapsed)
        );
    }
    Ok(Outcome::Passed)
}
