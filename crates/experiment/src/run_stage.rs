use crate::ExperimentError;
use crate::engine::{Record, Run, Wish, claims_to_be_finished, perform};
use crate::plan::{PLAN_FILE, Plan, Unfinished};

/// Runs one stage of the plan in a run's folder, whatever else happens there; `None` if it was told to end before it was
/// done. A stage that is finished is left as it is.
///
/// # Errors
/// No plan, no such stage, a stage that it needs and that is not finished, another program than the one that planned, and
/// [`ExperimentError::Stage`] if it fails.
pub fn run_stage(run: &Run, name: &str) -> Result<Option<Record>, ExperimentError> {
    let plan = Plan::read(&run.out)?;
    let Some(stage) = plan.stage(name) else {
        return Err(no_such_stage(&plan, run, name));
    };
    if htl_datasets::sha256_file(&run.htl)? != plan.program {
        return Err(ExperimentError::Plan {
            path: run.out.join(PLAN_FILE),
            reason:
                "it was made by another build of htl, whose results this one must not continue: run `htl reproduce` \
                     again, which plans anew"
                    .into(),
        });
    }
    for need in &stage.needs {
        let needed = plan.stage(need);
        if needed.is_none_or(|needed| claims_to_be_finished(&run.out, needed).is_none()) {
            return Err(ExperimentError::NotReady {
                name: name.into(),
                missing: need.clone(),
            });
        }
    }
    let wish = || match (run.stop.is_signalled(), stage.kind.unfinished()) {
        (false, _) => Wish::GoOn,
        (true, Unfinished::Continue) => Wish::End,
        (true, Unfinished::Restart) => Wish::Drop,
    };
    perform(&plan, stage, run, wish, |_, _| ())
}

fn no_such_stage(plan: &Plan, run: &Run, name: &str) -> ExperimentError {
    let stem = name.split(['/', '-']).next().unwrap_or_default();
    let near: Vec<&str> = plan
        .stages
        .iter()
        .map(|stage| stage.name.as_str())
        .filter(|known| known.starts_with(stem))
        .take(5)
        .collect();
    let hint = match near.as_slice() {
        [] => "`htl plan` lists them".to_owned(),
        near => format!("there are {}, ...; `htl plan` lists them", near.join(", ")),
    };
    ExperimentError::NoSuchStage {
        out: run.out.clone(),
        name: name.into(),
        hint,
    }
}
