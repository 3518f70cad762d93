//! Single operations: ours, the peer's, and how close ours come to what the machine can do.

use super::load::Load;
use super::peer::{self, Mode};
use super::summary::median;
use super::{Bench, note};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What both sides print.
#[derive(Debug, Deserialize)]
struct Printed {
    operations: Vec<Times>,
}

/// Medians of one process.
#[derive(Clone, Debug, Deserialize)]
struct Times {
    name: String,
    forward_ms: f64,
    backward_ms: Option<f64>,
    /// The least work there is; ours say it.
    forward: Option<Work>,
    backward: Option<Work>,
}

impl Times {
    fn total(&self) -> f64 {
        self.forward_ms + self.backward_ms.unwrap_or_default()
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Work {
    flops: f64,
    bytes: f64,
}

/// What the machine can do with all threads.
#[derive(Clone, Copy, Debug)]
struct Floor {
    gflops: f64,
    gbs: f64,
}

impl Floor {
    fn of(printed: &Value) -> Result<Self> {
        let number = |key: &str| {
            printed[key]["all_threads"]
                .as_f64()
                .with_context(|| format!("`htl-bench floor` printed no {key}"))
        };
        Ok(Self {
            gflops: number("fma_gflops")?,
            gbs: number("copy_gbs")?,
        })
    }

    /// Percent of what the machine can do at best, and of what it is: the slower of computing and of moving.
    fn share(self, work: Work, ms: f64) -> (f64, &'static str) {
        let (compute, memory) = (work.flops / self.gflops / 1e6, work.bytes / self.gbs / 1e6);
        if compute > memory {
            (100.0 * compute / ms, "fma")
        } else {
            (100.0 * memory / ms, "memory")
        }
    }
}

/// Forward or backward pass.
#[derive(Debug, Serialize)]
struct Pass {
    ours_ms: f64,
    peer_ms: Option<f64>,
    /// The peer's time divided by ours.
    ratio: Option<f64>,
    /// Percent of the peak that bounds it; above 100 where what is moved stays in the caches.
    floor_percent: Option<f64>,
    /// That peak.
    bound: Option<&'static str>,
}

/// An operation's row.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    forward: Pass,
    backward: Option<Pass>,
    /// Both passes together.
    ratio: Option<f64>,
    /// The peer's fastest mode in both passes together.
    peer_mode: Option<String>,
    /// Whether other work was on the cores.
    void: bool,
}

/// One process's result.
#[derive(Debug)]
struct Process {
    times: Vec<Times>,
    load: Load,
}

/// Runs the measurement.
pub fn run(bench: &mut Bench<'_>, report: &mut Value) -> Result<()> {
    let (floor, load) = bench.measure(bench.own(bench.cores, &["floor"]))?;
    let floors = Floor::of(&floor)?;
    eprintln!(
        "floor: {:.0} GFLOP/s, {:.1} GB/s{}",
        floors.gflops,
        floors.gbs,
        note(&load)
    );
    let only = bench.args.only.clone();
    let modes = match &bench.peer {
        Some(_) => peer::modes(bench.cores),
        None => Vec::new(),
    };
    let mut ours = Vec::new();
    let mut theirs: Vec<(Mode, Vec<Process>)> = modes.into_iter().map(|mode| (mode, Vec::new())).collect();
    for round in 1..=bench.args.repeat.max(1) {
        let command = bench.own(bench.cores, &["operations", "--only", &only]);
        ours.push(process(bench, command, &format!("round {round}: ours"))?);
        for (mode, processes) in &mut theirs {
            let Some(peer) = &bench.peer else { continue };
            let mut command = peer.command("operations.py", *mode);
            command.args(["--only", &only]);
            processes.push(process(bench, command, &format!("round {round}: peer, {mode}"))?);
        }
    }
    let rows = rows(&ours, &theirs, Some(floors).filter(|_| !load.is_void()));
    if rows.is_empty() {
        bail!("no operation is called like that; `htl-bench operations --list` names them");
    }
    eprintln!("\n{HEADER}");
    rows.iter().for_each(|row| eprintln!("{}", line(row)));
    report["floor"] = json!({ "void": load.is_void(), "load": load, "printed": floor });
    report["operations"] = serde_json::to_value(rows)?;
    Ok(())
}

fn process(bench: &mut Bench<'_>, command: std::process::Command, who: &str) -> Result<Process> {
    let (printed, load) = bench.measure(command)?;
    let Printed { operations } = Printed::deserialize(&printed).with_context(|| format!("{who} printed {printed}"))?;
    eprintln!("{who}: {} operations{}", operations.len(), note(&load));
    Ok(Process {
        times: operations,
        load,
    })
}

/// Medians over the processes of one operation; `None` if any lacks it.
fn over_rounds(processes: &[Process], name: &str) -> Option<Times> {
    let found = processes
        .iter()
        .map(|process| process.times.iter().find(|times| times.name == name))
        .collect::<Option<Vec<_>>>()?;
    let backward: Option<Vec<f64>> = found.iter().map(|times| times.backward_ms).collect();
    Some(Times {
        forward_ms: median(found.iter().map(|times| times.forward_ms)),
        backward_ms: backward.map(median),
        ..(*found.first()?).clone()
    })
}

fn rows(ours: &[Process], theirs: &[(Mode, Vec<Process>)], floor: Option<Floor>) -> Vec<Row> {
    let names = ours.first().map(|process| process.times.as_slice()).unwrap_or_default();
    let row = |name: &str| -> Option<Row> {
        let own = over_rounds(ours, name)?;
        let medians = theirs
            .iter()
            .filter_map(|(mode, processes)| Some((mode, processes, over_rounds(processes, name)?)));
        let best = medians.min_by(|a, b| a.2.total().total_cmp(&b.2.total()));
        let peer = best.as_ref().map(|(_, _, times)| times);
        let pass = |ours_ms: f64, peer_ms: Option<f64>, work: Option<Work>| {
            let share = floor.zip(work).map(|(floor, work)| floor.share(work, ours_ms));
            Pass {
                ours_ms,
                peer_ms,
                ratio: peer_ms.map(|peer_ms| peer_ms / ours_ms),
                floor_percent: share.map(|(percent, _)| percent),
                bound: share.map(|(_, bound)| bound),
            }
        };
        let rounds = best.as_ref().map(|(_, processes, _)| processes.iter());
        Some(Row {
            name: name.to_string(),
            forward: pass(own.forward_ms, peer.map(|times| times.forward_ms), own.forward),
            backward: own
                .backward_ms
                .map(|ms| pass(ms, peer.and_then(|times| times.backward_ms), own.backward)),
            ratio: peer.map(|times| times.total() / own.total()),
            peer_mode: best.as_ref().map(|(mode, _, _)| mode.to_string()),
            void: ours
                .iter()
                .chain(rounds.into_iter().flatten())
                .any(|process| process.load.is_void()),
        })
    };
    names.iter().filter_map(|times| row(&times.name)).collect()
}

const HEADER: &str = "operation                  forward: ours    peer  ratio  of peak    backward: ours    peer  ratio  of peak   peer's mode";

fn line(row: &Row) -> String {
    let number = |value: Option<f64>, places: usize| value.map_or("-".into(), |value| format!("{value:.places$}"));
    let pass = |pass: &Pass| {
        let ratio = if row.void { "void".into() } else { number(pass.ratio, 2) };
        let share = match (pass.floor_percent, pass.bound) {
            (Some(percent), Some(bound)) => format!("{percent:.0} % {bound}"),
            _ => "-".into(),
        };
        format!(
            "{:.3} {:>7} {ratio:>6}  {share:<12}",
            pass.ours_ms,
            number(pass.peer_ms, 3)
        )
    };
    let backward = row.backward.as_ref().map_or("-".into(), pass);
    format!(
        "{:<26} {:>42} {:>42}  {}",
        row.name,
        pass(&row.forward),
        backward,
        row.peer_mode.as_deref().unwrap_or("-")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(load: Load, times: &[(&str, f64, Option<f64>)]) -> Process {
        let operations: Vec<Value> = times
            .iter()
            .map(|(name, forward, backward)| {
                json!({
                    "name": name, "forward_ms": forward, "backward_ms": backward,
                    "forward": {"flops": 2e8, "bytes": 1e6},
                    "backward": backward.map(|_| json!({"flops": 0, "bytes": 4e7})),
                })
            })
            .collect();
        let Printed { operations } = serde_json::from_value(json!({ "operations": operations })).unwrap();
        Process {
            times: operations,
            load,
        }
    }

    const FLOOR: Floor = Floor {
        gflops: 200.0,
        gbs: 40.0,
    };

    /// 2e8 operations at 200 GFLOP/s take 1 ms, 4e7 bytes at 40 GB/s as well.
    #[test]
    fn rows_have_the_fastest_mode_and_the_share_of_the_peak() {
        let quiet = Load::default();
        let ours = [
            process(quiet, &[("conv", 2.0, Some(4.0)), ("adamw", 1.0, None)]),
            process(quiet, &[("conv", 2.0, Some(4.0)), ("adamw", 1.0, None)]),
        ];
        let all = peer::modes(2);
        let busy = Load {
            after: Some(0.7),
            ..quiet
        };
        let theirs = [
            (
                all[0],
                vec![process(quiet, &[("conv", 9.0, Some(9.0)), ("adamw", 0.5, None)])],
            ),
            (
                all[2],
                vec![process(busy, &[("conv", 4.0, Some(2.0)), ("adamw", 0.7, None)])],
            ),
        ];
        let rows = rows(&ours, &theirs, Some(FLOOR));
        let [conv, adamw] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(
            (conv.forward.floor_percent, conv.forward.bound),
            (Some(50.0), Some("fma"))
        );
        let backward = conv.backward.as_ref().unwrap();
        assert_eq!((backward.floor_percent, backward.bound), (Some(25.0), Some("memory")));
        assert_eq!(
            (conv.forward.ratio, backward.ratio, conv.ratio),
            (Some(2.0), Some(0.5), Some(1.0))
        );
        assert_eq!(conv.peer_mode.as_deref(), Some("2 threads"));
        assert!(conv.void && line(conv).contains("void"));
        assert_eq!((adamw.ratio, adamw.void), (Some(0.5), false));
        assert!(adamw.backward.is_none());
    }

    #[test]
    fn a_floor_without_its_numbers_is_refused() {
        let error = Floor::of(&json!({"fma_gflops": {"all_threads": 1.0}})).unwrap_err();
        assert!(error.to_string().contains("copy_gbs"), "{error}");
    }
}
