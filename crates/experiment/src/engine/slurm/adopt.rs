//! Takes up the jobs of an earlier run into the same folder.

use super::board::{Board, State};
use super::queue::{JobState, NEVER_SATISFIED, Outlook, QueueEntry, outlook};
use super::record::Records;
use super::{Client, SlurmError};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// A job of this run, as far as it can be told from Slurm's queue and our records.
pub(super) struct Known {
    pub entry: QueueEntry,
    /// Folder of its stage; nothing when it was not written down.
    pub folder: Option<String>,
    /// What it asked for.
    pub options: Vec<String>,
}

/// The jobs of a run that Slurm knows.
pub(super) fn known(records: &Records, out: &Path, entries: Vec<QueueEntry>) -> Vec<Known> {
    let mut batches = BTreeMap::new();
    let ours = entries.into_iter().filter_map(|entry| {
        // A copy of the folder elsewhere has the same name, but not the same jobs.
        let number = records.number(&entry.name).filter(|_| entry.folder == out)?;
        let batch = batches.entry(number).or_insert_with(|| records.batch(number)).clone();
        let task = entry
            .job
            .rsplit_once('_')
            .map_or(Some(0), |(_, task)| task.parse().ok());
        let folder = batch.as_ref().and_then(|batch| match task {
            // The only stage of a job that is no array has any number.
            Some(0) if batch.tasks.len() == 1 => batch.tasks.values().next().cloned(),
            Some(task) => batch.tasks.get(&task).cloned(),
            None => None,
        });
        Some(Known {
            entry,
            folder,
            options: batch.map(|batch| batch.options).unwrap_or_default(),
        })
    });
    ours.collect()
}

/// Finds jobs that do what is missing; cancels those that nobody needs any more.
///
/// A job that runs is adopted. One that waits is adopted if it asks for the same as it would today, can start, and waits for
/// nothing but jobs that are adopted too.
pub(super) fn adopt(board: &mut Board) -> Result<(), SlurmError> {
    let jobs = settled(board)?;
    let mut by_folder: BTreeMap<String, Known> = BTreeMap::new();
    let mut useless = Vec::new();
    for job in jobs {
        if job.entry.state.is_over() {
            continue;
        }
        match job.folder.clone() {
            // Of two jobs for one stage the one that runs stays.
            Some(folder) => {
                let other = match by_folder.get(&folder) {
                    Some(old) if old.entry.state == JobState::Running => Some(job),
                    _ => by_folder.insert(folder, job),
                };
                useless.extend(other.map(|other| other.entry.job));
            }
            None => useless.push(job.entry.job),
        }
    }
    for (index, stage) in board.stages.iter().enumerate() {
        let Some(job) = by_folder.remove(&stage.folder) else {
            continue;
        };
        let ready = |need: &usize| matches!(board.state(*need), State::Finished | State::Queued(_));
        let wanted = board.settings.resources.of(stage.kind);
        let can_start =
            job.entry.reason != NEVER_SATISFIED && !matches!(outlook(&job.entry.reason), Outlook::Hopeless(_));
        let good = match job.entry.state {
            JobState::Running => true,
            _ => can_start && job.options == wanted && stage.needs.iter().all(ready),
        };
        if *board.state(index) == State::Missing && good {
            board.set(index, State::Queued(job.entry.job));
        } else if *board.state(index) != State::Finished || job.entry.state != JobState::Running {
            useless.push(job.entry.job);
        }
    }
    // Of another plan.
    useless.extend(by_folder.into_values().map(|job| job.entry.job));
    board.settings.client.cancel(&useless)
}

/// The jobs of the run, as soon as none of them is between two states.
fn settled(board: &Board) -> Result<Vec<Known>, SlurmError> {
    let begin = Instant::now();
    loop {
        let jobs = known(&board.records, &board.settings.out, board.settings.client.queue()?);
        let settled = !jobs.iter().any(|job| job.entry.state == JobState::Ending);
        if settled || begin.elapsed() > board.settings.pace.cancel {
            return Ok(jobs);
        }
        std::thread::sleep(board.settings.pace.poll.min(Duration::from_secs(1)));
    }
}

/// Cancels all jobs of the run in a folder, whoever submitted them; returns how many there were.
///
/// # Errors
/// Those of `squeue` and `scancel`.
pub fn cancel(client: &Client, out: &Path) -> Result<usize, SlurmError> {
    let Some(records) = Records::open(out)? else {
        return Ok(0);
    };
    let jobs = known(&records, out, client.queue()?)
        .into_iter()
        .filter(|job| !job.entry.state.is_over());
    let jobs: Vec<String> = jobs.map(|job| job.entry.job).collect();
    client.cancel(&jobs)?;
    Ok(jobs.len())
}
