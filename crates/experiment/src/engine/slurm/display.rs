//! What a person sees of a run: one line that changes on a terminal; elsewhere a line for whatever happens, and now and then
//! one that says where the run stands.

use super::{Event, SlurmStage, Snapshot};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Between two lines that say where a run stands, where there is no terminal.
const PAUSE: Duration = Duration::from_secs(60);

/// Reasons for waiting that are told apart; the rest is left out.
const MOST_REASONS: usize = 3;

/// Shows a run on standard error.
pub struct Display {
    names: Vec<String>,
    bar: Option<ProgressBar>,
    said: Option<(Instant, Snapshot)>,
}

impl Display {
    /// For a run of these stages.
    pub fn new(stages: &[SlurmStage]) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(stages.len() as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:32.green} {pos}/{len} stages, {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
        Self {
            names: stages.iter().map(|stage| stage.name.clone()).collect(),
            bar,
            said: None,
        }
    }

    /// Shows what happened.
    pub fn show(&mut self, event: &Event) {
        let name = |index: &usize| self.names.get(*index).map_or("?", String::as_str);
        match event {
            Event::Begins {
                finished,
                adopted,
                stages,
            } => {
                if let Some(bar) = &self.bar {
                    bar.set_position(*finished as u64);
                }
                let adopted = match adopted {
                    0 => String::new(),
                    adopted => format!(", {adopted} in the queue already"),
                };
                self.say(&format!("{finished} of {stages} stages are finished{adopted}"));
            }
            Event::Submitted { job, stages } => {
                let what = match stages {
                    [only] => name(only).to_string(),
                    [first, .., last] => format!("{} stages, {} to {}", stages.len(), name(first), name(last)),
                    [] => return,
                };
                self.say(&format!("job {job}: {what}"));
            }
            // The bar counts them.
            Event::Finished(_) if self.bar.is_some() => {}
            Event::Finished(index) => self.say(&format!("finished {}", name(index))),
            Event::Failed(index, failure) => self.say(&format!("failed {}: {}", name(index), failure.why)),
            Event::Lost { stage, why } => self.say(&format!("{} is submitted again: {why}", name(stage))),
            Event::Silent(error) => self.say(&format!("waiting: {error}")),
            Event::Looked(snapshot) => self.stand(snapshot),
        }
    }

    /// Takes the line off the terminal.
    pub fn close(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn stand(&mut self, snapshot: &Snapshot) {
        if let Some(bar) = &self.bar {
            bar.set_position(snapshot.finished as u64);
            bar.set_message(standing(snapshot));
            return;
        }
        let due = match &self.said {
            None => true,
            Some((when, said)) => when.elapsed() >= PAUSE && said != snapshot,
        };
        if due {
            eprintln!(
                "{}/{} stages, {}",
                snapshot.finished,
                snapshot.stages,
                standing(snapshot)
            );
            self.said = Some((Instant::now(), snapshot.clone()));
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }
}

/// Where the stages stand that are not finished.
fn standing(snapshot: &Snapshot) -> String {
    let mut text = format!("{} running", snapshot.running.len());
    let waiting: usize = snapshot.waiting.values().sum();
    if waiting > 0 {
        text.push_str(&format!(", {waiting} waiting"));
        let mut reasons: Vec<_> = snapshot
            .waiting
            .iter()
            .filter(|(reason, _)| !reason.is_empty())
            .collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let reasons: Vec<String> = reasons
            .iter()
            .take(MOST_REASONS)
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        if !reasons.is_empty() {
            text.push_str(&format!(" ({})", reasons.join(", ")));
        }
    }
    if snapshot.failed > 0 {
        text.push_str(&format!(", {} failed", snapshot.failed));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_why_stages_wait() {
        let mut snapshot = Snapshot {
            stages: 9,
            running: vec![1, 2],
            ..Snapshot::default()
        };
        assert_eq!(standing(&snapshot), "2 running");
        snapshot.waiting = [("Priority", 1), ("Dependency", 3), ("", 1)]
            .map(|(reason, count)| (reason.into(), count))
            .into();
        snapshot.failed = 1;
        assert_eq!(
            standing(&snapshot),
            "2 running, 5 waiting (Dependency 3, Priority 1), 1 failed"
        );
    }
}
