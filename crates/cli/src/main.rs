//! The `htl` command: each step of the method on your own images.

mod commands;
mod parent;
mod progress;
mod signals;

use std::{io::IsTerminal, process::ExitCode};

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use commands::{
    analyze, bench, campaign, cancel, check, data, evaluate, features, mine, models, plan, predict, prune, query,
    refer, report, reproduce, score, shell, sparsity, stage, status, train, truth, weights,
};
use htl_vocabulary::shortened;
use tracing_subscriber::EnvFilter;

/// Finds the samples on which dense and pruned networks part ways, attends to them in training, and says who they are.
/// For research use, not a medical device.
#[derive(Parser)]
#[command(name = "htl", version, propagate_version = true)]
struct Cli {
    /// Where networks run
    #[arg(long, global = true, value_name = "auto|cpu|cuda[:N]|metal", default_value = "auto")]
    device: htl_device::Choice,
    /// Say errors and results only: no warnings, no progress
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more of what is being done
    #[arg(long, short, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

impl Cli {
    /// Which messages are said; `HTL_LOG` may ask for others, unless an option does.
    fn messages(&self) -> EnvFilter {
        let level = match (self.quiet, self.verbose) {
            (true, _) => "error",
            (_, true) => "info",
            _ => return EnvFilter::try_from_env("HTL_LOG").unwrap_or_else(|_| EnvFilter::new("warn")),
        };
        EnvFilter::new(level)
    }
}

#[derive(Subcommand)]
enum Command {
    /// List, fetch, verify and count data
    #[command(subcommand)]
    Data(data::Data),
    /// Say what networks can be made of, and what they cost
    #[command(subcommand)]
    Models(models::Models),
    /// List, fetch, verify, import and export pretrained weights
    #[command(subcommand)]
    Weights(weights::Weights),
    /// Train a localizer or classifier
    Train(train::Train),
    /// Set the weights that matter least to zero
    Prune(prune::Prune),
    /// Find the largest sparsity that keeps validation quality
    Sparsity(sparsity::Sparsity),
    /// Score images by the disagreement of dense and sparse networks
    Mine(mine::Mine),
    /// Say what is wrong with mined pseudo-masks, for trainings that know: ceilings
    Truth(truth::Truth),
    /// Write what images look like to a network, for `htl query`
    Features(features::Features),
    /// Choose which images to annotate next
    Query(query::Query),
    /// Say who the hard-to-learn samples are
    Analyze(analyze::Analyze),
    /// Measure localization per image
    Evaluate(evaluate::Evaluate),
    /// Compare localization with a baseline, for your own CI
    Check(check::Check),
    /// Write masks and overlays of images
    Predict(predict::Predict),
    /// Say of which images networks are uncertain, and refer them to a person or to more networks
    Refer(refer::Refer),
    /// Official ISIC metrics of two folders of masks
    Score(score::Score),
    /// Run the whole experiment: train, prune, mine, attend, evaluate, analyse, report
    Reproduce(reproduce::ReproduceCommand),
    /// Find out which form of attention pays on your data: forms, controls and ceilings, screened and confirmed
    Campaign(campaign::CampaignCommand),
    /// Print the stages of an experiment
    Plan(plan::PlanCommand),
    /// Run one stage of an experiment
    Stage(stage::StageCommand),
    /// Say which stages of a run are done, running or failed, and how long is left
    Status(status::StatusCommand),
    /// Cancel the Slurm jobs of a run
    Cancel(cancel::CancelCommand),
    /// Write results.json and report.html of a run
    Report(report::ReportCommand),
    /// Measure speed
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Print a script that completes commands and options in a shell
    Completions(shell::Completions),
    /// Write manual pages
    Man(shell::Man),
    /// Print what --device stands for here: cpu, cuda or metal
    Device,
}

impl Command {
    /// Whether it saves what it has when a signal ends it, so that the same command goes on.
    fn goes_on_after_signals(&self) -> bool {
        matches!(
            self,
            Self::Train(_) | Self::Sparsity(_) | Self::Reproduce(_) | Self::Campaign(_) | Self::Stage(_)
        )
    }
}

fn main() -> ExitCode {
    // SAFETY: no other thread has been started yet.
    unsafe { htl_device::leave_the_cores_to_operations() };
    let cli = Cli::parse();
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(cli.messages())
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .without_time()
        .init();
    parent::exit_with_parent();
    htl_ops::keep_freed_memory();
    let told = || match cli.command.goes_on_after_signals() {
        true => Ok(()),
        false => signals::tell_on_signals().context("cannot install signal handlers"),
    };
    match start_threads().and_then(|()| told()).and_then(|()| run(cli)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", causes(&error));
            ExitCode::from(BAD_INPUT)
        }
    }
}

/// Exit code for a wrong command line, as the parser of options has it, and for anything else that could not be done.
const BAD_INPUT: u8 = 2;

/// Starts the threads that share the work: where the system allows no more of them, a person is told what to do.
fn start_threads() -> anyhow::Result<()> {
    rayon::ThreadPoolBuilder::new().build_global().context(
        "cannot start as many threads as there are processor cores: set RAYON_NUM_THREADS to a smaller number, or allow more \
         processes (ulimit -u) or memory (ulimit -v)",
    )
}

/// Characters of a line of a message: what it repeats of a file may be of any length.
const MOST_TOLD: usize = 2000;

/// The error and its causes, without those whose text the one before already holds.
fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    shortened(&text, MOST_TOLD)
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let choice = cli.device;
    let device = || choice.open();
    match cli.command {
        Command::Data(command) => return command.run(),
        Command::Models(command) => command.run(|| Ok(device()?))?,
        Command::Weights(command) => return command.run(),
        Command::Train(command) => return command.run(&device()?),
        Command::Prune(command) => command.run()?,
        Command::Sparsity(command) => return command.run(&device()?),
        Command::Mine(command) => command.run(&device()?)?,
        Command::Features(command) => command.run(&device()?)?,
        Command::Truth(command) => command.run()?,
        Command::Query(command) => command.run()?,
        Command::Analyze(command) => command.run()?,
        Command::Evaluate(command) => command.run(&device()?)?,
        Command::Check(command) => return Ok(command.run()),
        Command::Predict(command) => return command.run(&device()?),
        Command::Refer(command) => command.run(&device()?)?,
        Command::Score(command) => command.run()?,
        Command::Reproduce(command) => return command.run(choice),
        Command::Campaign(command) => return command.run(choice),
        Command::Plan(command) => command.run(choice)?,
        Command::Stage(command) => return command.run(),
        Command::Status(command) => command.run()?,
        Command::Cancel(command) => command.run()?,
        Command::Report(command) => command.run(&device()?)?,
        Command::Bench(command) => command.run(&device()?)?,
        Command::Completions(command) => command.run(Cli::command())?,
        Command::Man(command) => command.run(Cli::command())?,
        Command::Device => commands::print(htl_device::name(&device()?))?,
    }
    Ok(ExitCode::SUCCESS)
}
