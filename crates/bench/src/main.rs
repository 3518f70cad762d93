//! Speed and memory: of a training step, of single operations, of the machine, and of PyTorch beside them. And how well scores
//! find what was planted.

mod compare;
mod measure;
mod mining;

use clap::{Parser, Subcommand};
use htl_device::Choice;

#[derive(Parser)]
#[command(
    name = "htl-bench",
    about = "Measures speed and memory, operation by operation and step by step, and PyTorch's beside them"
)]
struct Cli {
    /// Where to compute
    #[arg(long, global = true, value_name = "auto|cpu|cuda[:N]|metal", default_value = "cpu")]
    device: Choice,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One optimiser step of a network on random data, also fed by a training's batches, or operation by operation
    TrainStep(measure::TrainStep),
    /// Single operations, forward and backward
    Operations(measure::Operations),
    /// Maps by htl-inference beside the network alone
    Predict(measure::Predict),
    /// What this machine can do at best: multiplications and copies per second
    Floor(measure::Floor),
    /// Training steps or single operations beside PyTorch's, as JSON
    Compare(compare::Args),
    /// How well scores find what was planted in a data folder, and at what cost: a table as CSV and Markdown
    Mining(mining::Args),
}

fn main() -> std::process::ExitCode {
    // SAFETY: no other thread has been started yet.
    unsafe { htl_device::leave_the_cores_to_operations() };
    htl_ops::keep_freed_memory();
    match run(Cli::parse()) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::TrainStep(step) => step.run(&cli.device.open()?),
        Command::Operations(operations) => {
            cli.device.need_cpu("htl-bench operations")?;
            operations.run()
        }
        Command::Floor(floor) => {
            cli.device.need_cpu("htl-bench floor")?;
            floor.run()
        }
        Command::Predict(predict) => predict.run(&cli.device.open()?),
        Command::Mining(args) => {
            cli.device.need_cpu("htl-bench mining")?;
            args.run()
        }
        Command::Compare(args) => compare::run(&args, cli.device),
    }
}
