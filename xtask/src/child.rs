//! Runs one `htl` call: progress lines from its standard output, its errors into a log, its end with ours.
//!
//! The child's standard input is a pipe that closes when we end, however we end, and `htl` then exits. Its standard error
//! is a locked log file: the lock lasts as long as the child, so a restarted run waits for a child left behind by a
//! killed one before touching the same folder.

use crate::htl::missing_library;
use anyhow::{Context, Result, bail};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How long to wait for a child of a killed run to notice.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With success.
    Finished,
    /// By us, before it was done.
    Stopped,
}

/// Runs `program args`; `progress` hears (done, total); ends early when `stop` says so.
///
/// # Errors
/// When the child fails, with its command line and the end of its standard error.
pub fn run(
    program: &Path,
    args: &[String],
    threads: usize,
    log: Log,
    stop: impl Fn() -> bool,
    mut progress: impl FnMut(f64, f64),
) -> Result<End> {
    let Log { mut file, path } = log;
    let start = file
        .seek(SeekFrom::End(0))
        .with_context(|| format!("cannot read {}", path.display()))?;
    let stderr = file
        .try_clone()
        .with_context(|| format!("cannot share {}", path.display()))?;
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
        .with_context(|| format!("cannot start {}", program.display()))?;
    let stdin = child.stdin.take();
    let mut stopped = false;
    let stdout = child.stdout.take().context("the child has no standard output")?;
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let Ok(line) = line else { break };
            let mut words = line.split_whitespace();
            if words.next() == Some("progress")
                && let (Some(Ok(done)), Some(Ok(total))) = (words.next().map(str::parse), words.next().map(str::parse))
                && send.send((done, total)).is_err()
            {
                break;
            }
        }
    });
    loop {
        match receive.recv_timeout(Duration::from_millis(100)) {
            Ok((done, total)) => progress(done, total),
            Err(RecvTimeoutError::Disconnected) => break,
            // A process it left behind may keep the pipe open.
            Err(RecvTimeoutError::Timeout) if child.try_wait().is_ok_and(|status| status.is_some()) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if stop() {
            stopped = true;
            child.kill().ok();
        }
    }
    let status = child.wait().with_context(|| format!("cannot wait for {line}"))?;
    drop(stdin);
    if stopped && !status.success() {
        return Ok(End::Stopped);
    }
    if !status.success() {
        let tail = tail(&mut file, start).unwrap_or_default();
        let tail = if tail.is_empty() {
            "(it wrote nothing to standard error)".into()
        } else {
            tail
        };
        let advice = missing_library(&tail).map_or_else(String::new, |advice| format!("\n{advice}"));
        bail!(
            "it ended with {status}:\n{tail}{advice}\nThe whole log: {}\nTo repeat it alone:\n  {line}",
            path.display()
        );
    }
    Ok(End::Finished)
}

/// A stage's log, locked: whoever holds it is alone with the stage's folder.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
}

/// Opens the log for appending and locks it, waiting for an earlier run's child that still holds it.
pub fn wait_for_orphan(path: &Path) -> Result<Log> {
    let file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot write the log {}", path.display()))?;
    let begin = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => {
                return Ok(Log {
                    file,
                    path: path.into(),
                });
            }
            Err(TryLockError::WouldBlock) if begin.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(50))
            }
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "an `htl` of an earlier run still holds {}: stop it, then run again",
                    path.display()
                )
            }
            // A file system without locks: go on without.
            Err(TryLockError::Error(_)) => {
                return Ok(Log {
                    file,
                    path: path.into(),
                });
            }
        }
    }
}

/// The last lines since `start`.
fn tail(file: &mut File, start: u64) -> Result<String> {
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
    let quote = |word: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.into()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    let mut words = vec![quote(&program.to_string_lossy())];
    words.extend(args.iter().map(|arg| quote(arg)));
    words.join(" ")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str, progress: impl FnMut(f64, f64)) -> Result<End> {
        let folder = tempfile::tempdir().unwrap();
        let args = ["-c".to_string(), script.into()];
        let log = wait_for_orphan(&folder.path().join("log")).unwrap();
        run(Path::new("/bin/sh"), &args, 1, log, || false, progress)
    }

    #[test]
    fn hears_progress() {
        let mut heard = Vec::new();
        shell("echo progress 1 4; echo other; echo progress 4 4", |done, total| {
            heard.push((done, total))
        })
        .unwrap();
        assert_eq!(heard, [(1., 4.), (4., 4.)]);
    }

    #[test]
    fn a_failure_shows_the_end_of_its_errors_and_the_command() {
        let message = shell("echo 'masks/a.png is missing' >&2; exit 3", |_, _| ())
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
        let held = wait_for_orphan(&log).unwrap();
        let mut orphan = Command::new("/bin/sh")
            .args(["-c", "sleep 0.4"])
            .stderr(held.file.try_clone().unwrap())
            .spawn()
            .unwrap();
        drop(held);
        let begin = Instant::now();
        drop(wait_for_orphan(&log).unwrap());
        assert!(begin.elapsed() >= Duration::from_millis(300), "{:?}", begin.elapsed());
        orphan.wait().unwrap();
    }
}
