//! Broken files for every reader of the workspace: whatever is in them, a reader gives a result or says what is wrong. None may panic,
//! take longer than [`PATIENCE`], or hand out a number that is not finite where numbers have to be.
//!
//! A [`Reader`] comes with sound files; proptest breaks them ([`Mutation`]) and shrinks what fails to the fewest changes.
//! `cargo test` tries some of each, always the same; `cargo xtask fuzz --minutes N` tries others until the time is over.
mod mutation;
mod readers;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use mutation::{Mutation, mutated, mutations};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
pub use readers::READERS;

/// What a file of a few kilobytes may take, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A reader and what it is tried with.
pub struct Reader {
    /// Its name.
    pub name: &'static str,
    /// Name of the file that it reads.
    pub file: &'static str,
    /// Sound files, made in a folder or committed.
    pub corpus: fn(&Path) -> Vec<Vec<u8>>,
    /// Reads; the error is what it says. An `Ok` has been looked at: what has to be finite is.
    pub read: fn(&Path) -> Result<(), String>,
}

/// What was tried.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// Files that were read.
    pub executions: usize,
    /// Of which so many were taken as sound.
    pub accepted: usize,
}

/// Tries so many broken files, the same for the same seed.
///
/// # Errors
/// What went wrong, with the fewest changes that make it so and where the file lies; a sound file that is refused.
pub fn fuzz(reader: &Reader, seed: u64, executions: u32) -> Result<Tried, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let corpus = (reader.corpus)(folder.path());
    let place = folder.path().join("read");
    std::fs::create_dir(&place).map_err(|error| error.to_string())?;
    let path = place.join(reader.file);
    for sound in &corpus {
        std::fs::write(&path, sound).map_err(|error| error.to_string())?;
        (reader.read)(&path).map_err(|error| format!("{} refuses a sound file: {error}", reader.name))?;
    }
    let config = Config {
        cases: executions,
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let tried = std::cell::Cell::new(Tried::default());
    let strategy = (0..corpus.len(), mutations()).prop_map(|(index, list)| (index, list));
    let outcome = runner.run(&strategy, |(index, list)| {
        let broken = mutated(&corpus[index], &list);
        let accepted = one(reader, &path, &broken).map_err(TestCaseError::fail)?;
        let so_far = tried.get();
        tried.set(Tried {
            executions: so_far.executions + 1,
            accepted: so_far.accepted + usize::from(accepted),
        });
        Ok(())
    });
    match outcome {
        Ok(()) => Ok(tried.get()),
        Err(TestError::Fail(why, (index, list))) => {
            let kept = keep(reader, &mutated(&corpus[index], &list));
            Err(format!(
                "{}: {why}\n  sound file {index} with {list:?}\n  kept in {}",
                reader.name,
                kept.display()
            ))
        }
        Err(TestError::Abort(why)) => Err(format!("{}: {why}", reader.name)),
    }
}

/// Reads one file; whether it was accepted.
fn one(reader: &Reader, path: &Path, bytes: &[u8]) -> Result<bool, String> {
    std::fs::write(path, bytes).map_err(|error| error.to_string())?;
    let begin = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (reader.read)(path)));
    let took = begin.elapsed();
    match outcome {
        Err(_) => Err("it panicked".into()),
        Ok(_) if took > PATIENCE => Err(format!("it took {took:.1?}")),
        Ok(Err(said)) if said.starts_with(NOT_FINITE) => Err(said),
        Ok(Err(said)) if said.trim().is_empty() => Err("it refused without a word".into()),
        Ok(outcome) => Ok(outcome.is_ok()),
    }
}

/// What a reader's look at its result begins with where a number is not finite.
pub(crate) const NOT_FINITE: &str = "accepted, and not finite";

/// Keeps what a reader failed on, for a look at it.
fn keep(reader: &Reader, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("htl-fuzz-{}-{}", reader.name, reader.file));
    // A file that cannot be kept is still described.
    let _ = std::fs::write(&path, bytes);
    path
}
