//! The Slurm engine against a real Slurm, with a shell script in the place of `htl`.

mod run;

use htl_experiment::engine::slurm::{Outcome, SlurmError, Standing, Why, Wish, cancel};
use htl_experiment::plan::Kind;
use htl_tests::must;
use htl_tests::slurm::{Cluster, until};
use run::{Heard, Run, failures, once_running};
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

/// The cluster that tests share which leave it as it was.
fn shared() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    match CLUSTER.get_or_init(|| Cluster::start(16)) {
        Some(cluster) => Some(cluster),
        // Says once more that it was skipped.
        None => Cluster::start(16).map(|_| unreachable!("it was not installed")),
    }
}

/// Each stage once and after what it needs, alike ones in one array; a second run submits nothing.
#[test]
fn stages_run_in_order_and_once() {
    let Some(cluster) = shared() else { return };
    let mut run = Run::new(cluster);
    for seed in 0..3 {
        let training = run.add(Kind::Train, &format!("train-{seed}"), &[], "");
        run.add(Kind::Prune, &format!("prune-{seed}"), &[training], "");
    }
    let mine = run.add(Kind::Mine, "mine", &[1, 3, 5], "");
    run.add(Kind::Train, "attend-0", &[mine], "");
    run.add(Kind::Train, "attend-1", &[mine], "");
    let heard = run.finishes();
    let arrays: Vec<Vec<usize>> = heard.submitted.iter().map(|(_, stages)| stages.clone()).collect();
    assert_eq!(arrays, [vec![0, 2, 4], vec![1, 3, 5], vec![6], vec![7, 8]]);
    for stage in &run.stages {
        assert_eq!(run.starts(&stage.name).len(), 1, "{}", stage.name);
    }
    assert!(run.finishes().submitted.is_empty());
    assert!(run.standing().iter().all(|standing| *standing == Standing::Finished));
}

/// A failure names the stage and the end of its log; what needs it is not run, everything else is; the same again submits
/// only what is missing.
#[test]
fn a_failure_is_told_and_the_rest_is_kept() {
    let Some(cluster) = shared() else { return };
    let mut run = Run::new(cluster);
    for seed in 0..3 {
        let does = if seed == 1 {
            "echo no such image: 7.png; exit 3"
        } else {
            ""
        };
        run.add(Kind::Train, &format!("train-{seed}"), &[], does);
    }
    for seed in 0..3 {
        run.add(Kind::Prune, &format!("prune-{seed}"), &[seed], "");
    }
    run.add(Kind::Mine, "mine", &[3, 4, 5], "");
    let (message, failed, dropped) = failures(run.run(&mut Heard::default()));
    assert_eq!(failed, [("train-1".to_string(), Why::Exit(3))]);
    assert_eq!(dropped, 2);
    for part in [
        "1 of 7",
        "`train-1`",
        "| no such image: 7.png",
        "exit code 3",
        "train-1.log",
        "same command",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let standing = run.standing();
    assert!(
        matches!(&standing[1], Standing::Failed { why, .. } if why.contains("exit code 3")),
        "{standing:?}"
    );
    assert_eq!(standing[4], Standing::Missing);
    assert_eq!(standing[5], Standing::Finished);
    run.does("train-1", "");
    assert_eq!(run.finishes().stages(), [1, 4, 6]);
    assert_eq!(run.starts("prune-0").len(), 1);
}

/// A stage that saved its state goes back to the queue, and what waits for it goes on waiting.
#[test]
fn exit_75_is_requeued() {
    let Some(cluster) = shared() else { return };
    let mut run = Run::new(cluster);
    let does = r#"[ -e "$folder.partial/state" ] || { echo half >"$folder.partial/state"; exit 75; }"#;
    let training = run.add(Kind::Train, "train", &[], does);
    run.add(Kind::Train, "other", &[], does);
    run.add(Kind::Mine, "mine", &[training], "");
    let heard = run.finishes();
    assert_eq!(heard.submitted.len(), 2, "{:?}", heard.submitted);
    assert_eq!(run.starts("train").len(), 2);
    assert_eq!(run.starts("other").len(), 2);
    assert!(run.out().join("stages/train/state").exists());
}

/// A minute before its time limit a training hears of it.
#[test]
fn a_training_is_told_before_its_time_limit() {
    let Some(cluster) = shared() else { return };
    let mut run = Run::new(cluster);
    run.options.push("train:--time=1".into());
    let does = r#"[ -e "$folder.partial/state" ] || {
        trap 'echo half >"$folder.partial/state"; exit 75' USR1
        while :; do sleep 0.1; done
    }"#;
    run.add(Kind::Train, "train", &[], does);
    let heard = run.finishes();
    assert_eq!(heard.stages(), [0], "it was not requeued");
    assert_eq!(run.starts("train").len(), 2);
}

/// Cancelled by somebody, killed by the system: each is told, and the same again goes on.
#[test]
fn cancelled_and_killed_stages_are_told_apart() {
    let Some(cluster) = shared() else { return };
    let mut run = Run::new(cluster);
    let cancelled = run.add(Kind::Train, "cancelled", &[], "sleep 60; exit 1");
    run.add(Kind::Prune, "killed", &[], "kill -KILL $$");
    run.add(Kind::Mine, "mine", &[cancelled], "");
    let conf = cluster.conf();
    let mut heard = Heard::acting(once_running(&[cancelled], move || {
        let scancel = std::process::Command::new("scancel")
            .args(["--me", "--name"])
            .arg(name_of("cancelled", &conf))
            .env("SLURM_CONF", &conf)
            .status();
        assert!(must(scancel).success());
        None
    }));
    let (message, mut failed, dropped) = failures(run.run(&mut heard));
    failed.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        failed,
        [
            ("cancelled".to_string(), Why::Cancelled),
            ("killed".to_string(), Why::Signal(9))
        ],
        "{message}"
    );
    assert_eq!(dropped, 1);
    run.does("cancelled", "");
    run.does("killed", "");
    assert_eq!(run.finishes().stages(), [0, 1, 2]);
}

/// Slurm's name of the job that does a stage alone.
fn name_of(stage: &str, conf: &Path) -> String {
    let output = std::process::Command::new("squeue")
        .args(["--me", "--noheader", "--format=%j"])
        .env("SLURM_CONF", conf)
        .output();
    let text = String::from_utf8_lossy(&must(output).stdout).into_owned();
    let name = text.lines().find(|name| name.starts_with(&format!("{stage}.htl-")));
    name.map(Into::into)
        .unwrap_or_else(|| panic!("no job for {stage} in {text}"))
}

/// What Slurm does not take, what can never start, and what starts when a partition opens.
#[test]
fn jobs_that_do_not_start_are_explained() {
    let Some(cluster) = shared() else { return };
    let mut run = Run::new(cluster);
    run.add(Kind::Train, "train", &[], "");
    run.add(Kind::Mine, "mine", &[0], "");
    let options = run.options.clone();
    // A constraint that nobody has.
    run.options.push("--constraint=quantum".into());
    let message = must(run.run(&mut Heard::default()).err().ok_or("it was taken")).to_string();
    for part in [
        "`train`",
        "Invalid feature specification",
        "--constraint=quantum",
        "--slurm-option",
    ] {
        assert!(message.contains(part), "{part} in {message}");
    }
    // Held.
    run.options = options.clone();
    run.options.push("train:--hold".into());
    let (message, failed, dropped) = failures(run.run(&mut Heard::default()));
    assert!(
        matches!(&failed[0].1, Why::NeverStarts { reason, .. } if reason == "JobHeldUser"),
        "{failed:?}"
    );
    assert!(message.contains("scontrol release"), "{message}");
    assert_eq!(dropped, 1);
    // A partition that starts nothing for now: the jobs stay, and the next run takes them up.
    run.options = options;
    run.options.push("--partition=closed".into());
    let message = must(run.run(&mut Heard::default()).err().ok_or("it started")).to_string();
    for part in ["PartitionDown", "2 jobs", "scancel"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(
        matches!(&run.standing()[0], Standing::Waiting { reason, .. } if reason == "PartitionDown"),
        "{:?}",
        run.standing()
    );
    cluster.ask("scontrol", &["update", "PartitionName=closed", "State=UP"]);
    let heard = run.finishes();
    cluster.ask("scontrol", &["update", "PartitionName=closed", "State=DOWN"]);
    assert_eq!((heard.adopted, heard.stages()), (2, vec![]));
    assert_eq!(run.starts("train").len(), 1);
}

/// A run that ended without a word leaves its jobs; the next takes up those that do what it wants, and cancels the others.
#[test]
fn jobs_of_an_earlier_run_are_adopted() {
    let Some(cluster) = shared() else { return };
    let mut run = Run::new(cluster);
    let gate = run.out().join("gate");
    let does = format!("while [ ! -e '{}' ]; do sleep 0.1; done", gate.display());
    for seed in 0..3 {
        run.add(Kind::Train, &format!("train-{seed}"), &[], &does);
    }
    run.add(Kind::Mine, "mine", &[0, 1, 2], "");
    let mut heard = Heard::acting(once_running(&[0, 1, 2], || Some(Wish::Detach)));
    assert_eq!(must(run.run(&mut heard)), Outcome::Detached { missing: 0 });
    assert!(matches!(run.standing()[0], Standing::Running { .. }));
    assert!(matches!(run.standing()[3], Standing::Waiting { .. }));
    // The new plan no longer has the last training; its mining is another stage.
    run.stages.truncate(2);
    run.add(Kind::Mine, "mine-2", &[0, 1], "");
    must(fs::write(&gate, ""));
    let heard = run.finishes();
    assert_eq!((heard.adopted, heard.stages()), (2, vec![2]));
    assert_eq!(run.starts("train-0").len(), 1);
    assert!(run.starts("mine").is_empty());
    run.leaves_the_queue(cluster);
}

/// A run that was left alone can be cancelled from outside.
#[test]
fn a_detached_run_is_cancelled() {
    let Some(cluster) = shared() else { return };
    let mut run = Run::new(cluster);
    run.add(Kind::Train, "train", &[], "sleep 60; exit 1");
    run.add(Kind::Mine, "mine", &[0], "");
    let mut heard = Heard::acting(once_running(&[0], || Some(Wish::Detach)));
    assert_eq!(must(run.run(&mut heard)), Outcome::Detached { missing: 0 });
    assert_eq!(must(cancel(&run.client, &run.out())), 2);
    run.does("train", "");
    assert_eq!(run.finishes().adopted, 0);
}

/// Cancelling a run takes all its jobs out of the queue; winding down lets what cannot go on later reach its end.
#[test]
fn a_run_is_cancelled_or_wound_down() {
    let Some(cluster) = shared() else { return };
    // What is cancelled would go on for long; what may end takes a moment.
    for (wish, does, finished) in [(Wish::Cancel, "sleep 300", 0), (Wish::WindDown, "sleep 4", 1)] {
        let mut run = Run::new(cluster);
        let training = run.add(
            Kind::Train,
            "train",
            &[],
            "trap 'exit 75' TERM; while :; do sleep 0.1; done",
        );
        let prune = run.add(Kind::Prune, "prune", &[], does);
        run.add(Kind::Mine, "mine", &[training, prune], "");
        let mut heard = Heard::acting(once_running(&[training, prune], move || Some(wish)));
        assert_eq!(must(run.run(&mut heard)), Outcome::Stopped { finished, stages: 3 });
        run.leaves_the_queue(cluster);
        assert_eq!(run.standing()[0], Standing::Missing);
        run.does("train", "");
        run.does("prune", "");
        run.finishes();
    }
}

/// A node that is drained finishes what it does and gets nothing new.
#[test]
fn a_drained_node_costs_nothing() {
    let Some(cluster) = shared() else { return };
    let mut run = Run::new(cluster);
    let gate = run.out().join("gate");
    let does = format!("while [ ! -e '{}' ]; do sleep 0.1; done", gate.display());
    run.add(Kind::Train, "first", &[], &does);
    run.add(Kind::Mine, "second", &[0], "");
    run.options.push("train:--nodelist=n1".into());
    let conf = cluster.conf();
    let drain = move |state: &str| {
        let scontrol = std::process::Command::new("scontrol")
            .args(["update", "NodeName=n1", state, "Reason=test"])
            .env("SLURM_CONF", &conf)
            .status();
        assert!(must(scontrol).success());
    };
    let undrain = drain.clone();
    let mut heard = Heard::acting(once_running(&[0], move || {
        drain("State=DRAIN");
        must(fs::write(&gate, ""));
        None
    }));
    let outcome = run.run(&mut heard);
    undrain("State=RESUME");
    assert_eq!(must(outcome), Outcome::Finished);
    assert_eq!(
        (run.starts("first"), run.starts("second")),
        (vec!["n1".into()], vec!["n2".into()])
    );
}

/// A run outlives its controller and a node: it asks on, and Slurm starts the stage of the lost node on another.
#[test]
fn a_lost_controller_and_a_lost_node_are_survived() {
    let Some(cluster) = Cluster::start(2) else { return };
    let cluster: &'static Cluster = Box::leak(Box::new(cluster));
    let mut run = Run::new(cluster);
    let does = r#"[ -e "$folder.partial/state" ] || { echo half >"$folder.partial/state"; sleep 300; exit 1; }"#;
    run.add(Kind::Train, "train", &[], does);
    let starts = run.out().join("starts/train");
    let mut heard = Heard::acting(once_running(&[0], move || {
        until("a start", || starts.exists());
        let node = must(fs::read_to_string(&starts));
        cluster.kill(&format!("slurmd.{}", node.trim()));
        cluster.kill("slurmctld");
        None
    }));
    heard.when_silent = Some(Box::new(|| cluster.start_controller()));
    assert_eq!(must(run.run(&mut heard)), Outcome::Finished);
    assert!(heard.when_silent.is_none(), "nobody noticed");
    let starts = run.starts("train");
    assert_eq!(starts.len(), 2);
    assert_ne!(starts[0], starts[1]);
    // At the beginning of a run nobody waits for a controller.
    cluster.kill("slurmctld");
    let mut next = Run::new(cluster);
    next.add(Kind::Train, "train", &[], "");
    let error = next.run(&mut Heard::default()).unwrap_err();
    assert!(matches!(error, SlurmError::ControllerDown { .. }), "{error:?}");
    assert!(error.to_string().contains("scontrol ping"), "{error}");
}

/// A node that does not share the folder says so, and nothing is run there.
#[test]
fn a_node_that_does_not_see_the_folder_is_told() {
    let hidden = must(tempfile::tempdir());
    let Some(cluster) = Cluster::start_hiding(2, hidden.path()) else {
        return;
    };
    let mut run = Run::new(&cluster);
    run.folder = must(tempfile::tempdir_in(hidden.path()));
    must(fs::create_dir_all(run.out().join("do")));
    run.add(Kind::Train, "train", &[], "");
    run.options.push("--nodelist=n2".into());
    let (message, failed, _) = failures(run.run(&mut Heard::default()));
    assert_eq!(failed, [("train".to_string(), Why::Folder)]);
    assert!(message.contains("storage that all nodes share"), "{message}");
}
