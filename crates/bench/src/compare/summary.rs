//! What the measurements of one case say.

use super::load::Load;
use super::peer::Mode;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    /// `htl` with so many threads.
    Ours(usize),
    Peer(Mode),
}

impl std::fmt::Display for Contestant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ours(1) => write!(f, "ours, 1 thread"),
            Self::Ours(threads) => write!(f, "ours, {threads} threads"),
            Self::Peer(mode) => write!(f, "peer, {mode}"),
        }
    }
}

/// What both sides' JSON has.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Step {
    pub ms_per_step: f64,
    #[serde(alias = "peak_bytes_over_idle")]
    pub peak_bytes: f64,
}

/// One process's result.
#[derive(Clone, Debug)]
pub struct Measurement {
    pub contestant: Contestant,
    /// Counted from 1.
    pub round: usize,
    pub step: Step,
    pub load: Load,
    /// What the process printed.
    pub printed: Value,
}

impl Measurement {
    pub fn new(contestant: Contestant, round: usize, printed: Value, load: Load) -> Result<Self> {
        let step = Step::deserialize(&printed).with_context(|| format!("{contestant} printed {printed}"))?;
        Ok(Self {
            contestant,
            round,
            step,
            load,
            printed,
        })
    }

    /// Its row in the JSON.
    fn row(&self) -> Value {
        serde_json::json!({
            "who": self.contestant.to_string(),
            "round": self.round,
            "void": self.load.is_void(),
            "load": self.load,
            "printed": self.printed,
        })
    }
}

/// Medians over rounds of one contestant.
#[derive(Clone, Debug, Serialize)]
pub struct Medians {
    pub who: String,
    pub ms_per_step: f64,
    pub peak_bytes: f64,
}

/// The peer's time divided by ours: above 1 we are faster.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Of the medians over rounds.
    pub value: f64,
    /// Smallest and largest within one round.
    pub min: f64,
    pub max: f64,
    /// Whether the cores were busy with other work in any of the measurements, so that it says nothing.
    pub void: bool,
}

/// What the measurements of one case say.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub ours: Medians,
    pub ours_one_thread: Medians,
    /// The peer's fastest mode.
    pub peer: Option<Medians>,
    /// Its fastest mode of one thread.
    pub peer_one_thread: Option<Medians>,
    pub ratio: Option<Ratio>,
    /// Both on one thread.
    pub single_thread_ratio: Option<Ratio>,
    /// The peer's memory divided by ours.
    pub memory_ratio: Option<f64>,
    /// Whether any measurement behind the ratios was taken beside other work.
    pub void: bool,
    pub rows: Vec<Value>,
}

/// The middle one of sorted numbers, or half-way between two; not a number if there is none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    (at(values.len().saturating_sub(1) / 2) + at(values.len() / 2)) / 2.0
}

fn of(all: &[Measurement], contestant: Contestant) -> Vec<&Measurement> {
    all.iter()
        .filter(|measurement| measurement.contestant == contestant)
        .collect()
}

fn medians(contestant: Contestant, series: &[&Measurement]) -> Medians {
    Medians {
        who: contestant.to_string(),
        ms_per_step: median(series.iter().map(|m| m.step.ms_per_step)),
        peak_bytes: median(series.iter().map(|m| m.step.peak_bytes)),
    }
}

fn ratio(ours: &[&Measurement], peer: &[&Measurement]) -> Ratio {
    let ms = |series: &[&Measurement]| median(series.iter().map(|m| m.step.ms_per_step));
    let pairs = ours.iter().flat_map(|our| {
        let same_round = peer.iter().filter(|their| their.round == our.round);
        same_round.map(|their| their.step.ms_per_step / our.step.ms_per_step)
    });
    let (min, max) = pairs.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), ratio| {
        (min.min(ratio), max.max(ratio))
    });
    Ratio {
        value: ms(peer) / ms(ours),
        min,
        max,
        void: ours.iter().chain(peer).any(|m| m.load.is_void()),
    }
}

/// The fastest of the peer's modes that ran in every round, by its median.
fn fastest(all: &[Measurement], accept: impl Fn(Mode) -> bool) -> Option<Contestant> {
    let rounds = all.iter().map(|m| m.round).max()?;
    let mut best: Option<(Contestant, f64)> = None;
    for contestant in all.iter().map(|m| m.contestant) {
        let series = of(all, contestant);
        let ms = medians(contestant, &series).ms_per_step;
        if matches!(contestant, Contestant::Peer(mode) if accept(mode))
            && series.len() == rounds
            && best.is_none_or(|(_, other)| ms < other)
        {
            best = Some((contestant, ms));
        }
    }
    best.map(|(contestant, _)| contestant)
}

/// Sums up a case measured with `cores` threads and with one.
pub fn summarise(all: &[Measurement], cores: usize) -> Summary {
    let [many, one] = [Contestant::Ours(cores), Contestant::Ours(1)];
    let [ours, ours_one] = [of(all, many), of(all, one)];
    let peer = fastest(all, |_| true).map(|mode| (mode, of(all, mode)));
    let peer_one = fastest(all, |mode| mode.threads == 1).map(|mode| (mode, of(all, mode)));
    let own = medians(many, &ours);
    let named =
        |found: &Option<(Contestant, Vec<&Measurement>)>| found.as_ref().map(|(who, series)| medians(*who, series));
    let best = named(&peer);
    let both = peer.as_ref().map(|(_, series)| ratio(&ours, series));
    let single = peer_one.as_ref().map(|(_, series)| ratio(&ours_one, series));
    let memory = best.as_ref().map(|peer| peer.peak_bytes / own.peak_bytes);
    Summary {
        ours_one_thread: medians(one, &ours_one),
        peer_one_thread: named(&peer_one),
        void: [both, single].iter().flatten().any(|ratio| ratio.void)
            || ours.iter().chain(&ours_one).any(|m| m.load.is_void()),
        ratio: both,
        single_thread_ratio: single,
        // Without a number of ours, where the system does not say, there is none.
        memory_ratio: memory.filter(|ratio| ratio.is_finite()),
        peer: best,
        ours: own,
        rows: all.iter().map(Measurement::row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::peer::modes;
    use super::*;

    const QUIET: Load = Load {
        before: Some(0.0),
        during: Some(0.01),
        after: Some(0.0),
        attempts: 1,
    };
    const BUSY: Load = Load {
        before: Some(0.5),
        ..QUIET
    };

    fn measured(contestant: Contestant, round: usize, ms: f64, load: Load) -> Measurement {
        let bytes = match contestant {
            Contestant::Ours(_) => serde_json::json!({"ms_per_step": ms, "peak_bytes": 100}),
            Contestant::Peer(_) => serde_json::json!({"ms_per_step": ms, "peak_bytes_over_idle": 250}),
        };
        Measurement::new(contestant, round, bytes, load).unwrap()
    }

    /// Three rounds; the second mode of two threads is fastest once, but ran once only.
    fn fabricated(load: Load) -> Vec<Measurement> {
        let all = modes(2).into_iter().map(Contestant::Peer).collect::<Vec<_>>();
        let mut rows = Vec::new();
        for (round, factor) in [(1, 1.0), (2, 1.1), (3, 0.9)] {
            rows.push(measured(Contestant::Ours(2), round, 50.0, load));
            rows.push(measured(Contestant::Ours(1), round, 80.0, QUIET));
            rows.push(measured(all[1], round, 160.0 * factor, QUIET));
            rows.push(measured(all[2], round, 100.0 * factor, QUIET));
        }
        rows.push(measured(all[3], 1, 10.0, QUIET));
        rows
    }

    #[test]
    fn ratios_are_of_medians_with_the_range_over_rounds() {
        let summary = summarise(&fabricated(QUIET), 2);
        let ratio = summary.ratio.unwrap();
        assert_eq!(
            [ratio.value, ratio.min, ratio.max].map(|r| (r * 10.0).round()),
            [20.0, 18.0, 22.0]
        );
        let single = summary.single_thread_ratio.unwrap();
        assert_eq!((single.value * 10.0).round(), 20.0);
        assert!(!summary.void && !ratio.void && !single.void);
        assert_eq!(summary.memory_ratio, Some(2.5));
        assert_eq!(summary.peer.unwrap().who, "peer, 2 threads");
        assert_eq!(summary.peer_one_thread.unwrap().who, "peer, 1 thread, channels_last");
        assert_eq!(summary.rows.len(), 13);
    }

    #[test]
    fn a_ratio_is_void_only_if_it_needs_a_void_measurement() {
        let summary = summarise(&fabricated(BUSY), 2);
        assert!(summary.void && summary.ratio.unwrap().void);
        assert!(!summary.single_thread_ratio.unwrap().void);
        assert_eq!(summary.rows[0]["void"], true);
        // A mode that is out of the race does not matter.
        let mut rows = fabricated(QUIET);
        rows.last_mut().unwrap().load = BUSY;
        assert!(!summarise(&rows, 2).void);
    }

    #[test]
    fn without_a_peer_ours_remains() {
        let rows: Vec<_> = fabricated(QUIET)
            .into_iter()
            .filter(|m| matches!(m.contestant, Contestant::Ours(_)))
            .collect();
        let summary = summarise(&rows, 2);
        assert_eq!(summary.ours.ms_per_step, 50.0);
        assert!(summary.ratio.is_none() && summary.peer.is_none() && summary.memory_ratio.is_none());
    }

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([3.0, 1.0]), 2.0);
        assert!(median([]).is_nan());
    }

    #[test]
    fn what_is_no_measurement_is_shown() {
        let error = Measurement::new(Contestant::Ours(2), 1, serde_json::json!({"ms": 1}), QUIET).unwrap_err();
        assert!(format!("{error:#}").contains("ours, 2 threads printed"), "{error:#}");
    }
}
