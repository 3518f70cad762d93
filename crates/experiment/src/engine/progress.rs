//! What a person sees while stages run: an overall bar with the remaining time and a line per running stage on a
//! terminal, a line per finished stage elsewhere.

use htl_vocabulary::duration_in_words;
use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

struct Running {
    name: String,
    cost: f64,
    fraction: f64,
    begin: Instant,
    bar: Option<ProgressBar>,
}

struct State {
    running: BTreeMap<usize, Running>,
    finished: usize,
    /// Work found finished or done so far, in cost.
    behind: f64,
    /// Work done by this run, in cost.
    done: f64,
}

/// The display of one run: silent where not even warnings are wanted.
pub(super) struct Progress {
    screen: Option<(MultiProgress, ProgressBar)>,
    stages: usize,
    cost: f64,
    begin: Instant,
    state: Mutex<State>,
}

impl Progress {
    /// For a run of `stages` stages with the given total cost.
    pub fn new(stages: usize, cost: f64) -> Self {
        let wanted = std::io::stderr().is_terminal() && tracing::enabled!(tracing::Level::WARN);
        let screen = wanted.then(|| {
            let screen = MultiProgress::new();
            let bar = screen.add(ProgressBar::new(1000));
            if let Ok(style) = ProgressStyle::with_template("{bar:32.green} {percent:>3} % {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(500));
            (screen, bar)
        });
        let state = State {
            running: BTreeMap::new(),
            finished: 0,
            behind: 0.,
            done: 0.,
        };
        Self {
            screen,
            stages,
            cost: cost.max(1e-9),
            begin: Instant::now(),
            state: Mutex::new(state),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = match self.state.lock() {
            Ok(state) => state,
            Err(poisoned) => poisoned.into_inner(),
        };
        let result = change(&mut state);
        if let Some((_, bar)) = &self.screen {
            let (fraction, left) = self.remaining(&state);
            bar.set_position((fraction * 1000.) as u64);
            let left = left.map_or_else(|| "…".into(), |left| format!("about {} left", HumanDuration(left)));
            bar.set_message(format!("{}/{} stages, {left}", state.finished, self.stages));
        }
        result
    }

    /// Share of the work behind us, and the time the rest will take at this run's pace.
    fn remaining(&self, state: &State) -> (f64, Option<Duration>) {
        let partial: f64 = state.running.values().map(|stage| stage.cost * stage.fraction).sum();
        let behind = (state.behind + partial).min(self.cost);
        let done = state.done + partial;
        let elapsed = self.begin.elapsed().as_secs_f64();
        let known = done > 0.005 * self.cost && elapsed > 2.;
        let left = known.then(|| Duration::from_secs_f64(elapsed / done * (self.cost - behind)));
        (behind / self.cost, left)
    }

    /// Tells a person something while stages run.
    pub fn say(&self, line: &str) {
        match &self.screen {
            // A terminal that went away is no reason to stop.
            Some((screen, _)) => drop(screen.println(line)),
            None if tracing::enabled!(tracing::Level::WARN) => eprintln!("{line}"),
            None => {}
        }
    }

    /// A stage was finished by an earlier run.
    pub fn found(&self, cost: f64) {
        self.with(|state| {
            state.finished += 1;
            state.behind += cost;
        });
    }

    /// A stage begins.
    pub fn start(&self, index: usize, name: &str, cost: f64) {
        let bar = self.screen.as_ref().map(|(screen, _)| {
            let bar = screen.add(ProgressBar::new(1000));
            if let Ok(style) = ProgressStyle::with_template("  {bar:16.cyan/white} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.set_message(name.to_string());
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        let running = Running {
            name: name.into(),
            cost,
            fraction: 0.,
            begin: Instant::now(),
            bar,
        };
        self.with(|state| state.running.insert(index, running));
    }

    /// Updates the progress of a running stage.
    pub fn advance(&self, index: usize, done: f64, total: f64) {
        self.with(|state| {
            if let Some(stage) = state.running.get_mut(&index)
                && total > 0.
            {
                stage.fraction = (done / total).clamp(0., 1.);
                if let Some(bar) = &stage.bar {
                    bar.set_position((stage.fraction * 1000.) as u64);
                }
            }
        });
    }

    /// A stage ended well.
    pub fn finish(&self, index: usize) {
        let line = self.with(|state| {
            let stage = state.running.remove(&index)?;
            if let Some(bar) = stage.bar {
                bar.finish_and_clear();
            }
            state.finished += 1;
            state.behind += stage.cost;
            state.done += stage.cost;
            let left = self
                .remaining(state)
                .1
                .map_or_else(String::new, |left| format!(", about {} left", duration_in_words(left)));
            let (finished, stages) = (state.finished, self.stages);
            let (own, all) = (
                duration_in_words(stage.begin.elapsed()),
                duration_in_words(self.begin.elapsed()),
            );
            Some(format!(
                "[{finished}/{stages}] {} in {own} (after {all}{left})",
                stage.name
            ))
        });
        if let (Some(line), None) = (line, &self.screen) {
            eprintln!("{line}");
        }
    }

    /// Nothing more will happen.
    pub fn close(&self) {
        self.with(|state| {
            for (_, stage) in std::mem::take(&mut state.running) {
                if let Some(bar) = stage.bar {
                    bar.finish_and_clear();
                }
            }
        });
        if let Some((_, bar)) = &self.screen {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of a running stage counts half of its cost, found stages count as behind us but not as pace.
    #[test]
    fn shares_follow_cost() {
        let progress = Progress::new(3, 10.);
        progress.found(4.);
        progress.start(1, "training", 4.);
        progress.advance(1, 50., 100.);
        let share = progress.with(|state| progress_share(&progress, state));
        assert!((share - 0.6).abs() < 1e-9, "{share}");
        progress.finish(1);
        assert!((progress.with(|state| state.done) - 4.).abs() < 1e-9);
    }

    fn progress_share(progress: &Progress, state: &State) -> f64 {
        progress.remaining(state).0
    }
}
