//! The peer: PyTorch on the same cores.

use anyhow::Result;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The peer's scripts.
const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peers");

/// A Python that has PyTorch.
#[derive(Debug)]
pub struct Peer {
    python: PathBuf,
    /// PyTorch's version.
    pub torch: String,
}

/// How the peer's threads wait for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    Active,
    Passive,
}

/// How the peer lays out images in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Default,
    ChannelsLast,
}

/// One of the ways to run the peer; the fastest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    pub threads: usize,
    pub wait: Wait,
    pub layout: Layout,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.threads == 1 { "" } else { "s" };
        write!(f, "{} thread{plural}", self.threads)?;
        if self.wait == Wait::Passive {
            write!(f, " waiting passively")?;
        }
        match self.layout {
            Layout::Default => Ok(()),
            Layout::ChannelsLast => write!(f, ", channels_last"),
        }
    }
}

/// Every mode on so many cores.
pub fn modes(cores: usize) -> Vec<Mode> {
    let mut waits = vec![(1, Wait::Active)];
    if cores > 1 {
        waits.extend([(cores, Wait::Active), (cores, Wait::Passive)]);
    }
    let layouts = [Layout::Default, Layout::ChannelsLast];
    let both = |(threads, wait)| layouts.map(|layout| Mode { threads, wait, layout });
    waits.into_iter().flat_map(both).collect()
}

/// How many of the modes with several threads stay in the race after the first round.
const FINALISTS: usize = 2;

/// The modes worth repeating, given each one's time in the first round: the fastest with one thread and the two fastest
/// with several.
pub fn finalists(first_round: &[(Mode, f64)]) -> Vec<Mode> {
    let mut sorted: Vec<_> = first_round.to_vec();
    sorted.sort_by(|a, b| a.1.total_cmp(&b.1));
    let fastest = |single: bool, count: usize| {
        let fitting = sorted.iter().filter(move |(mode, _)| (mode.threads == 1) == single);
        fitting.take(count).map(|(mode, _)| *mode)
    };
    fastest(true, 1).chain(fastest(false, FINALISTS)).collect()
}

impl Peer {
    /// The Python named by the flag, else by `HTL_PYTHON`, else `python3`.
    ///
    /// # Errors
    /// What to install, if it has no PyTorch.
    pub fn find(flag: Option<&Path>) -> Result<Self> {
        let python = flag
            .map(Path::to_path_buf)
            .or_else(|| std::env::var_os("HTL_PYTHON").map(PathBuf::from))
            .unwrap_or_else(|| "python3".into());
        let output = Command::new(&python)
            .args(["-c", "import torch; print(torch.__version__)"])
            .output();
        let why = match output {
            Ok(output) if output.status.success() => {
                let torch = String::from_utf8_lossy(&output.stdout).trim().to_string();
                return Ok(Self { python, torch });
            }
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                text.trim().lines().last().unwrap_or("it does not start").to_string()
            }
            Err(error) => error.to_string(),
        };
        anyhow::bail!(
            "{} has no PyTorch ({why}). To compare with it:\n  \
             python3 -m venv target/peers\n  \
             target/peers/bin/pip install -r tests/peers/requirements.txt\n  \
             cargo xtask bench --python target/peers/bin/python",
            python.display()
        )
    }

    /// One of the scripts of `tests/peers` in one mode.
    pub fn command(&self, script: &str, mode: Mode) -> Command {
        let mut command = Command::new(&self.python);
        let (wait, layout) = match (mode.wait, mode.layout) {
            (Wait::Active, Layout::Default) => ("ACTIVE", "default"),
            (Wait::Active, Layout::ChannelsLast) => ("ACTIVE", "channels_last"),
            (Wait::Passive, Layout::Default) => ("PASSIVE", "default"),
            (Wait::Passive, Layout::ChannelsLast) => ("PASSIVE", "channels_last"),
        };
        command
            .arg(Path::new(PEERS).join(script))
            .args(["--layout", layout])
            .env("OMP_NUM_THREADS", mode.threads.to_string())
            .env("OMP_WAIT_POLICY", wait)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_threads_times_waiting_times_layouts() {
        let names: Vec<String> = modes(2).iter().map(ToString::to_string).collect();
        let expected = [
            "1 thread",
            "1 thread, channels_last",
            "2 threads",
            "2 threads, channels_last",
            "2 threads waiting passively",
            "2 threads waiting passively, channels_last",
        ];
        assert_eq!(names, expected);
        assert_eq!(modes(1).len(), 2);
    }

    #[test]
    fn the_fastest_single_thread_and_the_two_fastest_others_are_repeated() {
        let all = modes(2);
        let times = [90.0, 80.0, 60.0, 50.0, 40.0, 70.0];
        let first: Vec<(Mode, f64)> = all.iter().copied().zip(times).collect();
        assert_eq!(finalists(&first), [all[1], all[4], all[3]]);
        assert_eq!(finalists(&first[..2]), [all[1]]);
    }

    #[test]
    fn without_pytorch_it_says_how_to_install_it() {
        let error = Peer::find(Some(Path::new("no-such-python"))).unwrap_err().to_string();
        assert!(error.contains("no-such-python"), "{error}");
        assert!(error.contains("pip install -r tests/peers/requirements.txt"), "{error}");
    }
}
