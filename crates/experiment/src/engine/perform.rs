use std::fs;
use std::path::Path;
use std::time::Instant;

use htl_vocabulary::{rename_folder, write_whole};

use super::child::{self, End};
use super::record::{Failure, Record, log_path, partial};
use super::{Run, Wish};
use crate::ExperimentError;
use crate::data_state::PlannedData;
use crate::error::io;
use crate::plan::{Action, CONFIG, Place, Plan, Stage, Unfinished};

/// Does a stage of the plan and leaves its finished folder; `None` if it was stopped before its end. Every engine ends up
/// here.
///
/// `wish` is asked ten times a second, `progress` hears (done, total).
///
/// # Errors
/// [`ExperimentError::Stage`] with what to do; a note of it stays beside the stage's log.
pub fn perform(
    plan: &Plan,
    stage: &Stage,
    run: &Run,
    wish: impl Fn() -> Wish,
    progress: impl FnMut(f64, f64),
) -> Result<Option<Record>, ExperimentError> {
    Failure::forget(&run.out, stage);
    attempt(plan, stage, run, wish, progress).map_err(|error| {
        let message = error.to_string();
        Failure::leave(&run.out, stage, &message);
        match error {
            ExperimentError::DataChanged { .. } => error,
            _ => ExperimentError::Stage {
                stage: stage.name.clone(),
                message,
                partial: partial(&run.out, stage),
            },
        }
    })
}

fn attempt(
    plan: &Plan,
    stage: &Stage,
    run: &Run,
    wish: impl Fn() -> Wish,
    progress: impl FnMut(f64, f64),
) -> Result<Option<Record>, ExperimentError> {
    let begin = Instant::now();
    let folder = partial(&run.out, stage);
    let done = run.out.join(&stage.folder);
    let place = Place {
        out: &run.out,
        data: &plan.data,
        own: &folder,
    };
    // Held until the end: whoever holds a stage's log is alone with its folders.
    let log = child::lock_log(&log_path(&run.out, stage))?;
    if done.exists() {
        if let Some(record) = super::finished(&run.out, stage) {
            return Ok(Some(record));
        }
        // No completion record, or damaged files: discard the folder and run the stage again.
        fs::remove_dir_all(&done).map_err(io(&done, "remove"))?;
    }
    let planned = PlannedData {
        folder: &plan.data,
        sha256: &plan.data_sha256,
        state: &plan.data_state,
    };
    let end = planned.unchanged(|| {
        match &stage.action {
            Action::Native(native) => {
                restart(&folder)?;
                native.run(place)?;
            }
            Action::Htl(call) => {
                if stage.kind.unfinished() == Unfinished::Restart {
                    restart(&folder)?;
                }
                fs::create_dir_all(&folder).map_err(io(&folder, "create"))?;
                let (args, config) = call.resolve(place)?;
                if let Some(config) = config {
                    let path = folder.join(CONFIG);
                    write_whole(&path, config).map_err(ExperimentError::NotWritten)?;
                }
                let device = ["--device".to_owned(), plan.device.clone()];
                let args: Vec<String> = device.into_iter().chain(args).collect();
                if child::run(&run.htl, &args, run.threads, &log, wish, progress)? == End::Stopped {
                    return Ok(End::Stopped);
                }
            }
        }
        Ok(End::Finished)
    });
    if matches!(end, Err(ExperimentError::DataChanged { .. })) {
        // What was made of other data is nothing to go on from.
        fs::remove_dir_all(&folder).ok();
    }
    if end? == End::Stopped {
        return Ok(None);
    }
    let seconds = (begin.elapsed().as_secs_f64() * 1000.).round() / 1000.;
    let record = Record::of(stage, &folder, seconds)?;
    record.write(&folder)?;
    rename_folder(&folder, &done).map_err(io(&folder, "rename"))?;
    Ok(Some(record))
}

fn restart(folder: &Path) -> Result<(), ExperimentError> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(io(folder, "remove"))?;
    }
    fs::create_dir_all(folder).map_err(io(folder, "create"))
}
