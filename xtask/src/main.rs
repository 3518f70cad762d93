//! Development commands: reproduce the experiment, run the checks, measure.
//!
//! Chores of this repository, small and quick to build: it calls `htl` and knows no network.

mod bench;
mod bench_mining;
mod check_cuda;
mod check_iou;
mod ci;
mod fuzz;
mod gpu_kit;
mod readme;
mod reproduce;
mod tidy;
mod workspace;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Reproduces, checks and measures everything"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The whole experiment: trains, prunes, mines, attends, evaluates, analyses, reports
    Reproduce(reproduce::Args),
    /// Everything CI runs
    Ci(ci::Args),
    /// Compares fresh localization with the committed baseline
    CheckIou(check_iou::Args),
    /// Builds the kernels and the feature `cuda`, without a GPU
    CheckCuda(check_cuda::Args),
    /// Break files for every reader until the time is over
    Fuzz(fuzz::Args),
    /// A folder to carry to a machine with a GPU: programs, data, and a script that runs them
    GpuKit(gpu_kit::Args),
    /// Speed and memory beside PyTorch's, as JSON
    Bench(bench::Args),
    /// How well scores find planted truth on the development split, as CSV and Markdown
    BenchMining(bench_mining::Args),
    /// Keeps the results in README.md equal to the committed ones
    Readme(readme::Args),
    /// House rules that no compiler checks
    Tidy,
}

fn main() -> std::process::ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Reproduce(args) => reproduce::run(&args),
        Command::Ci(args) => ci::run(&args),
        Command::CheckIou(args) => check_iou::run(&args),
        Command::CheckCuda(args) => check_cuda::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::GpuKit(args) => gpu_kit::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::BenchMining(args) => bench_mining::run(&args),
        Command::Readme(args) => readme::run(&args),
        Command::Tidy => tidy::run(),
    }
}
