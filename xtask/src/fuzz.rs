//! `cargo xtask fuzz`: broken files for every reader, others each time, until the time is over.

use crate::workspace::cargo;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What `fuzz` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Minutes to go on for
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Files of each kind before others are made
    #[arg(long, default_value_t = 1000)]
    cases: u32,
    /// Seed of the first round; the next ones follow [default: the time]
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let end = Instant::now() + Duration::from_secs_f64(args.minutes.max(0.0) * 60.0);
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs())
    };
    let mut executions: BTreeMap<String, u64> = BTreeMap::new();
    for seed in args.seed.unwrap_or_else(now).. {
        let mut command = cargo();
        command
            .args([
                "test",
                "--quiet",
                "--workspace",
                "--test",
                "readers",
                "--",
                "--show-output",
            ])
            .env("HTL_FUZZ_CASES", args.cases.to_string())
            .env("HTL_FUZZ_SEED", seed.to_string())
            .stderr(Stdio::inherit());
        let output = command.output().context("cannot run cargo")?;
        let text = String::from_utf8_lossy(&output.stdout);
        for line in text.lines() {
            // fuzz: NAME N executions, M accepted
            let mut words = line.split(' ');
            if words.next() == Some("fuzz:")
                && let (Some(name), Some(Ok(count))) = (words.next(), words.next().map(str::parse::<u64>))
            {
                *executions.entry(name.to_owned()).or_default() += count;
            }
        }
        if !output.status.success() {
            bail!("with seed {seed}:\n{text}");
        }
        if Instant::now() >= end {
            break;
        }
    }
    for (name, count) in &executions {
        println!("{name}: {count} executions");
    }
    println!("fuzz: {} executions, nothing found", executions.values().sum::<u64>());
    Ok(())
}
