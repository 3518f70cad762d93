//! Follows the jobs of a run to their end.

use super::board::{Board, State, finished};
use super::queue::{JobState, NEVER_SATISFIED, Outlook, QueueEntry, outlook};
use super::script::{AGAIN, NO_FOLDER, NO_PROGRAM};
use super::{Event, Outcome, SlurmError, Snapshot, Supervisor, Why, Wish};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Between two questions to the supervisor.
const TICK: Duration = Duration::from_millis(100);

/// What is to be done about the job of a stage.
enum Verdict {
    /// Nothing yet.
    Wait,
    /// The stage is finished.
    Finished,
    /// Submitted again.
    Lost(&'static str),
    /// Not run, as it needs a stage that failed.
    Dropped,
    Failed(Why),
    /// As failed, but the job is still in the queue.
    Cancel(Why),
}

/// Follows a run, look by look.
#[derive(Default)]
pub(super) struct Watch {
    clocks: Clocks,
    winding_down: bool,
}

impl Watch {
    /// Whether nothing new is to start.
    pub fn is_winding_down(&self) -> bool {
        self.winding_down
    }

    /// Looks once, and waits until it is time to look again. Returns how the run ended if the supervisor wished it to.
    pub fn step(&mut self, board: &mut Board, supervisor: &mut dyn Supervisor) -> Result<Option<Outcome>, SlurmError> {
        match supervisor.wish() {
            Wish::Detach => {
                let missing = board.in_state(State::Missing).count();
                return Ok(Some(Outcome::Detached { missing }));
            }
            Wish::Cancel => return cancel(board).map(Some),
            Wish::WindDown if !self.winding_down => {
                wind_down(board)?;
                self.winding_down = true;
            }
            Wish::GoOn | Wish::WindDown => {}
        }
        match board.settings.client.queue() {
            Ok(entries) => {
                self.clocks.silent = None;
                let entries = entries.into_iter().map(|entry| (entry.job.clone(), entry)).collect();
                self.look(board, &entries, supervisor)?;
            }
            Err(error @ SlurmError::ControllerDown { .. }) => {
                if self.clocks.silent.get_or_insert_with(Instant::now).elapsed() > board.settings.pace.controller {
                    return Err(error);
                }
                supervisor.event(Event::Silent(&error));
            }
            Err(error) => return Err(error),
        }
        let begin = Instant::now();
        while begin.elapsed() < board.settings.pace.poll && board.queued().next().is_some() {
            match supervisor.wish() {
                Wish::GoOn => {}
                Wish::WindDown if self.winding_down => {}
                _ => break,
            }
            std::thread::sleep(TICK.min(board.settings.pace.poll));
        }
        Ok(None)
    }

    /// One look at the queue.
    fn look(
        &mut self,
        board: &mut Board,
        entries: &BTreeMap<String, QueueEntry>,
        supervisor: &mut dyn Supervisor,
    ) -> Result<(), SlurmError> {
        let mut snapshot = Snapshot {
            stages: board.stages.len(),
            ..Snapshot::default()
        };
        // In the plan's order: what a stage needs is judged before it.
        let queued: Vec<(usize, String)> = board.queued().map(|(index, job)| (index, job.to_string())).collect();
        for (index, job) in queued {
            let entry = entries.get(&job);
            let nodes = entry.map_or("", |entry| entry.nodes.as_str());
            let verdict = judge(board, index, &job, entry, &mut self.clocks)?;
            if !matches!(verdict, Verdict::Wait) {
                self.clocks.over.remove(&index);
                self.clocks.hopeless.remove(&index);
            }
            match verdict {
                Verdict::Wait => match entry {
                    Some(entry) if entry.state != JobState::Waiting => snapshot.running.push(index),
                    Some(entry) => *snapshot.waiting.entry(entry.reason.clone()).or_default() += 1,
                    None => *snapshot.waiting.entry(String::new()).or_default() += 1,
                },
                Verdict::Finished => {
                    board.set(index, State::Finished);
                    supervisor.event(Event::Finished(index));
                }
                Verdict::Dropped => board.set(index, State::Dropped),
                // We asked for it.
                Verdict::Lost(_) | Verdict::Failed(Why::Cancelled) if self.winding_down => {
                    board.set(index, State::Missing);
                }
                Verdict::Lost(why) => match board.lose(index, &job, nodes, why)? {
                    Some(failure) => supervisor.event(Event::Failed(index, &failure)),
                    None => supervisor.event(Event::Lost { stage: index, why }),
                },
                Verdict::Failed(why) => {
                    let failure = board.fail(index, &job, nodes, why)?;
                    supervisor.event(Event::Failed(index, &failure));
                }
                Verdict::Cancel(why) => {
                    board.settings.client.cancel(std::slice::from_ref(&job))?;
                    let failure = board.fail(index, &job, nodes, why)?;
                    supervisor.event(Event::Failed(index, &failure));
                }
            }
        }
        snapshot.finished = board.finished();
        snapshot.failed = board.failed();
        supervisor.event(Event::Looked(&snapshot));
        check_stuck(board, &snapshot, &mut self.clocks)
    }
}

/// Since when something is the case.
#[derive(Default)]
struct Clocks {
    /// The controller does not answer.
    silent: Option<Instant>,
    /// Nothing runs or can start.
    stuck: Option<Instant>,
    /// A job is over, and its stage not visibly finished.
    over: BTreeMap<usize, Instant>,
    /// A job waits for a reason for which it can never start.
    hopeless: BTreeMap<usize, Instant>,
}

/// Leaves a run of which nothing runs, while something that may pass keeps a job from starting.
fn check_stuck(board: &Board, snapshot: &Snapshot, clocks: &mut Clocks) -> Result<(), SlurmError> {
    let stuck = snapshot.waiting.keys().find_map(|reason| match outlook(reason) {
        Outlook::Stuck(meaning) => Some((reason, meaning)),
        _ => None,
    });
    let Some((reason, meaning)) = stuck.filter(|_| snapshot.running.is_empty()) else {
        clocks.stuck = None;
        return Ok(());
    };
    if clocks.stuck.get_or_insert_with(Instant::now).elapsed() < board.settings.pace.stuck {
        return Ok(());
    }
    let mut jobs: Vec<&str> = board
        .queued()
        .map(|(_, job)| job.split('_').next().unwrap_or(job))
        .collect();
    jobs.dedup();
    Err(SlurmError::Stuck {
        reason: reason.clone(),
        meaning,
        waiting: board.queued().count(),
        jobs: jobs.join(" "),
    })
}

fn judge(
    board: &Board,
    index: usize,
    job: &str,
    entry: Option<&QueueEntry>,
    clocks: &mut Clocks,
) -> Result<Verdict, SlurmError> {
    let Some(stage) = board.stages.get(index) else {
        return Ok(Verdict::Wait);
    };
    if finished(&board.settings.out, stage) {
        return Ok(Verdict::Finished);
    }
    let goes_on = stage.goes_on();
    let state = entry.map(|entry| entry.state);
    let reason = entry.map_or("", |entry| entry.reason.as_str());
    Ok(match state {
        Some(JobState::Running | JobState::Ending) => Verdict::Wait,
        Some(JobState::Waiting | JobState::Cancelled) if reason == NEVER_SATISFIED => {
            if board.is_barred(index) {
                Verdict::Dropped
            } else {
                Verdict::Lost("a job that it waited for was lost")
            }
        }
        Some(JobState::Waiting) => match outlook(reason) {
            Outlook::Hopeless(advice) => {
                let since = clocks.hopeless.entry(index).or_insert_with(Instant::now);
                if since.elapsed() < board.settings.pace.hopeless {
                    return Ok(Verdict::Wait);
                }
                Verdict::Cancel(Why::NeverStarts {
                    reason: reason.into(),
                    advice,
                })
            }
            _ => {
                clocks.hopeless.remove(&index);
                Verdict::Wait
            }
        },
        Some(JobState::Preempted) => Verdict::Lost("a more urgent job took its place"),
        Some(JobState::NodeFailed) => Verdict::Lost("its node failed"),
        Some(JobState::TimedOut) if goes_on => Verdict::Lost("it reached its time limit"),
        Some(JobState::TimedOut) => Verdict::Failed(Why::Time),
        Some(JobState::OutOfMemory) => Verdict::Failed(Why::Memory),
        Some(JobState::Cancelled) => Verdict::Failed(Why::Cancelled),
        Some(JobState::Failed) => failed(exit_of(board, job, stage.folder_name())?),
        // Ended well, or so long ago that Slurm has forgotten it.
        Some(JobState::Completed) | None => {
            let since = clocks.over.entry(index).or_insert_with(Instant::now);
            if since.elapsed() < board.settings.pace.storage {
                return Ok(Verdict::Wait);
            }
            match (exit_of(board, job, stage.folder_name())?, state) {
                (Exit::Code(0), Some(_)) => Verdict::Failed(Why::Unfinished),
                (Exit::Code(0), None) => Verdict::Lost("Slurm no longer knows its job"),
                (exit, _) => failed(exit),
            }
        }
    })
}

enum Exit {
    Code(i32),
    Signal(i32),
}

fn failed(exit: Exit) -> Verdict {
    match exit {
        Exit::Code(AGAIN) => Verdict::Lost("it saved its state and was not requeued"),
        Exit::Code(NO_FOLDER) | Exit::Signal(NO_OUTPUT_FILE) => Verdict::Failed(Why::Folder),
        Exit::Code(NO_PROGRAM) => Verdict::Failed(Why::Program),
        // What a shell makes of a signal.
        Exit::Code(code @ 129..=192) => Verdict::Failed(Why::Signal(code - 128)),
        Exit::Code(code) => Verdict::Failed(Why::Exit(code)),
        Exit::Signal(signal) => Verdict::Failed(Why::Signal(signal)),
    }
}

/// The signal that Slurm reports for a job whose output file could not be made on its node.
const NO_OUTPUT_FILE: i32 = 53;

/// How the job of a stage ended, by what Slurm says or else by what the job itself wrote down.
fn exit_of(board: &Board, job: &str, folder_name: &str) -> Result<Exit, SlurmError> {
    if let Some(field) = board.settings.client.field(job, "ExitCode")?
        && let Some((code, signal)) = field.split_once(':')
        && let (Ok(code), Ok(signal)) = (code.parse(), signal.parse())
        && (code, signal) != (0, 0)
    {
        return Ok(if signal == 0 {
            Exit::Code(code)
        } else {
            Exit::Signal(signal)
        });
    }
    let ended = board.records.ended(folder_name).filter(|ended| ended.job == job);
    Ok(Exit::Code(ended.and_then(|ended| ended.exit).unwrap_or_default()))
}

/// Cancels all jobs and waits for their end.
fn cancel(board: &mut Board) -> Result<Outcome, SlurmError> {
    let jobs: Vec<String> = board.queued().map(|(_, job)| job.to_string()).collect();
    let client = &board.settings.client;
    client.cancel(&jobs)?;
    let begin = Instant::now();
    while begin.elapsed() < board.settings.pace.cancel {
        let entries = client.queue()?;
        if !entries
            .iter()
            .any(|entry| !entry.state.is_over() && jobs.contains(&entry.job))
        {
            break;
        }
        std::thread::sleep(board.settings.pace.poll.min(Duration::from_secs(1)));
    }
    let queued: Vec<usize> = board.queued().map(|(index, _)| index).collect();
    for index in queued {
        let Some(stage) = board.stages.get(index) else { continue };
        if finished(&board.settings.out, stage) {
            board.set(index, State::Finished);
        } else {
            // That it was cancelled is no failure.
            board.records.clear_ended(stage.folder_name());
        }
    }
    Ok(Outcome::Stopped {
        finished: board.finished(),
        stages: board.stages.len(),
    })
}

/// Cancels what has not started and what can go on later.
fn wind_down(board: &Board) -> Result<(), SlurmError> {
    let entries = board.settings.client.queue()?;
    let running = |job: &str| {
        entries
            .iter()
            .any(|entry| entry.job == job && entry.state == JobState::Running)
    };
    let stays = |index: usize, job: &str| running(job) && board.stages.get(index).is_some_and(|stage| !stage.goes_on());
    let jobs = board
        .queued()
        .filter(|(index, job)| !stays(*index, job))
        .map(|(_, job)| job.to_string());
    board.settings.client.cancel(&jobs.collect::<Vec<_>>())
}
