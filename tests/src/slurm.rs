//! A Slurm cluster of this machine alone, for tests.

use crate::{must, root};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const DAEMONS: [&str; 4] = ["munged", "slurmctld", "slurmd", "sbatch"];

/// A running cluster: nodes `n1` and `n2`, partitions `main` and `closed`. Stopped when dropped, or when the test's process
/// ends.
pub struct Cluster {
    script: Child,
    /// The script removes it.
    folder: PathBuf,
}

impl Cluster {
    /// Starts a cluster whose nodes have so many processors each. Nothing, and a line on standard error that can be counted,
    /// where Slurm is not installed.
    ///
    /// # Panics
    /// When Slurm is installed but does not start; the message says why.
    pub fn start(cpus: usize) -> Option<Self> {
        Self::start_with(cpus, None)
    }

    /// A cluster whose node `n2` finds a folder empty. Nothing where that cannot be arranged, too: it needs root.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    pub fn start_hiding(cpus: usize, hidden: &Path) -> Option<Self> {
        let unshare = Command::new("unshare")
            .args(["--mount", "true"])
            .stderr(Stdio::null())
            .status();
        if !unshare.is_ok_and(|status| status.success()) {
            return skip("a folder cannot be hidden from a node (needs root)");
        }
        Self::start_with(cpus, Some(hidden))
    }

    fn start_with(cpus: usize, hidden: Option<&Path>) -> Option<Self> {
        let missing = |program: &&str| {
            !["/usr/sbin", "/sbin"]
                .iter()
                .any(|folder| Path::new(folder).join(program).exists())
        };
        let on_path = |program: &str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|folder| folder.join(program).exists())
        };
        if DAEMONS.iter().any(|program| !on_path(program) && missing(program)) {
            return skip("Slurm is not installed (apt-get install slurm-wlm munge)");
        }
        // Not where TMPDIR says: the path of a socket must be short.
        let folder = must(tempfile::Builder::new().prefix("slurm-").tempdir_in("/tmp")).keep();
        let mut command = Command::new(root().join("tests/slurm/cluster.sh"));
        command.arg(&folder).env("CLUSTER_CPUS", cpus.to_string());
        if let Some(hidden) = hidden {
            command.env("CLUSTER_HIDE", hidden);
        }
        let mut script = must(
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn(),
        );
        let mut line = String::new();
        if let Some(stdout) = script.stdout.take() {
            must(BufReader::new(stdout).read_line(&mut line));
        }
        if line.trim() != "ready" {
            let mut said = String::new();
            if let Some(mut stderr) = script.stderr.take() {
                must(stderr.read_to_string(&mut said));
            }
            panic!("{said}");
        }
        Some(Self { script, folder })
    }

    /// The cluster's configuration, for `SLURM_CONF`.
    pub fn conf(&self) -> PathBuf {
        self.folder.join("slurm.conf")
    }

    /// A command that uses the cluster.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", self.conf());
        command
    }

    /// What a Slurm command says.
    ///
    /// # Panics
    /// When it fails.
    pub fn ask(&self, program: &str, args: &[&str]) -> String {
        let output: Output = must(self.command(program).args(args).output());
        assert!(
            output.status.success(),
            "{program} {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Kills a daemon, as a power cut does: `slurmctld`, `slurmd.n1`, `slurmd.n2`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&self, daemon: &str) {
        let pid = must(std::fs::read_to_string(self.folder.join(format!("{daemon}.pid"))));
        let pid = pid.trim();
        assert!(
            must(Command::new("kill").args(["-KILL", pid]).status()).success(),
            "{daemon}"
        );
        until("the end of a daemon", || {
            !Path::new("/proc").join(pid).join("exe").exists()
        });
    }

    /// Starts the controller again.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_controller(&self) {
        let mark = format!("{}", self.folder.display());
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let status = self
            .command("slurmctld")
            .arg("-f")
            .arg(self.conf())
            .env("PATH", path)
            // By this the script finds what it has to stop.
            .env("HTL_TEST_CLUSTER", mark)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(must(status).success());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        self.script.wait().ok();
    }
}

/// Says on standard error that a test was skipped, past the capture of its output: one line a test, to be counted.
fn skip<T>(why: &str) -> Option<T> {
    writeln!(std::io::stderr(), "skipped: {why}").ok();
    None
}

/// Waits until something is so.
///
/// # Panics
/// When it is not after a minute.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(50));
    }
}
