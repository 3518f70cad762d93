//! `htl-bench compare`: our speed and memory, beside PyTorch's on the same cores, as JSON.

mod load;
mod operations;
mod peer;
mod summary;

use anyhow::{Context, Result, bail};
use htl_device::Choice;
use htl_vocabulary::write_whole;
use load::{Load, Watch};
use peer::{Mode, Peer};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use summary::{Contestant, Measurement, Ratio, Summary};

/// How the numbers came to be, in the JSON beside them.
const METHOD: &str = "Each process is alone on the cores; a measurement is void if others used more than a tenth of \
    them just before, during or just after it, and is then taken again a few times. Times are medians over a process's \
    steps or calls, then over rounds. A ratio is the peer's time divided by ours.";

/// What is added for training steps.
const METHOD_OF_STEPS: &str = "Rounds alternate ours and the peer; every mode of the peer runs in the first (and again \
    until no measurement of a round is void), later rounds repeat its fastest mode of one thread and its two fastest of \
    several. The peer is its fastest mode that ran in all rounds. Memory is the largest resident size less what was \
    resident before the network was built (ours) or after the import of PyTorch.";

/// A network, what is done with it, and sizes.
#[derive(Clone, Copy, Debug, Serialize)]
struct Case {
    name: &'static str,
    /// Of the network.
    encoder: &'static str,
    pass: Pass,
    batch: usize,
    size: usize,
    /// Of the plain encoder and of the decoder at full size.
    width: usize,
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Pass {
    TrainStep,
    Evaluate,
}

const fn unet(name: &'static str, batch: usize, size: usize, width: usize) -> Case {
    Case {
        name,
        encoder: "plain",
        pass: Pass::TrainStep,
        batch,
        size,
        width,
    }
}

const fn of(name: &'static str, encoder: &'static str, pass: Pass) -> Case {
    Case {
        name,
        encoder,
        pass,
        batch: 8,
        size: 128,
        width: 16,
    }
}

const CASES: [Case; 11] = [
    unet("unet-8x128-w16", 8, 128, 16),
    unet("unet-8x96-w24", 8, 96, 24),
    unet("unet-4x256-w16", 4, 256, 16),
    unet("unet-16x64-w8", 16, 64, 8),
    of("lite0-unet-8x128", "efficientnet-lite0", Pass::TrainStep),
    of("mobilenet-v2-unet-8x128", "mobilenet-v2", Pass::TrainStep),
    of("resnet18-unet-8x128", "resnet18", Pass::TrainStep),
    of("unet-8x128-evaluate", "plain", Pass::Evaluate),
    of("lite0-unet-8x128-evaluate", "efficientnet-lite0", Pass::Evaluate),
    of("mobilenet-v2-unet-8x128-evaluate", "mobilenet-v2", Pass::Evaluate),
    of("resnet18-unet-8x128-evaluate", "resnet18", Pass::Evaluate),
];

impl Case {
    /// The peer's script, and what it takes beside sizes.
    fn script(&self) -> (&'static str, Vec<&'static str>) {
        let mut options = match self.pass {
            Pass::TrainStep => Vec::new(),
            Pass::Evaluate => vec!["--evaluate"],
        };
        if self.encoder == "plain" {
            return ("unet.py", options);
        }
        options.extend(["--encoder", self.encoder]);
        ("segmentation_models.py", options)
    }
}

/// What `compare` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Optimiser steps per process
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Rounds, each a process for `htl` and one for every mode of the peer
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// The htl binary
    #[arg(long, value_name = "PROGRAM")]
    htl: PathBuf,
    /// A Python with PyTorch; $HTL_PYTHON or python3 if left out
    #[arg(long)]
    python: Option<PathBuf>,
    /// Cases, or operations, whose names contain this
    #[arg(long, default_value = "")]
    only: String,
    /// Single operations in the place of training steps
    #[arg(long)]
    operations: bool,
    /// Seconds to wait, before each process, for other work to leave the cores
    #[arg(long, default_value_t = 10)]
    patience: u64,
    /// How often to take a measurement until one is not void
    #[arg(long, default_value_t = 2)]
    attempts: usize,
    /// Also write the JSON here
    #[arg(long)]
    out: Option<PathBuf>,
}

/// What runs the processes of both sides.
struct Bench<'a> {
    args: &'a Args,
    /// As the command line says it.
    device: String,
    /// This program.
    own: PathBuf,
    peer: Option<Peer>,
    cores: usize,
    watch: Watch,
}

/// Runs the command.
pub fn run(args: &Args, device: Choice) -> Result<()> {
    let peer = match (device, Peer::find(args.python.as_deref())) {
        (Choice::Cpu, Ok(peer)) => Some(peer),
        (Choice::Cpu, Err(error)) => {
            eprintln!("no peer: {error:#}");
            None
        }
        (device, _) => {
            eprintln!("no peer: it is measured on the cpu only, not on {device}");
            None
        }
    };
    let mut bench = Bench {
        args,
        device: device.to_string(),
        own: std::env::current_exe().context("this program's own file is not known")?,
        peer,
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        watch: Watch::new(Duration::from_secs(args.patience), args.attempts),
    };
    let mut report = json!({
        "machine": { "processor": processor(), "cores": bench.cores },
        "device": if args.operations { "cpu" } else { bench.device.as_str() },
        "torch": bench.peer.as_ref().map(|peer| &peer.torch),
        "rounds": args.repeat.max(1),
        "method": METHOD,
    });
    if args.operations {
        operations::run(&mut bench, &mut report)?;
    } else {
        report["method_of_steps"] = METHOD_OF_STEPS.into();
        report["steps"] = args.steps.into();
        report["cases"] = training_steps(&mut bench)?;
    }
    let text = serde_json::to_string_pretty(&report)?;
    if let Some(path) = &args.out {
        write_whole(&std::path::absolute(path)?, format!("{text}\n"))?;
    }
    println!("{text}");
    Ok(())
}

fn training_steps(bench: &mut Bench<'_>) -> Result<Value> {
    let chosen: Vec<Case> = CASES
        .into_iter()
        .filter(|case| case.name.contains(&bench.args.only))
        .collect();
    if chosen.is_empty() {
        bail!(
            "no case is called like that; there are {}",
            CASES.map(|case| case.name).join(", ")
        );
    }
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for case in chosen {
        let summary = bench.case(case)?;
        lines.push(line(case.name, &summary));
        let mut row = serde_json::to_value(case)?;
        if let (Some(row), Value::Object(more)) = (row.as_object_mut(), serde_json::to_value(summary)?) {
            row.extend(more);
        }
        rows.push(row);
    }
    eprintln!("\n{HEADER}\n{}", lines.join("\n"));
    Ok(rows.into())
}

impl Bench<'_> {
    /// Runs a process alone and parses the last line it prints.
    fn measure(&mut self, mut command: Command) -> Result<(Value, Load)> {
        self.watch.around(|| {
            let name = command.get_program().to_string_lossy().into_owned();
            let output = command
                .stdin(Stdio::null())
                .stderr(Stdio::inherit())
                .output()
                .with_context(|| format!("cannot start {name}"))?;
            if !output.status.success() {
                bail!("{command:?} ended with {}", output.status);
            }
            last_line(&output.stdout).with_context(|| format!("{command:?} printed no JSON"))
        })
    }

    /// This program with these arguments and threads.
    fn own(&self, threads: usize, args: &[&str]) -> Command {
        let mut command = Command::new(&self.own);
        command.args(["--device", &self.device]).args(args);
        command.env("RAYON_NUM_THREADS", threads.to_string());
        command
    }

    /// A step of ours.
    fn step(&self, threads: usize, case: Case, sizes: &[&str]) -> Command {
        let mut command = Command::new(&self.args.htl);
        let pass = match case.pass {
            Pass::TrainStep => "train-step",
            Pass::Evaluate => "evaluate-step",
        };
        command
            .args(["--device", &self.device, "bench", pass, "--encoder", case.encoder])
            .args(sizes)
            .env("RAYON_NUM_THREADS", threads.to_string());
        command
    }

    fn case(&mut self, case: Case) -> Result<Summary> {
        let numbers = [case.batch, case.size, self.args.steps, case.width].map(|number| number.to_string());
        let names = ["--batch", "--size", "--steps", "--width"];
        let sizes: Vec<&str> = names
            .into_iter()
            .zip(&numbers)
            .flat_map(|(name, number)| [name, number])
            .collect();
        let (script, options) = case.script();
        let mut modes = match &self.peer {
            Some(_) => peer::modes(self.cores),
            None => Vec::new(),
        };
        let mut all: Vec<Measurement> = Vec::new();
        for round in 1..=self.args.repeat.max(1) {
            let mut threads = vec![self.cores, 1];
            threads.dedup();
            let ours = threads.into_iter().map(Contestant::Ours);
            for contestant in ours.chain(modes.clone().into_iter().map(Contestant::Peer)) {
                let command = match (contestant, &self.peer) {
                    (Contestant::Peer(mode), Some(peer)) => {
                        let mut command = peer.command(script, mode);
                        command.args(&options).args(&sizes);
                        command
                    }
                    (Contestant::Peer(_), None) => continue,
                    (Contestant::Ours(threads), _) => self.step(threads, case, &sizes),
                };
                let (printed, load) = match (contestant, self.measure(command)) {
                    (_, Ok(measured)) => measured,
                    (Contestant::Ours(_), Err(error)) => return Err(error),
                    (Contestant::Peer(_), Err(error)) => {
                        eprintln!("{}: no peer: {error:#}", case.name);
                        modes.clear();
                        all.retain(|one| matches!(one.contestant, Contestant::Ours(_)));
                        break;
                    }
                };
                let measurement = Measurement::new(contestant, round, printed, load)?;
                eprintln!(
                    "{}, round {round}: {contestant}: {:.1} ms{}",
                    case.name,
                    measurement.step.ms_per_step,
                    note(&load)
                );
                all.push(measurement);
            }
            modes = repeated(modes, round, &all);
        }
        Ok(summary::summarise(&all, self.cores))
    }
}

/// The modes of the next round: all of them until a round shows, beside no other work, which are worth it.
fn repeated(modes: Vec<Mode>, round: usize, all: &[Measurement]) -> Vec<Mode> {
    let this_round = all.iter().filter_map(|m| match m.contestant {
        Contestant::Peer(mode) if m.round == round => Some((mode, m)),
        _ => None,
    });
    let (times, void): (Vec<_>, Vec<_>) = this_round
        .map(|(mode, m)| ((mode, m.step.ms_per_step), m.load.is_void()))
        .unzip();
    if void.contains(&true) {
        return modes;
    }
    peer::finalists(&times)
}

/// What to say of a measurement beside which others worked.
fn note(load: &Load) -> &'static str {
    if load.is_void() {
        " (void: other work on the cores)"
    } else {
        ""
    }
}

/// The last line that is not empty, as JSON.
fn last_line(stdout: &[u8]) -> Result<Value> {
    let text = String::from_utf8_lossy(stdout);
    let line = text.lines().rev().find(|line| !line.trim().is_empty());
    Ok(serde_json::from_str(line.context("it printed nothing")?)?)
}

const HEADER: &str = "case                              ours ms   peer ms  ratio (rounds)            1 thread: ours  peer  ratio   memory ratio  peer's mode";

fn line(name: &str, summary: &Summary) -> String {
    let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1}"));
    let ratio = |ratio: Option<Ratio>| match ratio {
        None => "-".to_string(),
        Some(Ratio { value, void: true, .. }) => format!("void ({value:.2})"),
        Some(Ratio { value, min, max, .. }) => format!("{value:.2} ({min:.2}..{max:.2})"),
    };
    let single = |ratio: Option<Ratio>| match ratio {
        Some(Ratio { value, void: false, .. }) => format!("{value:.2}"),
        Some(_) => "void".into(),
        None => "-".into(),
    };
    format!(
        "{name:<33} {:>7.1} {:>9}  {:<24} {:>15.1} {:>6}  {:<6}  {:<12}  {}",
        summary.ours.ms_per_step,
        number(summary.peer.as_ref().map(|peer| peer.ms_per_step)),
        ratio(summary.ratio),
        summary.ours_one_thread.ms_per_step,
        number(summary.peer_one_thread.as_ref().map(|peer| peer.ms_per_step)),
        single(summary.single_thread_ratio),
        summary.memory_ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")),
        summary.peer.as_ref().map_or("-", |peer| peer.who.as_str()),
    )
}

/// The processor's name, where the system says it.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_result() {
        assert_eq!(last_line(b"warning\n{\"ms\": 2}\n\n").unwrap()["ms"], 2);
        assert!(last_line(b"\n").is_err());
        assert!(last_line(b"not JSON").is_err());
    }

    /// What was measured beside other work must not decide who stays in the race.
    #[test]
    fn modes_are_dropped_after_a_round_beside_no_other_work() {
        let modes = peer::modes(2);
        let round = |round, load| {
            let all = modes.iter().enumerate();
            let measured = all.map(move |(index, mode)| {
                let printed = json!({"ms_per_step": 100 - index, "peak_bytes": 8});
                Measurement::new(Contestant::Peer(*mode), round, printed, load).unwrap()
            });
            measured.collect::<Vec<_>>()
        };
        let busy = Load {
            before: Some(0.4),
            ..Load::default()
        };
        let mut all = round(1, busy);
        assert_eq!(repeated(modes.clone(), 1, &all), modes);
        all.extend(round(2, Load::default()));
        assert_eq!(repeated(modes.clone(), 2, &all), [modes[1], modes[5], modes[4]]);
        assert_eq!(repeated(Vec::new(), 1, &[]), []);
    }

    #[test]
    fn a_void_ratio_is_called_so_in_the_table() {
        let rows = |load: Load| {
            let row = |who, ms: f64| {
                let printed = json!({"ms_per_step": ms, "peak_bytes": 8});
                Measurement::new(who, 1, printed, load).unwrap()
            };
            let mode = peer::modes(1)[0];
            [row(Contestant::Ours(1), 10.0), row(Contestant::Peer(mode), 15.0)]
        };
        let quiet = line("case", &summary::summarise(&rows(Load::default()), 1));
        assert!(
            quiet.contains("1.50 (1.50..1.50)") && !quiet.contains("void"),
            "{quiet}"
        );
        let busy = Load {
            during: Some(0.5),
            ..Load::default()
        };
        let busy = line("case", &summary::summarise(&rows(busy), 1));
        assert!(busy.contains("void (1.50)"), "{busy}");
    }
}
