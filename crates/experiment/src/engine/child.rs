//! Runs one `htl` call: progress lines from its standard output, everything else that it says into a log, its end with ours.
//!
//! The child's standard input is a pipe that closes when we end, however we end, and `htl` then exits. Its standard error
//! is a locked log file: the lock lasts as long as the child, so a restarted run waits for a child left behind by a
//! killed one before touching the same folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use htl_vocabulary::{lock_file, shell_word};

use super::Wish;
use crate::ExperimentError;
use crate::error::io;

/// How long a child that was asked to end may take to save what it has.
const GRACE: Duration = Duration::from_secs(60);

/// Within which time a signal reaches all of a group.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Exit code of a program that was told to end and saved its state: not done, but nothing is wrong.
pub(super) const STOPPED: i32 = 75;

/// How long to wait for a child of a killed run to notice.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With success.
    Finished,
    /// Before it was done, told so by us or by a signal.
    Stopped,
}

/// Runs `program args`; `progress` hears (done, total); ends early when `wish` says so.
///
/// # Errors
/// When the child fails, with its command line and the end of its standard error.
pub(super) fn run(
    program: &Path,
    args: &[String],
    threads: usize,
    log: &Log,
    wish: impl Fn() -> Wish,
    mut progress: impl FnMut(f64, f64),
) -> Result<End, ExperimentError> {
    let Log { file, path } = log;
    let mut file = file.try_clone().map_err(io(path, "share"))?;
    let start = file.seek(SeekFrom::End(0)).map_err(io(path, "read"))?;
    let stderr = file.try_clone().map_err(io(path, "share"))?;
    let mut said = file.try_clone().map_err(io(path, "share"))?;
    let line = command_line(program, args);
    let mut child = Command::new(program)
        .args(args)
        .env("HTL_PROGRESS", "lines")
        .env("HTL_EXIT_WITH_PARENT", "1")
        .env("RAYON_NUM_THREADS", threads.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(io(program, "start"))?;
    // Closed when we end, however we end: the child's sign to end too.
    let stdin = child.stdin.take();
    let (send, receive) = channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { break };
                let mut words = line.split_whitespace();
                let progress = match (words.next(), words.next().map(str::parse), words.next().map(str::parse)) {
                    (Some("progress"), Some(Ok(done)), Some(Ok(total))) => Some((done, total)),
                    _ => None,
                };
                match progress {
                    Some(progress) if send.send(progress).is_err() => break,
                    Some(_) => {}
                    // The log is for people; a stage does not fail for want of a line in it.
                    None => drop(writeln!(said, "{line}")),
                }
            }
        });
    }
    let mut stopping: Option<Instant> = None;
    loop {
        match receive.recv_timeout(Duration::from_millis(100)) {
            Ok((done, total)) => progress(done, total),
            Err(RecvTimeoutError::Disconnected) if child.try_wait().is_ok_and(|status| status.is_none()) => {
                // It closed its output and still works.
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(RecvTimeoutError::Disconnected) => break,
            // A process it left behind may keep the pipe open.
            Err(RecvTimeoutError::Timeout) if child.try_wait().is_ok_and(|status| status.is_some()) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        match (wish(), stopping) {
            (Wish::GoOn, _) => {}
            (Wish::End, None) => {
                stopping = Some(Instant::now());
                ask_to_end(&mut child);
            }
            (Wish::End, Some(asked)) if asked.elapsed() < GRACE => {}
            (Wish::End | Wish::Drop, _) => {
                stopping = stopping.or(Some(Instant::now()));
                child.kill().ok();
            }
        }
    }
    let status = child.wait().map_err(io(program, "wait for"))?;
    drop(stdin);
    if status.success() {
        return Ok(End::Finished);
    }
    // A signal to the whole group may have reached the child before us, and before the child listened to signals.
    let told = || stopping.is_some() || wish() != Wish::GoOn;
    let begin = Instant::now();
    while asks_to_end(status) && !told() && begin.elapsed() < AT_ONCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    if told() || status.code() == Some(STOPPED) {
        return Ok(End::Stopped);
    }
    let tail = tail(&mut file, start).unwrap_or_default();
    let tail = if tail.is_empty() {
        "(it wrote nothing to standard error)".into()
    } else {
        tail
    };
    let advice = missing_library(&tail).map_or_else(String::new, |advice| format!("\n{advice}"));
    Err(ExperimentError::Child {
        message: format!(
            "it ended with {status}:\n{tail}{advice}\nThe whole log: {}\nTo repeat it alone:\n  {line}",
            path.display()
        ),
    })
}

/// Runs a call of `htl` that is no stage, such as that of the report, and not beside a forgotten one of an earlier run.
///
/// # Errors
/// When it fails, with its words.
pub fn run_to_end(
    program: &Path,
    args: &[String],
    threads: usize,
    log: &Path,
    stop: impl Fn() -> bool,
) -> Result<(), ExperimentError> {
    let log = lock_log(log)?;
    let wish = || if stop() { Wish::Drop } else { Wish::GoOn };
    match run(program, args, threads, &log, wish, |_, _| ())? {
        End::Finished => Ok(()),
        End::Stopped => Err(ExperimentError::Child {
            message: "it was stopped before its end".into(),
        }),
    }
}

/// Whether a signal ended it that asks for an end.
#[cfg(unix)]
fn asks_to_end(status: ExitStatus) -> bool {
    use rustix::process::Signal;
    use std::os::unix::process::ExitStatusExt;
    let signal = status.signal().and_then(Signal::from_named_raw);
    signal.is_some_and(|signal| [Signal::TERM, Signal::INT, Signal::USR1].contains(&signal))
}

/// Where there are no such signals.
#[cfg(not(unix))]
fn asks_to_end(_: ExitStatus) -> bool {
    false
}

/// Tells a child to save what it has and to end.
#[cfg(unix)]
fn ask_to_end(child: &mut Child) {
    use rustix::process::{Pid, Signal, kill_process};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if pid.is_none_or(|pid| kill_process(pid, Signal::TERM).is_err()) {
        child.kill().ok();
    }
}

/// Where there are no such signals: it goes on from what it saved last.
#[cfg(not(unix))]
fn ask_to_end(child: &mut Child) {
    child.kill().ok();
}

/// A stage's log, locked: whoever holds it is alone with the stage's folder.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    path: PathBuf,
}

/// Opens a log for appending and locks it, waiting for an earlier run's child that still holds it.
///
/// # Errors
/// [`ExperimentError::Child`] if somebody still holds it after a minute.
pub(super) fn lock_log(path: &Path) -> Result<Log, ExperimentError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(io(folder, "create"))?;
    }
    match lock_file(path, PATIENCE).map_err(io(path, "write the log"))? {
        Some(file) => Ok(Log {
            file,
            path: path.into(),
        }),
        None => Err(ExperimentError::Child {
            message: format!(
                "an `htl` of an earlier run still holds {}: stop it, then run again",
                path.display()
            ),
        }),
    }
}

/// Whether somebody works with this log now; `None` where locks cannot tell.
pub(crate) fn is_held(path: &Path) -> Option<bool> {
    let Ok(file) = OpenOptions::new().read(true).append(true).open(path) else {
        return Some(false);
    };
    match file.try_lock() {
        Ok(()) => Some(false),
        Err(TryLockError::WouldBlock) => Some(true),
        Err(TryLockError::Error(_)) => None,
    }
}

/// The last lines since `start`.
fn tail(file: &mut File, start: u64) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(25)..]
        .iter()
        .map(|line| format!("  | {line}"))
        .collect::<Vec<_>>()
        .join("\n"))
}

/// A command as one would type it.
pub fn command_line(program: &Path, args: &[String]) -> String {
    let mut words = vec![shell_word(&program.to_string_lossy())];
    words.extend(args.iter().map(|arg| shell_word(arg)));
    words.join(" ")
}

/// What a GPU build needs beside itself.
const LIBRARIES: &str = "A GPU build of htl needs the CUDA 13 libraries and cuDNN 9: install them, or let LD_LIBRARY_PATH \
                         name the lib folders that PyTorch's wheels bring (site-packages/nvidia/*/lib; cuRAND may need \
                         `pip install nvidia-curand`); and the NVIDIA driver 580 or later";

/// What to install when `htl` said that a shared library is missing; nothing when it failed for another reason.
pub fn missing_library(stderr: &str) -> Option<String> {
    let signs = [
        "error while loading shared libraries",
        "cannot open shared object file",
        "Unable to dynamically load",
        "Library not loaded",
    ];
    let line = stderr
        .lines()
        .find(|line| signs.iter().any(|sign| line.contains(sign)))?;
    let line = line.trim_start_matches("  | ").trim();
    Some(format!("a shared library is missing ({line}). {LIBRARIES}"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, wish: impl Fn() -> Wish, progress: impl FnMut(f64, f64)) -> Result<End, ExperimentError> {
        let folder = tempfile::tempdir().unwrap();
        let args = ["-c".to_string(), script.into()];
        let log = lock_log(&folder.path().join("log")).unwrap();
        run(Path::new("/bin/sh"), &args, 1, &log, wish, progress)
    }

    fn go_on() -> Wish {
        Wish::GoOn
    }

    #[test]
    fn hears_progress() {
        let mut heard = Vec::new();
        let script = "echo progress 1 4; echo other; echo progress 4 4";
        shell(script, go_on, |done, total| heard.push((done, total))).unwrap();
        assert_eq!(heard, [(1., 4.), (4., 4.)]);
    }

    #[test]
    fn a_failure_shows_the_end_of_its_errors_and_the_command() {
        let message = shell("echo 'masks/a.png is missing' >&2; exit 3", go_on, |_, _| ())
            .unwrap_err()
            .to_string();
        assert!(message.contains("masks/a.png is missing"), "{message}");
        assert!(message.contains("/bin/sh -c"), "{message}");
    }

    /// A child of a killed run holds its log; a new run waits until it is gone.
    #[test]
    fn waits_for_an_orphan() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let held = lock_log(&log).unwrap();
        let mut orphan = Command::new("/bin/sh")
            .args(["-c", "sleep 0.4"])
            .stderr(held.file.try_clone().unwrap())
            .spawn()
            .unwrap();
        drop(held);
        let begin = Instant::now();
        drop(lock_log(&log).unwrap());
        assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
        orphan.wait().unwrap();
    }

    /// A child that is asked to end may save what it has; one that is dropped may not; one that says itself that it was
    /// told to end is believed; so is a signal that came to the child before it came to us.
    #[test]
    fn children_end_as_they_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join("saved");
        let script = format!(
            "trap 'echo saved > {}; exit 75' TERM; echo progress 1 2; while true; do sleep 0.05; done",
            saved.display()
        );
        let begun = std::cell::Cell::new(false);
        let once_begun = |wish: Wish| if begun.get() { wish } else { Wish::GoOn };
        let begin = Instant::now();
        let end = shell(&script, || once_begun(Wish::End), |_, _| begun.set(true)).unwrap();
        assert_eq!(end, End::Stopped);
        assert!(saved.exists());
        fs::remove_file(&saved).unwrap();
        let end = shell(&script, || once_begun(Wish::Drop), |_, _| begun.set(true)).unwrap();
        assert_eq!(end, End::Stopped);
        assert!(!saved.exists());
        assert!(begin.elapsed() < Duration::from_secs(10));
        assert_eq!(shell("exit 75", go_on, |_, _| ()).unwrap(), End::Stopped);
        // A signal that reaches the child first, and one that reaches nobody else. (Not INT: what runs in the background ignores it.)
        for signal in ["TERM", "USR1"] {
            let begin = Instant::now();
            let soon = || {
                if begin.elapsed() > Duration::from_millis(300) {
                    Wish::End
                } else {
                    Wish::GoOn
                }
            };
            assert_eq!(
                shell(&format!("kill -{signal} $$"), soon, |_, _| ()).unwrap(),
                End::Stopped
            );
        }
        let message = shell("kill -TERM $$", go_on, |_, _| ()).unwrap_err().to_string();
        assert!(message.contains("SIGTERM"), "{message}");
        assert!(shell("kill -KILL $$", go_on, |_, _| ()).is_err());
    }

    #[test]
    fn a_missing_library_is_explained() {
        let later = "echo 'Unable to dynamically load the \"cudnn\" shared library' >&2; exit 101";
        let message = shell(later, go_on, |_, _| ()).unwrap_err().to_string();
        for part in ["cudnn", "CUDA 13", "cuDNN 9", "LD_LIBRARY_PATH", "580"] {
            assert!(message.contains(part), "{part} in {message}");
        }
        assert_eq!(missing_library("  | masks/a.png is missing"), None);
    }
}
