//! This machine: several stages at a time, each once, resuming where an earlier run was stopped.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::progress::Progress;
use super::{Record, Run, Wish, finished, perform};
use crate::ExperimentError;
use crate::plan::{Plan, Stage, Unfinished};

/// A finished stage, and whether an earlier run had done it.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Its record.
    pub record: Record,
    /// Whether an earlier run did it.
    pub reused: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    Waiting,
    Running,
    Done,
}

struct Board {
    status: Vec<Status>,
    done: Vec<Option<Done>>,
    failure: Option<ExperimentError>,
}

/// What the workers share.
struct Shared<'a> {
    plan: &'a Plan,
    needs: Vec<Vec<usize>>,
    run: &'a Run,
    board: Mutex<Board>,
    changed: Condvar,
    failed: AtomicBool,
    /// Whether a person was told that it is about to stop.
    told: AtomicBool,
    progress: Progress,
}

/// Runs every stage that is not finished yet, `jobs` at a time, in the plan's order as far as dependencies allow.
///
/// # Errors
/// The first stage that fails; the others are then stopped. [`ExperimentError::Stopped`] when the deadline or a signal
/// comes first. Running again goes on from there.
pub fn run(plan: &Plan, run: &Run, jobs: usize) -> Result<Vec<Done>, ExperimentError> {
    let progress = Progress::new(plan.stages.len(), plan.stages.iter().map(|stage| stage.cost).sum());
    let mut board = Board {
        status: Vec::new(),
        done: Vec::new(),
        failure: None,
    };
    for stage in &plan.stages {
        let record = finished(&run.out, stage);
        if record.is_some() {
            progress.found(stage.cost);
        }
        board.status.push(match record {
            Some(_) => Status::Done,
            None => Status::Waiting,
        });
        board.done.push(record.map(|record| Done { record, reused: true }));
    }
    let shared = Shared {
        plan,
        needs: plan.dependencies(),
        run,
        board: Mutex::new(board),
        changed: Condvar::new(),
        failed: AtomicBool::new(false),
        told: AtomicBool::new(false),
        progress,
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| shared.work());
        }
    });
    shared.progress.close();
    let mut board = match shared.board.into_inner() {
        Ok(board) => board,
        Err(poisoned) => poisoned.into_inner(),
    };
    if let Some(failure) = board.failure.take() {
        return Err(failure);
    }
    let stages = plan.stages.len();
    let done: Vec<Done> = board.done.into_iter().flatten().collect();
    if done.len() < stages {
        let why = run.stop.reason();
        let finished = done.len();
        return Err(ExperimentError::Stopped { why, finished, stages });
    }
    Ok(done)
}

impl Shared<'_> {
    fn lock(&self) -> MutexGuard<'_, Board> {
        match self.board.lock() {
            Ok(board) => board,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    fn work(&self) {
        while let Some(index) = self.next() {
            let stage = &self.plan.stages[index];
            self.progress.start(index, &stage.name, stage.cost);
            let advance = |done, total| self.progress.advance(index, done, total);
            let outcome = perform(self.plan, stage, self.run, || self.wish(stage), advance);
            let mut board = self.lock();
            match outcome {
                Ok(Some(record)) => {
                    board.status[index] = Status::Done;
                    board.done[index] = Some(Done { record, reused: false });
                    self.progress.finish(index);
                }
                // A failure elsewhere, the deadline or a signal.
                Ok(None) => board.status[index] = Status::Waiting,
                Err(error) => {
                    self.failed.store(true, Ordering::Relaxed);
                    board.status[index] = Status::Waiting;
                    board.failure.get_or_insert(error);
                }
            }
            drop(board);
            self.changed.notify_all();
        }
    }

    /// The next stage that can start, waited for; `None` when there will be none.
    fn next(&self) -> Option<usize> {
        let mut board = self.lock();
        loop {
            let stop = &self.run.stop;
            if board.failure.is_some() || stop.is_late() || stop.is_signalled() {
                return None;
            }
            let done = |index: &usize| board.status[*index] == Status::Done;
            let ready = (0..self.plan.stages.len())
                .find(|&index| board.status[index] == Status::Waiting && self.needs[index].iter().all(done));
            if let Some(index) = ready {
                board.status[index] = Status::Running;
                return Some(index);
            }
            if !board.status.contains(&Status::Running) {
                return None;
            }
            board = match self.changed.wait_timeout(board, Duration::from_secs(1)) {
                Ok((board, _)) => board,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// After a failure or a signal everything ends; at the deadline what can continue, and the rest may finish.
    fn wish(&self, stage: &Stage) -> Wish {
        let stop = &self.run.stop;
        if (stop.is_signalled() || stop.is_late()) && !self.told.swap(true, Ordering::Relaxed) {
            self.progress.say(stop.consequence());
        }
        let now = self.failed.load(Ordering::Relaxed) || stop.is_signalled();
        match stage.kind.unfinished() {
            Unfinished::Continue if now || stop.is_late() => Wish::End,
            Unfinished::Restart if now => Wish::Drop,
            _ => Wish::GoOn,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Instant;

    use super::*;
    use crate::engine::StopAt;
    use crate::engine::record::partial;
    use crate::plan::tests::empty;
    use crate::plan::{HtlCall, Kind, Native, Value};

    /// A stand-in for `htl`: `fake --device cpu write FILE TEXT`, `fake fail`, `fake count FILE N` (resumes, one line a step).
    const FAKE: &str = r#"#!/bin/sh
shift 2
case "$1" in
  write) echo "$3" > "$2" ;;
  fail) echo "no such image" >&2; exit 1 ;;
  count) n=$(cat "$2" 2>/dev/null | wc -l); while [ $n -lt $3 ]; do echo $n >> "$2"; n=$((n+1)); [ -f "$4" ] && exit 9; done; exit 0 ;;
  sleep) sleep "$2"; [ -z "$3" ] || printf 'image_id\na\n' > "$3" ;;
esac
"#;

    fn options(out: &Path) -> Run {
        use std::os::unix::fs::PermissionsExt;
        let htl = out.join("fake");
        if !htl.exists() {
            fs::write(&htl, FAKE).unwrap();
            fs::set_permissions(&htl, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Run {
            htl,
            out: out.into(),
            threads: 1,
            stop: StopAt::default(),
        }
    }

    fn call(command: &str, args: &[Value]) -> HtlCall {
        args.iter()
            .fold(HtlCall::new(command), |call, arg| call.arg(arg.clone()))
    }

    /// A list of one id, as a native stage reads it.
    fn ids(plan: &mut Plan, name: &str) -> crate::plan::StageRef {
        plan.call(
            name,
            Kind::Query,
            1.,
            call("write", &[Value::Own("ids.csv".into()), "image_id\na".into()]),
        )
    }

    fn union(plan: &mut Plan, name: &str, list: Value) -> crate::plan::StageRef {
        plan.native(name, Native::Union { lists: vec![list] })
    }

    fn reused(done: &[Done]) -> Vec<bool> {
        done.iter().map(|done| done.reused).collect()
    }

    /// Every stage once, after what it needs; a second run does nothing and says so.
    #[test]
    fn runs_once_and_in_order() {
        for jobs in [1, 4] {
            let out = tempfile::tempdir().unwrap();
            let mut plan = empty("base");
            let a = ids(&mut plan, "a");
            let b = union(&mut plan, "b", a.file("ids.csv"));
            let options = options(out.path());
            assert_eq!(reused(&run(&plan, &options, jobs).unwrap()), [false, false]);
            let text = fs::read_to_string(out.path().join(b.relative("labelled.csv"))).unwrap();
            assert_eq!(text, "image_id\na\n");
            assert_eq!(reused(&run(&plan, &options, jobs).unwrap()), [true, true]);
        }
    }

    /// A finished stage whose file was changed, emptied or removed is done again.
    #[test]
    fn damaged_results_are_made_again() {
        let out = tempfile::tempdir().unwrap();
        let mut plan = empty("base");
        let a = ids(&mut plan, "a");
        union(&mut plan, "b", a.file("ids.csv"));
        let options = options(out.path());
        run(&plan, &options, 1).unwrap();
        let path = out.path().join(a.relative("ids.csv"));
        let damages: [fn(&Path); 3] = [
            |path| fs::write(path, "image_id\nb\n").unwrap(),
            |path| fs::write(path, "").unwrap(),
            |path| fs::remove_file(path).unwrap(),
        ];
        for damage in damages {
            damage(&path);
            assert_eq!(reused(&run(&plan, &options, 1).unwrap()), [false, true]);
            assert_eq!(fs::read_to_string(&path).unwrap(), "image_id\na\n");
        }
    }

    /// A failure names the stage, what it said and how to repeat it; what was finished stays, the rest does not start,
    /// and what was running is stopped at once. A note of it stays until the stage is tried again.
    #[test]
    fn a_failure_stops_and_explains() {
        let out = tempfile::tempdir().unwrap();
        let mut plan = empty("base");
        let good = ids(&mut plan, "good");
        plan.call("long", Kind::Mine, 1., call("sleep", &["20".into()]));
        let bad = plan.call("bad", Kind::Mine, 1., call("fail", &[good.file("x")]));
        let after = union(&mut plan, "after", bad.file("z"));
        let begin = Instant::now();
        let message = run(&plan, &options(out.path()), 2).unwrap_err().to_string();
        assert!(begin.elapsed() < Duration::from_secs(10));
        for part in ["`bad`", "no such image", "cpu fail", ".partial"] {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert!(out.path().join(good.relative("ids.csv")).exists());
        assert!(!out.path().join(&after.folder).exists());
        let note = crate::engine::Failure::read(out.path(), plan.stage("bad").unwrap()).unwrap();
        assert!(note.message.contains("no such image"));
    }

    /// At the limit nothing new starts; what can continue is stopped, what cannot may finish; the same plan then goes on
    /// to its end.
    #[test]
    fn a_limit_stops_and_the_same_again_goes_on() {
        let out = tempfile::tempdir().unwrap();
        let mut plan = empty("base");
        plan.call("training", Kind::Train, 1., call("sleep", &["3".into()]));
        let list: &[Value] = &["1".into(), Value::Own("ids.csv".into())];
        let short = plan.call("short", Kind::Mine, 1., call("sleep", list));
        union(&mut plan, "after", short.file("ids.csv"));
        let begin = Instant::now();
        let mut limited = options(out.path());
        limited.stop.deadline = Some(begin + Duration::from_millis(300));
        let error = run(&plan, &limited, 2).unwrap_err();
        assert!(begin.elapsed() < Duration::from_millis(2800), "{:?}", begin.elapsed());
        let ExperimentError::Stopped { finished, stages, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!((*finished, *stages), (1, 3));
        assert!(error.to_string().contains("run the same command again"), "{error}");
        let again = run(&plan, &options(out.path()), 2).unwrap();
        assert_eq!(reused(&again), [false, true, false]);
        // What is finished stays finished, however late it is.
        assert_eq!(reused(&run(&plan, &limited, 2).unwrap()), [true; 3]);
    }

    /// A signal ends everything, and the run says that it can go on.
    #[test]
    fn a_signal_stops_everything() {
        let out = tempfile::tempdir().unwrap();
        let mut plan = empty("base");
        plan.call("training", Kind::Train, 1., call("sleep", &["20".into()]));
        plan.call("mine", Kind::Mine, 1., call("sleep", &["21".into()]));
        let options = options(out.path());
        let begin = Instant::now();
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(300));
                options.stop.signal.store(true, Ordering::Relaxed);
            });
            run(&plan, &options, 2).unwrap_err().to_string()
        });
        assert!(begin.elapsed() < Duration::from_secs(10));
        assert!(error.contains("by a signal, 0 of 2"), "{error}");
    }

    /// A stage that can continue finds its own unfinished folder; one that cannot, starts clean.
    #[test]
    fn unfinished_folders_are_continued_or_cleared() {
        for kind in [Kind::Train, Kind::Mine] {
            let out = tempfile::tempdir().unwrap();
            let flag = out.path().join("flag");
            fs::write(&flag, "").unwrap();
            let mut plan = empty("base");
            let stop: Value = flag.to_string_lossy().into_owned().into();
            let count = call("count", &[Value::Own("lines".into()), 3usize.into(), stop]);
            let stage = plan.call("count", kind, 1., count);
            run(&plan, &options(out.path()), 1).unwrap_err();
            fs::remove_file(&flag).unwrap();
            let path = partial(out.path(), &plan.stages[0]).join("lines");
            fs::write(&path, "first\n").unwrap();
            run(&plan, &options(out.path()), 1).unwrap();
            let lines = fs::read_to_string(out.path().join(stage.relative("lines"))).unwrap();
            let expected = match kind.unfinished() {
                Unfinished::Continue => "first\n1\n2\n",
                Unfinished::Restart => "0\n1\n2\n",
            };
            assert_eq!(lines, expected);
        }
    }
}
