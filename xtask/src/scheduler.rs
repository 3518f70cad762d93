//! Runs a plan: several stages at a time, each once, resuming where an earlier run was stopped.

use crate::child::{self, End};
use crate::progress::Progress;
use crate::stage::{Action, CONFIG, Place, Plan, Stage, Unfinished};
use crate::workspace::write_whole;
use anyhow::{Context, Error, Result, anyhow};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// How to run a plan.
pub struct Options {
    /// The `htl` binary.
    pub htl: PathBuf,
    /// Arguments before each command, such as the device.
    pub common: Vec<String>,
    /// The output folder; must exist.
    pub out: PathBuf,
    /// Stages at a time.
    pub jobs: usize,
    /// Threads of each stage.
    pub threads: usize,
    /// When to start nothing new and to stop what can be continued.
    pub deadline: Option<Instant>,
}

impl Options {
    fn late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// The deadline came before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtLimit {
    /// Stages finished, by this run or before.
    pub finished: usize,
    /// Stages of the plan.
    pub stages: usize,
}

impl std::fmt::Display for AtLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { finished, stages } = self;
        write!(
            f,
            "stopped at the limit, {finished} of {stages} stages finished; run the same command again to go on"
        )
    }
}

impl std::error::Error for AtLimit {}

/// What became of a stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StageReport {
    /// The stage.
    pub name: String,
    /// Its folder, relative to the output folder.
    pub folder: String,
    /// Time it took when it was done.
    pub seconds: f64,
    /// Whether an earlier run did it.
    #[serde(default)]
    pub reused: bool,
}

/// Written into a finished stage's folder.
const RECORD: &str = "stage.json";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Waiting,
    Running,
    Done,
}

struct Board {
    status: Vec<Status>,
    reports: Vec<Option<StageReport>>,
    failure: Option<Error>,
}

/// Runs every stage that is not finished yet, in the plan's order as far as dependencies allow.
///
/// # Errors
/// The first stage that fails; the others are then stopped. [`AtLimit`] when the deadline comes first. Running again goes
/// on from there.
pub fn run(plan: &Plan, options: &Options) -> Result<Vec<StageReport>> {
    for folder in ["stages", "logs"] {
        let folder = options.out.join(folder);
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let progress = Progress::new(plan.stages.len(), plan.stages.iter().map(|stage| stage.cost).sum());
    let mut board = Board {
        status: Vec::new(),
        reports: Vec::new(),
        failure: None,
    };
    for stage in &plan.stages {
        let report = finished(&options.out, stage);
        if report.is_some() {
            progress.found(stage.cost);
        }
        board.status.push(if report.is_some() {
            Status::Done
        } else {
            Status::Waiting
        });
        board.reports.push(report);
    }
    let board = Mutex::new(board);
    let changed = Condvar::new();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| worker(plan, options, &board, &changed, &stop, &progress));
        }
    });
    progress.close();
    let mut board = match board.into_inner() {
        Ok(board) => board,
        Err(poisoned) => poisoned.into_inner(),
    };
    if let Some(failure) = board.failure.take() {
        return Err(failure);
    }
    let finished = board.reports.iter().flatten().count();
    if finished < plan.stages.len() && options.late() {
        let stages = plan.stages.len();
        return Err(AtLimit { finished, stages }.into());
    }
    board
        .reports
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .context("some stages could never start: the plan has a cycle")
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    match board.lock() {
        Ok(board) => board,
        Err(poisoned) => poisoned.into_inner(),
    }
}

fn worker(
    plan: &Plan,
    options: &Options,
    board: &Mutex<Board>,
    changed: &Condvar,
    stop: &AtomicBool,
    progress: &Progress,
) {
    loop {
        let index = {
            let mut guard = lock(board);
            loop {
                if guard.failure.is_some() || options.late() {
                    return;
                }
                let done = |index: &usize| guard.status[*index] == Status::Done;
                let ready = (0..plan.stages.len())
                    .find(|&i| guard.status[i] == Status::Waiting && plan.stages[i].needs.iter().all(done));
                if let Some(index) = ready {
                    guard.status[index] = Status::Running;
                    break index;
                }
                if !guard.status.contains(&Status::Running) {
                    return;
                }
                guard = match changed.wait_timeout(guard, Duration::from_secs(1)) {
                    Ok((guard, _)) => guard,
                    Err(poisoned) => poisoned.into_inner().0,
                };
            }
        };
        let stage = &plan.stages[index];
        progress.start(index, &stage.name, stage.cost);
        let outcome = perform(stage, options, stop, |done, total| progress.advance(index, done, total));
        let mut guard = lock(board);
        match outcome {
            Ok(Some(report)) => {
                guard.status[index] = Status::Done;
                guard.reports[index] = Some(report);
                progress.finish(index);
            }
            // A failure elsewhere, or the deadline.
            Ok(None) => guard.status[index] = Status::Waiting,
            Err(error) => {
                stop.store(true, Ordering::Relaxed);
                if guard.failure.is_none() {
                    guard.failure = Some(explain(&error, stage, options));
                }
            }
        }
        drop(guard);
        changed.notify_all();
    }
}

fn explain(error: &Error, stage: &Stage, options: &Options) -> Error {
    let partial = partial(&options.out, stage);
    anyhow!(
        "the stage `{}` failed: {error:#}\nFinished stages are kept; the same command goes on from here. \
         To start this stage afresh, delete {}",
        stage.name,
        partial.display()
    )
}

fn partial(out: &Path, stage: &Stage) -> PathBuf {
    out.join(format!("{}.partial", stage.folder))
}

fn finished(out: &Path, stage: &Stage) -> Option<StageReport> {
    let text = fs::read_to_string(out.join(&stage.folder).join(RECORD)).ok()?;
    let report: StageReport = serde_json::from_str(&text).ok()?;
    Some(StageReport {
        name: stage.name.clone(),
        folder: stage.folder.clone(),
        reused: true,
        ..report
    })
}

/// Does the stage; nothing if it was stopped before its end.
fn perform(
    stage: &Stage,
    options: &Options,
    stop: &AtomicBool,
    progress: impl FnMut(f64, f64),
) -> Result<Option<StageReport>> {
    let begin = Instant::now();
    let folder = partial(&options.out, stage);
    let done = options.out.join(&stage.folder);
    if done.exists() {
        // Without a record it was not ours to finish.
        fs::remove_dir_all(&done).with_context(|| format!("cannot remove the damaged {}", done.display()))?;
    }
    if let Action::Native { run, .. } = &stage.action {
        restart(&folder)?;
        run(&Place {
            out: &options.out,
            folder: &folder,
        })?;
    } else if let Action::Htl(call) = &stage.action {
        let log = format!("{}.log", stage.folder.trim_start_matches("stages/"));
        let log = child::wait_for_orphan(&options.out.join("logs").join(log))?;
        if stage.unfinished == Unfinished::Restart {
            restart(&folder)?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let (args, config) = call.resolve(&options.out, &folder)?;
        if let Some(config) = config {
            write_whole(&folder.join(CONFIG), config)?;
        }
        let args: Vec<String> = options.common.iter().cloned().chain(args).collect();
        let resumable = stage.unfinished == Unfinished::Continue;
        let stop = || stop.load(Ordering::Relaxed) || resumable && options.late();
        if child::run(&options.htl, &args, options.threads, log, stop, progress)? == End::Stopped {
            return Ok(None);
        }
    }
    let seconds = (begin.elapsed().as_secs_f64() * 1000.).round() / 1000.;
    let report = StageReport {
        name: stage.name.clone(),
        folder: stage.folder.clone(),
        seconds,
        reused: false,
    };
    write_whole(&folder.join(RECORD), serde_json::to_string_pretty(&report)? + "\n")?;
    fs::rename(&folder, &done).with_context(|| format!("cannot rename {} to {}", folder.display(), done.display()))?;
    Ok(Some(report))
}

fn restart(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| {
        format!(
            "cannot create {}: is there room and a right to write?",
            folder.display()
        )
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::stage::{HtlCall, Value};

    /// A stand-in for `htl`: `fake write FILE TEXT`, `fake fail`, `fake count FILE N` (resumes, one line a step).
    const FAKE: &str = r#"#!/bin/sh
case "$1" in
  write) echo "$3" > "$2" ;;
  fail) echo "no such image" >&2; exit 1 ;;
  count) n=$(cat "$2" 2>/dev/null | wc -l); while [ $n -lt $3 ]; do echo $n >> "$2"; n=$((n+1)); [ -f "$4" ] && exit 9; done; exit 0 ;;
  sleep) sleep "$2" ;;
esac
"#;

    fn options(out: &Path, jobs: usize) -> Options {
        use std::os::unix::fs::PermissionsExt;
        let htl = out.join("fake");
        if !htl.exists() {
            fs::write(&htl, FAKE).unwrap();
            fs::set_permissions(&htl, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Options {
            htl,
            common: vec![],
            out: out.into(),
            jobs,
            threads: 1,
            deadline: None,
        }
    }

    fn call(command: &str, args: &[Value]) -> HtlCall {
        args.iter()
            .fold(HtlCall::new(command), |call, arg| call.arg(arg.clone()))
    }

    /// Every stage once, after what it needs; a second run does nothing and says so.
    #[test]
    fn runs_once_and_in_order() {
        for jobs in [1, 4] {
            let out = tempfile::tempdir().unwrap();
            let mut plan = Plan::new("base".into());
            let a = plan.call("a", 1., call("write", &[Value::Own("x".into()), "hello".into()]));
            let source = a.file("x");
            let b = plan.native("b", "copy v1", vec![a.file("x")], move |place| {
                fs::copy(place.path(&source)?, place.folder.join("y"))?;
                Ok(())
            });
            let options = options(out.path(), jobs);
            let first = run(&plan, &options).unwrap();
            assert!(first.iter().all(|stage| !stage.reused));
            assert_eq!(fs::read_to_string(out.path().join(b.relative("y"))).unwrap(), "hello\n");
            let second = run(&plan, &options).unwrap();
            assert!(second.iter().all(|stage| stage.reused));
        }
    }

    /// A failure names the stage, what it said and how to repeat it; what was finished stays, the rest does not start,
    /// and what was running is stopped at once.
    #[test]
    fn a_failure_stops_and_explains() {
        let out = tempfile::tempdir().unwrap();
        let mut plan = Plan::new("base".into());
        let good = plan.call("good", 1., call("write", &[Value::Own("x".into()), "hello".into()]));
        plan.call("long", 1., call("sleep", &["20".into()]));
        let bad = plan.call("bad", 1., call("fail", &[good.file("x")]));
        let after = plan.native("after", "v1", vec![bad.file("z")], |_| Ok(()));
        let begin = Instant::now();
        let message = run(&plan, &options(out.path(), 2)).unwrap_err().to_string();
        assert!(begin.elapsed() < Duration::from_secs(10));
        for part in ["`bad`", "no such image", "fake fail", ".partial"] {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert!(out.path().join(good.relative("x")).exists());
        assert!(!out.path().join(&after.folder).exists());
    }

    /// At the limit nothing new starts; what can be continued is stopped, what cannot is let finish; the same plan then
    /// goes on to its end.
    #[test]
    fn a_limit_stops_and_the_same_again_goes_on() {
        let out = tempfile::tempdir().unwrap();
        let mut plan = Plan::new("base".into());
        let training = Action::Htl(call("sleep", &["3".into()]));
        plan.add("training", 1., Unfinished::Continue, training);
        let short = plan.call("short", 1., call("sleep", &["1".into()]));
        plan.native("after", "v1", vec![short.file("")], |_| Ok(()));
        let begin = Instant::now();
        let deadline = Some(begin + Duration::from_millis(300));
        let limited = Options {
            deadline,
            ..options(out.path(), 2)
        };
        let error = run(&plan, &limited).unwrap_err();
        assert!(begin.elapsed() < Duration::from_millis(2800), "{:?}", begin.elapsed());
        let found = *error.downcast_ref::<AtLimit>().unwrap();
        assert_eq!(found, AtLimit { finished: 1, stages: 3 });
        assert!(error.to_string().contains("run the same command again"), "{error}");
        let reused: Vec<bool> = run(&plan, &options(out.path(), 2))
            .unwrap()
            .iter()
            .map(|stage| stage.reused)
            .collect();
        assert_eq!(reused, [false, true, false]);
        // What is finished stays finished, however late it is.
        assert!(run(&plan, &limited).unwrap().iter().all(|stage| stage.reused));
    }

    /// A stage that can continue finds its own unfinished folder; one that cannot, starts clean.
    #[test]
    fn unfinished_folders_are_continued_or_cleared() {
        for unfinished in [Unfinished::Continue, Unfinished::Restart] {
            let out = tempfile::tempdir().unwrap();
            let flag = out.path().join("flag");
            fs::write(&flag, "").unwrap();
            let mut plan = Plan::new("base".into());
            let stop: Value = flag.to_string_lossy().into_owned().into();
            let action = Action::Htl(call("count", &[Value::Own("lines".into()), 3usize.into(), stop]));
            let stage = plan.add("count", 1., unfinished, action);
            run(&plan, &options(out.path(), 1)).unwrap_err();
            fs::remove_file(&flag).unwrap();
            let path = partial(out.path(), &plan.stages[0]).join("lines");
            fs::write(&path, "first\n").unwrap();
            run(&plan, &options(out.path(), 1)).unwrap();
            let lines = fs::read_to_string(out.path().join(stage.relative("lines"))).unwrap();
            let expected = if unfinished == Unfinished::Continue {
                "first\n1\n2\n"
            } else {
                "0\n1\n2\n"
            };
            assert_eq!(lines, expected);
        }
    }
}
