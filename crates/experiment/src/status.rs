//! How far a run is: what is done, running, failed, and how long is left.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use htl_vocabulary::duration_in_words;

use crate::ExperimentError;
use crate::engine::slurm::{self, Client, SlurmStage, Standing};
use crate::engine::{Failure, Record, log_path};
use crate::error::io;
use crate::plan::{Kind, Plan};

/// Where a stage stands.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Finished, in so many seconds.
    Done(f64),
    /// Somebody works on it now.
    Running,
    /// It is in the queue of a cluster: for what it waits, in Slurm's words.
    Queued(String),
    /// It failed the last time it was tried: what it said.
    Failed(String),
    /// It was begun and stopped; the next run goes on with it.
    Stopped,
    /// It was not begun yet.
    Waiting,
}

/// A stage and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct StageState {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Its expected work.
    pub cost: f64,
    /// Its log, relative to the output folder.
    pub log: String,
    /// Where it stands.
    pub state: State,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Every stage of the plan.
    pub stages: Vec<StageState>,
    /// Why the cluster that ran stages could not be asked.
    pub cluster: Option<String>,
}

/// How far the run in a folder is, as far as its files tell, and the cluster if stages were submitted to one.
///
/// # Errors
/// [`ExperimentError::Plan`] if there is no plan.
pub fn status(out: &Path) -> Result<Status, ExperimentError> {
    let plan = Plan::read(out)?;
    // Jobs are known by the absolute path.
    let absolute = std::path::absolute(out).map_err(io(out, "find"))?;
    let asked = slurm::status(&Client::default(), &absolute, &SlurmStage::of(&plan));
    let (standings, cluster) = match asked {
        Ok(standings) => (standings, None),
        Err(error) => (Vec::new(), Some(error.to_string())),
    };
    let standings = standings.into_iter().map(Some).chain(std::iter::repeat(None));
    let stages = plan.stages.iter().zip(standings);
    Ok(Status {
        cluster,
        stages: stages
            .map(|(stage, standing)| StageState {
                name: stage.name.clone(),
                kind: stage.kind,
                cost: stage.cost,
                log: log_path(Path::new(""), stage).to_string_lossy().into_owned(),
                state: state(out, stage, standing),
            })
            .collect(),
    })
}

fn state(out: &Path, stage: &crate::plan::Stage, standing: Option<Standing>) -> State {
    if let Some(Record { seconds, .. }) = crate::engine::claims_to_be_finished(out, stage) {
        return State::Done(seconds);
    }
    let lost = match standing {
        Some(Standing::Running { .. }) => return State::Running,
        Some(Standing::Waiting { reason, .. }) => return State::Queued(reason),
        Some(Standing::Failed { why, .. }) => Some(why),
        _ => None,
    };
    let begun = crate::engine::partial(out, stage).exists();
    match crate::engine::is_held(&log_path(out, stage)) {
        Some(true) => State::Running,
        // Without locks nobody can tell a running stage from a stopped one.
        _ => match Failure::read(out, stage).map(|failure| failure.message).or(lost) {
            Some(message) => State::Failed(message),
            None if begun => State::Stopped,
            None => State::Waiting,
        },
    }
}

impl Status {
    /// Number of stages in a state.
    pub fn count(&self, of: impl Fn(&State) -> bool) -> usize {
        self.stages.iter().filter(|stage| of(&stage.state)).count()
    }

    /// The stages that failed, with what they said.
    pub fn failures(&self) -> impl Iterator<Item = (&StageState, &str)> {
        self.stages.iter().filter_map(|stage| match &stage.state {
            State::Failed(message) => Some((stage, message.as_str())),
            _ => None,
        })
    }

    /// For what stages wait in a queue, and how many for each: ` (Priority 12, Dependency 40)`.
    fn reasons(&self) -> String {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for stage in &self.stages {
            if let State::Queued(reason) = &stage.state
                && !reason.is_empty()
            {
                *reasons.entry(reason).or_default() += 1;
            }
        }
        if reasons.is_empty() {
            return String::new();
        }
        let reasons: Vec<String> = reasons
            .iter()
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        format!(" ({})", reasons.join(", "))
    }

    /// Time that the rest would take one stage at a time, at the pace of the finished ones; `None` before any is.
    pub fn left(&self) -> Option<Duration> {
        let (mut seconds, mut done, mut left) = (0., 0., 0.);
        for stage in &self.stages {
            match stage.state {
                State::Done(own) => {
                    seconds += own;
                    done += stage.cost;
                }
                _ => left += stage.cost,
            }
        }
        Duration::try_from_secs_f64(seconds / done * left).ok()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done = self.count(|state| matches!(state, State::Done(_)));
        let running = self.count(|state| *state == State::Running);
        let failed = self.count(|state| matches!(state, State::Failed(_)));
        let stopped = self.count(|state| *state == State::Stopped);
        let queued = self.count(|state| matches!(state, State::Queued(_)));
        let queued = match queued {
            0 => String::new(),
            queued => format!("{queued} in the queue{}, ", self.reasons()),
        };
        writeln!(
            f,
            "{done} of {} stages finished, {running} running, {queued}{failed} failed, {stopped} stopped",
            self.stages.len()
        )?;
        if let Some(error) = &self.cluster {
            writeln!(f, "what is in the queue is not known: {error}")?;
        }
        if let Some(left) = self.left().filter(|_| done < self.stages.len()) {
            writeln!(f, "about {} of work left, one stage at a time", duration_in_words(left))?;
        }
        writeln!(
            f,
            "{:<10} {:>6} {:>6} {:>8} {:>7}",
            "kind", "stages", "done", "running", "failed"
        )?;
        for kind in Kind::ALL {
            let own = |of: fn(&State) -> bool| {
                let stages = self.stages.iter();
                stages.filter(|stage| stage.kind == kind && of(&stage.state)).count()
            };
            let all = own(|_| true);
            if all > 0 {
                let [done, running, failed] = [
                    own(|state| matches!(state, State::Done(_))),
                    own(|state| *state == State::Running),
                    own(|state| matches!(state, State::Failed(_))),
                ];
                writeln!(f, "{:<10} {all:>6} {done:>6} {running:>8} {failed:>7}", kind.name())?;
            }
        }
        for stage in self.stages.iter().filter(|stage| stage.state == State::Running) {
            writeln!(f, "running: {}", stage.name)?;
        }
        for (stage, message) in self.failures() {
            let first = message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            // The child's own words come indented below the first line.
            let said = message.lines().filter_map(|line| line.strip_prefix("  | ")).next_back();
            let said = said.map_or_else(String::new, |said| format!(" {said}"));
            writeln!(f, "failed: {}: {first}{said} (log: {})", stage.name, stage.log)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::engine::{FAILURE_SUFFIX, LOGS, RECORD};
    use crate::plan::HtlCall;
    use crate::plan::tests::empty;

    /// Each state is told from the files that a run leaves.
    #[test]
    fn files_tell_the_states() {
        let out = tempfile::tempdir().unwrap();
        let mut plan = empty("base");
        for name in ["done", "failed", "stopped", "waiting", "running"] {
            plan.call(name, Kind::Train, 2., HtlCall::new(name));
        }
        plan.write(out.path()).unwrap();
        let folder = |name: &str| plan.stage(name).unwrap().folder.clone();
        let done = out.path().join(folder("done"));
        fs::create_dir_all(&done).unwrap();
        let record = serde_json::json!({"name": "done", "folder": folder("done"), "seconds": 3.0, "files": {}});
        fs::write(done.join(RECORD), record.to_string()).unwrap();
        fs::create_dir_all(out.path().join(LOGS)).unwrap();
        let stem = folder("failed").replace("stages/", "");
        let note = serde_json::json!({"name": "failed", "message": "it ended with 1:\n  | no such image\nThe log"});
        let path = out.path().join(LOGS).join(format!("{stem}{FAILURE_SUFFIX}"));
        fs::write(path, note.to_string()).unwrap();
        fs::create_dir_all(out.path().join(folder("stopped") + ".partial")).unwrap();
        let log = fs::File::create(log_path(out.path(), plan.stage("running").unwrap())).unwrap();
        log.lock().unwrap();

        let status = status(out.path()).unwrap();
        let states: Vec<&State> = status.stages.iter().map(|stage| &stage.state).collect();
        assert!(matches!(
            states[..],
            [
                State::Done(_),
                State::Failed(_),
                State::Stopped,
                State::Waiting,
                State::Running
            ]
        ));
        // Four stages of the same cost as the one that took three seconds.
        assert_eq!(status.left(), Some(Duration::from_secs(12)));
        let text = status.to_string();
        for part in [
            "1 of 5 stages finished, 1 running, 1 failed, 1 stopped",
            "about 12.0 s of work left",
            "running: running",
            "failed: failed: it ended with 1: no such image (log: logs/failed-",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
