//! Single operations, forward and backward.

use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;
use htl_bench::{OPERATIONS, Operation, Work};
use htl_device::Spread;
use serde::Serialize;

/// `htl-bench operations`.
#[derive(Args)]
pub struct Operations {
    /// Operations whose names contain this
    #[arg(long, default_value = "")]
    only: String,
    /// Time for each operation
    #[arg(long, default_value_t = 0.3)]
    seconds: f64,
    /// Print the names and end
    #[arg(long)]
    list: bool,
}

#[derive(Serialize)]
struct Report {
    threads: usize,
    operations: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    /// Median; of an optimiser, its step.
    forward_ms: f64,
    /// Median of all gradients together, from a tensor of ones; an optimiser has none.
    backward_ms: Option<f64>,
    forward: Rate,
    backward: Option<Rate>,
}

/// The least work there is, and how fast that was done.
#[derive(Serialize)]
struct Rate {
    flops: f64,
    bytes: f64,
    gflops_per_second: f64,
    gb_per_second: f64,
}

impl Rate {
    fn of(work: Work, ms: f64) -> Self {
        Self {
            flops: work.flops,
            bytes: work.bytes,
            gflops_per_second: work.flops / ms / 1e6,
            gb_per_second: work.bytes / ms / 1e6,
        }
    }
}

impl Operations {
    pub fn run(self) -> anyhow::Result<()> {
        let chosen = OPERATIONS
            .iter()
            .filter(|operation| operation.name.contains(&self.only));
        if self.list {
            let names: Vec<&str> = chosen.map(|operation| operation.name).collect();
            println!("{}", serde_json::to_string(&names)?);
            return Ok(());
        }
        ensure!(
            (0.0..=600.0).contains(&self.seconds),
            "--seconds must be between 0 and 600, found {}",
            self.seconds
        );
        let time = Duration::from_secs_f64(self.seconds);
        ensure!(
            OPERATIONS.iter().any(|operation| operation.name.contains(&self.only)),
            "no operation's name contains `{}`; see --list",
            self.only
        );
        let report = Report {
            threads: rayon::current_num_threads(),
            operations: chosen
                .map(|operation| measure(operation, time))
                .collect::<Result<_, _>>()?,
        };
        println!("{}", serde_json::to_string(&report)?);
        Ok(())
    }
}

/// Repetitions that do not count: caches and buffers warm up.
const WARM_UP: usize = 2;

fn measure(operation: &Operation, time: Duration) -> anyhow::Result<Row> {
    let mut prepared = operation.prepare()?;
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    while forward.len() < WARM_UP + 5 || begin.elapsed() < time {
        let start = Instant::now();
        let output = prepared.forward()?;
        forward.push(start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        if prepared.backward(&output)?.is_some() {
            backward.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    let median = |times: &[f64]| (times.len() > WARM_UP).then(|| Spread::of(times[WARM_UP..].to_vec()).median);
    let forward_ms = median(&forward).unwrap_or(f64::NAN);
    let backward_ms = median(&backward);
    Ok(Row {
        name: operation.name,
        forward_ms,
        backward_ms,
        forward: Rate::of(operation.forward_work(), forward_ms),
        backward: operation
            .backward_work()
            .zip(backward_ms)
            .map(|(work, ms)| Rate::of(work, ms)),
    })
}
