//! `cargo xtask bench`: speed and memory as JSON.

use crate::workspace::build_htl;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Batch, size and width of the measured networks; the first two are those the README quotes.
const CASES: [[usize; 3]; 3] = [[8, 128, 16], [16, 64, 8], [8, 96, 24]];

/// What `bench` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to compute: cpu, cuda or metal
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Optimiser steps per case
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Repetitions per case; the fastest counts
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// A ready-made htl binary; built first if left out
    #[arg(long)]
    htl: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let htl = match &args.htl {
        Some(htl) => htl.clone(),
        None => build_htl()?,
    };
    let mut rows = Vec::new();
    for [batch, size, width] in CASES {
        let mut best: Option<Value> = None;
        for _ in 0..args.repeat.max(1) {
            let output = Command::new(&htl)
                .args(["--device", &args.device, "bench", "train-step"])
                .args([
                    "--batch",
                    &batch.to_string(),
                    "--size",
                    &size.to_string(),
                    "--width",
                    &width.to_string(),
                ])
                .args(["--steps", &args.steps.to_string()])
                .stderr(Stdio::inherit())
                .output()
                .with_context(|| format!("cannot start {}", htl.display()))?;
            if !output.status.success() {
                bail!("`htl bench train-step` failed at batch {batch}, size {size}, width {width}");
            }
            let row: Value =
                serde_json::from_slice(&output.stdout).context("`htl bench` printed something else than JSON")?;
            let speed = |row: &Value| row["images_per_second"].as_f64().unwrap_or_default();
            if best.as_ref().is_none_or(|best| speed(&row) > speed(best)) {
                best = Some(row);
            }
        }
        rows.extend(best);
    }
    println!("{}", serde_json::to_string_pretty(&json!({ "train-step": rows }))?);
    Ok(())
}
