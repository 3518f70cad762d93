//! The whole experiment, tiny, on a real Slurm: the bytes of one machine, whatever happens to its jobs.

use htl_tests::slurm::{Cluster, until};
use htl_tests::{fails_with, htl, must, run, stderr, succeeds};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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

fn signal(signal: &str, process: &str) -> bool {
    must(
        Command::new("kill")
            .args([signal, process])
            .stderr(Stdio::null())
            .status(),
    )
    .success()
}

/// A training of a run that is being computed now.
fn training(out: &Path) -> Option<String> {
    let config = out.display().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|process| {
            let words = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).into_owned();
            words.contains("\0train\0--config\0") && words.contains(&config)
        })
        .map(|process| process.file_name().to_string_lossy().into_owned())
        .next()
}

/// The job that a process belongs to.
fn job_of(process: &str) -> String {
    let environ = must(fs::read(Path::new("/proc").join(process).join("environ")));
    let environ = String::from_utf8_lossy(&environ).into_owned();
    let value = |name: &str| {
        environ
            .split('\0')
            .find_map(|variable| variable.strip_prefix(name))
            .map(String::from)
    };
    match (value("SLURM_ARRAY_JOB_ID="), value("SLURM_ARRAY_TASK_ID=")) {
        (Some(job), Some(task)) => format!("{job}_{task}"),
        _ => value("SLURM_JOB_ID=").unwrap_or_default(),
    }
}

/// The folder of the stage that a training is for, when it is finished.
fn folder_of(training: &str) -> PathBuf {
    let words = must(fs::read_to_string(Path::new("/proc").join(training).join("cmdline")));
    let mut words = words.split('\0').skip_while(|word| *word != "--out");
    let partial = words.nth(1).unwrap_or_default();
    PathBuf::from(partial.trim_end_matches(".partial"))
}

/// Takes one finished training away, so that a run has one to do.
fn forget_a_training(out: &Path) {
    let stages = must(fs::read_dir(out.join("stages"))).flatten();
    let trained = stages
        .map(|stage| stage.path())
        .find(|stage| stage.join("history.csv").exists());
    let Some(trained) = trained else {
        panic!("no training is finished")
    };
    must(fs::remove_dir_all(trained));
}

/// Starts a run and holds one of its trainings where it is: it goes on with `SIGCONT` only. Trainings are short, so a run may
/// be over before one was caught; then it is given another.
fn held_run(cluster: &Cluster, out: &Path) -> (Child, String) {
    for _ in 0..10 {
        let mut child = must(tiny(cluster, out, "slurm").stderr(Stdio::null()).spawn());
        let mut held = None;
        let begin = Instant::now();
        while held.is_none() && must(child.try_wait()).is_none() {
            assert!(begin.elapsed() < Duration::from_secs(300), "a run that does nothing");
            held = training(out).filter(|process| signal("-STOP", process));
            std::thread::sleep(Duration::from_millis(2));
        }
        if let Some(training) = held {
            println!(
                "{} stages finished, training {training} of job {} is held",
                finished(out),
                job_of(&training)
            );
            return (child, training);
        }
        forget_a_training(out);
    }
    panic!("ten runs, and no training was caught")
}

/// A job cancelled, a training and a whole run killed, a node drained: every time the same command goes on, and the results
/// are those of one machine.
#[test]
fn the_bytes_of_one_machine() {
    let Some(cluster) = Cluster::start(2) else { return };
    let local = must(tempfile::tempdir());
    succeeds(&run(&mut tiny(&cluster, local.path(), "local")));

    let folder = must(tempfile::tempdir());
    let out = folder.path();
    // A job is cancelled by somebody.
    let cancelled = (0..5).any(|_| {
        let (mut child, training) = held_run(&cluster, out);
        let folder = folder_of(&training);
        cluster.ask("scancel", &[&job_of(&training)]);
        let missed = !must(child.wait()).success();
        if !missed {
            // It was held in its last moment, and was done before it was told to end: once more.
            must(fs::remove_dir_all(folder));
        }
        missed
    });
    assert!(cancelled, "nobody missed the cancelled jobs");
    assert!(
        status(&cluster, out).contains("its job was cancelled"),
        "{}",
        status(&cluster, out)
    );

    // A training is killed.
    let (mut child, training) = held_run(&cluster, out);
    assert!(signal("-KILL", &training));
    assert!(!must(child.wait()).success(), "nobody missed the killed training");
    assert!(status(&cluster, out).contains("1 failed"), "{}", status(&cluster, out));

    // The run itself is killed: its jobs stay, and the next one takes them up.
    let (mut child, training) = held_run(&cluster, out);
    must(child.kill());
    must(child.wait());
    // The held one, and perhaps another beside it.
    let said = status(&cluster, out);
    assert!(!said.contains(" 0 running"), "{said}");

    // A node is drained.
    cluster.ask("scontrol", &["update", "NodeName=n1", "State=DRAIN", "Reason=test"]);
    let before = finished(out);
    let mut child = must(tiny(&cluster, out, "slurm").stderr(Stdio::piped()).spawn());
    assert!(signal("-CONT", &training));
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        must(stderr.read_to_string(&mut said));
    }
    assert!(must(child.wait()).success(), "{said}");
    assert!(said.contains("in the queue already"), "{said}");
    assert!(finished(out) > before);
    assert!(
        results(out) == results(local.path()),
        "results.json differs from that of one machine"
    );
    assert!(
        status(&cluster, out).contains(" 0 running, 0 failed"),
        "{}",
        status(&cluster, out)
    );
}

/// What `htl status` says.
fn status(cluster: &Cluster, out: &Path) -> String {
    let output = run(cluster
        .command(&htl().to_string_lossy())
        .args(["status", "--run"])
        .arg(out));
    succeeds(&output);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Undisturbed, in one go; a second call submits nothing; what is wrong with a run is said.
#[test]
fn a_run_and_what_it_says() {
    let Some(cluster) = Cluster::start(2) else { return };
    let folder = must(tempfile::tempdir());
    let out = folder.path().join("out");
    let command = |more: &[&str]| run(tiny(&cluster, &out, "slurm").args(more));
    let usage = command(&["--slurm-option=--array=1-3"]);
    assert_eq!(usage.status.code(), Some(2));
    assert!(
        stderr(&usage).contains("the engine sets this one itself"),
        "{}",
        stderr(&usage)
    );
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
