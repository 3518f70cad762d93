//! Development commands: reproduce the experiment, run the checks, measure.
//!
//! Small and quick to build: it plans stages and runs `htl`, and knows no network.

mod child;
mod data;
mod plan;
mod profile;
mod progress;
mod reproduce;
mod run_file;
mod scheduler;
mod stage;
mod table;
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
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Reproduce(args) => reproduce::run(&args),
    }
}
