//! Submits what is missing.

use super::arrays::{Group, groups};
use super::board::{Board, OUTPUT_END, State};
use super::record::Batch;
use super::script::{Task, script};
use super::{Event, SlurmError, SlurmStage, Supervisor, Wish};
use crate::engine::LOGS;
use std::collections::BTreeSet;

/// Seconds before its time limit at which a stage that can go on later is told to stop. Slurm may be a minute early.
const NOTICE: u32 = 60;

/// Submits every stage that is missing and does not need one that failed.
///
/// Where Slurm takes no more jobs of ours, the rest stays missing until some have ended.
pub(super) fn submit(board: &mut Board, supervisor: &mut dyn Supervisor) -> Result<(), SlurmError> {
    board.drop_barred();
    if board.full_at.is_some_and(|full| board.queued().count() >= full) {
        return Ok(());
    }
    board.full_at = None;
    let missing: BTreeSet<usize> = board.in_state(State::Missing).collect();
    let elsewhere: BTreeSet<usize> = board.queued().map(|(index, _)| index).collect();
    let groups = groups(board.stages, &missing, &elsewhere);
    // The job of each group so far.
    let mut jobs: Vec<String> = Vec::new();
    for group in &groups {
        if matches!(supervisor.wish(), Wish::Cancel | Wish::WindDown) {
            return Ok(());
        }
        match submit_group(board, group, &jobs) {
            Ok(job) => {
                let members: Vec<usize> = group.tasks.values().copied().collect();
                supervisor.event(Event::Submitted {
                    job: &job,
                    stages: &members,
                });
                jobs.push(job);
            }
            Err(SlurmError::Refused { said, .. }) if is_full(&said) && board.queued().next().is_some() => {
                board.full_at = Some(board.queued().count());
                return Ok(());
            }
            Err(error) => {
                // What waits for a job that cannot be submitted must not wait for ever.
                board.settings.client.cancel(&jobs).ok();
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Whether Slurm refuses a job only because of how many there are.
fn is_full(said: &str) -> bool {
    [
        "MaxSubmitJob",
        "maximum number of jobs",
        "Job violates accounting/QOS policy (job submit limit",
    ]
    .iter()
    .any(|words| said.contains(words))
}

fn submit_group(board: &mut Board, group: &Group, jobs: &[String]) -> Result<String, SlurmError> {
    let settings = board.settings;
    let members: Vec<(usize, &SlurmStage)> = group
        .tasks
        .iter()
        .filter_map(|(task, index)| Some((*task, board.stages.get(*index)?)))
        .collect();
    let Some((_, first)) = members.first() else {
        return Ok(String::new());
    };
    let wanted = settings.resources.of(first.kind);
    let number = board.records.add(&Batch {
        tasks: members
            .iter()
            .map(|(task, stage)| (*task, stage.folder.clone()))
            .collect(),
        options: wanted.clone(),
    })?;
    let label = if group.is_array() {
        first.kind.name()
    } else {
        &first.name
    };
    let label = plain(label);
    let out = settings.out.to_string_lossy();
    let pattern = if group.is_array() { "%A_%a" } else { "%j" };
    // Slurm fills in what follows a `%`.
    let logs = settings.out.join(LOGS).to_string_lossy().replace('%', "%%");
    let mut options = vec![
        format!("--job-name={}", board.records.job_name(&label, number)),
        format!("--chdir={out}"),
        format!("--output={logs}/{label}.{pattern}{OUTPUT_END}"),
        "--open-mode=append".into(),
        "--requeue".into(),
        "--kill-on-invalid-dep=yes".into(),
        "--ntasks=1".into(),
    ];
    options.extend(wanted);
    if first.goes_on() {
        options.push(format!("--signal=B:USR1@{NOTICE}"));
    }
    if group.is_array() {
        let numbers: Vec<String> = group.tasks.keys().map(|task| task.to_string()).collect();
        options.push(format!("--array={}", numbers.join(",")));
    }
    if let Some(dependency) = dependency(board, group, jobs) {
        options.push(format!("--dependency={dependency}"));
    }
    let tasks: Vec<Task> = members
        .iter()
        .map(|(number, stage)| Task {
            number: *number,
            id: &stage.name,
            folder_name: stage.folder_name(),
        })
        .collect();
    let text = script(&settings.out, &board.records.run, &settings.command, &tasks);
    for (_, stage) in &members {
        board.records.clear_ended(stage.folder_name());
    }
    let described = match members.as_slice() {
        [(_, only)] => format!("`{}`", only.name),
        [(_, first), .., (_, last)] => format!("{} stages, `{}` to `{}`", members.len(), first.name, last.name),
        [] => String::new(),
    };
    let job = settings.client.submit(&text, &options, &described)?;
    for (task, index) in &group.tasks {
        let own = if group.is_array() {
            format!("{job}_{task}")
        } else {
            job.clone()
        };
        board.set(*index, State::Queued(own));
    }
    Ok(job)
}

/// What a group waits for, as `sbatch` reads it.
fn dependency(board: &Board, group: &Group, jobs: &[String]) -> Option<String> {
    let same = group.same_task.iter().filter_map(|group| jobs.get(*group));
    let mut parts: Vec<String> = same.map(|job| format!("aftercorr:{job}")).collect();
    let common: Vec<&str> = group
        .common
        .iter()
        .filter_map(|need| match board.state(*need) {
            State::Queued(job) => Some(job.as_str()),
            _ => None,
        })
        .collect();
    if !common.is_empty() {
        parts.push(format!("afterok:{}", common.join(":")));
    }
    (!parts.is_empty()).then(|| parts.join(","))
}

/// A label without what Slurm or a file name would take for something else.
fn plain(label: &str) -> String {
    label
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_is_told_from_a_wrong_job() {
        assert!(is_full(
            "QOSMaxSubmitJobPerUserLimit; Batch job submission failed: Job violates accounting/QOS policy"
        ));
        assert!(is_full(
            "AssocMaxSubmitJobLimit; Batch job submission failed: Job violates accounting/QOS policy"
        ));
        assert!(!is_full(
            "Batch job submission failed: Invalid account or account/partition combination specified"
        ));
    }
}
