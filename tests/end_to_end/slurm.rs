//! The whole experiment, tiny, on a real Slurm: the bytes of one machine, whatever happens to its jobs.

use htl_tests::slurm::{Cluster, until};
use htl_tests::{fails_with, htl, misused, must, run, stderr, succeeds};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// `htl reproduce` with the tiny profile into `out`.
fn tiny(cluster: &Cluster, out: &Path, engine: &str) -> Command {
    let mut command = cluster.command(&htl().to_string_lossy());
    command
        .args([
            "--device",
            "cpu",
            "reproduce",
            "--profile",
            "tiny",
            "--engine",
            engine,
            "--out",
        ])
        .arg(out)
        .current_dir(htl_tests::root())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if engine == "slurm" {
        command.arg("--slurm-option=--cpus-per-task=1");
    }
    command
}

fn results(out: &Path) -> Vec<u8> {
    must(fs::read(out.join("results.json")))
}

/// Numbers of finished stages.
fn finished(out: &Path) -> usize {
    let entries = fs::read_dir(out.join("stages")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().join("stage.json").exists()).count()
}

/// The first of our jobs in a state, if there is one.
fn job(cluster: &Cluster, state: &str) -> Option<String> {
    let states = format!("--states={state}");
    let jobs = cluster.ask("squeue", &["--me", "--noheader", "--array", "--format=%i", &states]);
    jobs.lines().next().map(|job| job.trim().into())
}

/// The `htl stage` processes of a run.
fn stage_processes(out: &Path) -> Vec<String> {
    let output = must(
        Command::new("pgrep")
            .args(["-f", "--"])
            .arg(format!("htl stage .*{}", out.display()))
            .output(),
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(Into::into)
        .collect()
}

/// Starts a run that is to be disturbed, and waits until some of it is done.
fn begun(cluster: &Cluster, out: &Path, enough: usize) -> Child {
    let child = must(tiny(cluster, out, "slurm").stderr(Stdio::null()).spawn());
    until("some finished stages", || finished(out) >= enough);
    child
}

/// A job cancelled, a stage and a whole run killed, a node drained: every time the same command goes on, and the results are
/// those of one machine.
#[test]
fn the_bytes_of_one_machine() {
    let Some(cluster) = Cluster::start(2) else { return };
    let local = must(tempfile::tempdir());
    succeeds(&run(&mut tiny(&cluster, local.path(), "local")));

    let folder = must(tempfile::tempdir());
    let out = folder.path();
    // A job is cancelled by somebody.
    let mut child = begun(&cluster, out, 2);
    until("a running job", || job(&cluster, "RUNNING").is_some());
    let cancelled = job(&cluster, "RUNNING");
    cluster.ask("scancel", &["--quiet", &cancelled.unwrap_or_default()]);
    // The rest goes on, unless the job was through before it was cancelled.
    must(child.wait());
    let after_cancel = finished(out);

    // A stage is killed.
    let mut child = begun(&cluster, out, after_cancel);
    until("a stage to kill, or the end", || {
        !stage_processes(out).is_empty() || must(child.try_wait()).is_some()
    });
    for process in stage_processes(out).iter().take(1) {
        must(Command::new("kill").args(["-KILL", process]).status());
    }
    must(child.wait());

    // The run itself is killed: its jobs stay, and the next one takes them up.
    let mut child = must(tiny(&cluster, out, "slurm").stderr(Stdio::null()).spawn());
    until("a job, or the end", || {
        job(&cluster, "RUNNING").is_some() || must(child.try_wait()).is_some()
    });
    child.kill().ok();
    must(child.wait());

    // A node is drained.
    cluster.ask("scontrol", &["update", "NodeName=n1", "State=DRAIN", "Reason=test"]);
    succeeds(&run(&mut tiny(&cluster, out, "slurm")));
    assert!(
        results(out) == results(local.path()),
        "results.json differs from that of one machine"
    );
    let status = must(
        cluster
            .command(&htl().to_string_lossy())
            .args(["status", "--run"])
            .arg(out)
            .output(),
    );
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("0 failed") && status.contains("0 running"), "{status}");
}

/// Undisturbed, in one go; a second call submits nothing; what is wrong with a run is said.
#[test]
fn a_run_and_what_it_says() {
    let Some(cluster) = Cluster::start(2) else { return };
    let folder = must(tempfile::tempdir());
    let out = folder.path().join("out");
    let command = |more: &[&str]| run(tiny(&cluster, &out, "slurm").args(more));
    misused(&command(&["--slurm-option=--array=1-3"]), &["--array", "engine sets"]);
    fails_with(
        &command(&["--only", "supervised/baseline", "--slurm-option=--constraint=quantum"]),
        &["Invalid feature specification", "--constraint=quantum"],
    );
    fails_with(
        &run(tiny(&cluster, &out, "local").arg("--detach")),
        &["--detach", "--engine slurm"],
    );
    // Submitted and left alone, cancelled from outside, taken up again.
    let detached = command(&["--only", "supervised/baseline", "--detach"]);
    succeeds(&detached);
    assert!(stderr(&detached).contains("htl status"), "{}", stderr(&detached));
    let cancel = run(cluster
        .command(&htl().to_string_lossy())
        .args(["cancel", "--run"])
        .arg(&out));
    succeeds(&cancel);
    succeeds(&command(&["--only", "supervised/baseline"]));
    let before = finished(&out);
    let again = command(&["--only", "supervised/baseline"]);
    succeeds(&again);
    assert!(
        !stderr(&again).contains("job "),
        "it submitted something: {}",
        stderr(&again)
    );
    assert_eq!(finished(&out), before);
    // Two runs into one folder.
    let mut first = must(tiny(&cluster, &out, "slurm").stderr(Stdio::null()).spawn());
    until("a job, or the end", || {
        job(&cluster, "PENDING,RUNNING").is_some() || must(first.try_wait()).is_some()
    });
    if must(first.try_wait()).is_none() {
        fails_with(&command(&[]), &["another reproduce is running"]);
    }
    // Ctrl-C cancels the jobs.
    must(Command::new("kill").args(["-INT", &first.id().to_string()]).status());
    let ended = must(first.wait());
    assert!(ended.success() || ended.code() == Some(75), "{ended}");
    until("an empty queue", || {
        job(&cluster, "PENDING,RUNNING,COMPLETING").is_none()
    });
    // No controller.
    cluster.kill("slurmctld");
    fails_with(&command(&[]), &["controller does not answer", "scontrol ping"]);
}
