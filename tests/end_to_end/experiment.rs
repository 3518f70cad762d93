//! The experiment stage by stage: the plan as data, one stage at a time, and what a run says of itself.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use htl_tests::{fails_with, htl, misused, must, root, run, run_htl, stderr, succeeds};

const TINY: [&str; 4] = ["--profile", "tiny", "--device", "cpu"];

fn stdout(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn reproduce(out: &Path) -> Command {
    let mut command = Command::new(htl());
    command
        .arg("reproduce")
        .args(TINY)
        .arg("--out")
        .arg(out)
        .current_dir(root());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn status(out: &Path) -> String {
    let output = run_htl(&["status", "--run", &out.to_string_lossy()]);
    succeeds(&output);
    stdout(&output)
}

/// The plan that is printed is the one that is run; its stages, run one by one in their order, make what a whole run
/// makes, and the whole run then finds all of them done.
#[test]
fn stage_by_stage_is_the_whole() {
    let folder = must(tempfile::tempdir());
    let out = folder.path().join("whole");
    succeeds(&run(&mut reproduce(&out)));
    let printed = run(Command::new(htl())
        .arg("plan")
        .args(TINY)
        .arg("--json")
        .arg("--out")
        .arg(&out)
        .current_dir(root()));
    succeeds(&printed);
    let text = stdout(&printed);
    assert_eq!(text, must(fs::read_to_string(out.join("plan.json"))));
    let plan: serde_json::Value = must(serde_json::from_str(&text));
    let stages = plan["stages"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(stages.len() > 50, "{} stages", stages.len());
    assert!(status(&out).starts_with(&format!(
        "{0} of {0} stages finished, 0 running, 0 failed",
        stages.len()
    )));

    let alone = folder.path().join("alone");
    must(fs::create_dir(&alone));
    must(fs::copy(out.join("plan.json"), alone.join("plan.json")));
    let stage = |name: &str| run_htl(&["stage", name, "--run", &alone.to_string_lossy()]);
    fails_with(
        &stage("supervised/sparse-0"),
        &["supervised/pruned-0", "not finished", "data"],
    );
    fails_with(
        &stage("supervised/nonsense"),
        &["supervised/nonsense", "supervised/baseline-0", "htl plan"],
    );
    // Enough to see every kind of stage: all that the first mining needs.
    let needed = [
        "data",
        "supervised/baseline-0",
        "supervised/sparsity",
        "supervised/pruned-0",
        "supervised/sparse-0",
        "supervised/sham-0",
        "supervised/mine",
    ];
    for name in needed {
        succeeds(&stage(name));
    }
    // Again: nothing is done, and it takes no time.
    succeeds(&stage("supervised/mine"));
    assert!(status(&alone).starts_with(&format!("{} of {} stages finished", needed.len(), stages.len())));
    for name in ["supervised/baseline-0", "supervised/mine"] {
        let found = stages.iter().find(|stage| stage["name"] == name);
        let stage_folder = found.and_then(|stage| stage["folder"].as_str()).unwrap_or_default();
        for file in must(fs::read_dir(out.join(stage_folder))) {
            let name = must(file).file_name();
            // The record has times, and the configurations name their folders.
            if ![
                "stage.json",
                "stage.toml",
                "config.toml",
                "checkpoint.safetensors",
                "state.safetensors",
            ]
            .iter()
            .any(|other| name == *other)
            {
                let read = |run: &Path| must(fs::read(run.join(stage_folder).join(&name)));
                assert!(read(&out) == read(&alone), "{stage_folder}/{} differs", name.display());
            }
        }
    }
    succeeds(&run(&mut reproduce(&alone)));
    assert!(must(fs::read(out.join("results.json"))) == must(fs::read(alone.join("results.json"))));
}

/// A signal ends a run with 75 after its trainings saved their state; the same command then goes on to the same bytes.
#[cfg(unix)]
#[test]
fn a_signalled_run_says_so_and_goes_on() {
    let folder = must(tempfile::tempdir());
    let (whole, out) = (folder.path().join("whole"), folder.path().join("stopped"));
    succeeds(&run(&mut reproduce(&whole)));
    let mut child = must(reproduce(&out).stderr(Stdio::piped()).spawn());
    let deadline = Instant::now() + Duration::from_secs(60);
    while !out.join("stages").exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(300));
    succeeds(&run(Command::new("kill").args(["-TERM", &child.id().to_string()])));
    let ended = must(child.wait());
    assert_eq!(ended.code(), Some(75), "{ended}");
    let said = status(&out);
    assert!(said.contains(" 0 failed"), "{said}");
    succeeds(&run(&mut reproduce(&out)));
    assert!(must(fs::read(out.join("results.json"))) == must(fs::read(whole.join("results.json"))));
}

/// Files of others in the output folder are left alone, also behind a link.
#[test]
fn files_of_others_stay() {
    let folder = must(tempfile::tempdir());
    let thesis = folder.path().join("htl/thesis.tex");
    must(fs::create_dir_all(folder.path().join("htl")));
    must(fs::write(&thesis, "precious"));
    for _ in 0..2 {
        succeeds(&run(&mut reproduce(folder.path())));
        assert_eq!(must(fs::read_to_string(&thesis)), "precious");
    }
}

/// Wrong use is refused before any work, with what to do.
#[test]
fn what_makes_no_sense_is_refused() {
    let folder = must(tempfile::tempdir());
    let out = folder.path().to_string_lossy().into_owned();
    fails_with(&run_htl(&["status", "--run", &out]), &["no plan", "--out"]);
    fails_with(&run_htl(&["stage", "data", "--run", &out]), &["no plan"]);
    misused(
        &run_htl(&["reproduce", "--profile", "huge", "--out", &out]),
        &["huge", "embedded"],
    );
    fails_with(
        &run_htl(&["reproduce", "--profile", "isic2018", "--out", &out]),
        &["--data"],
    );
    let mut without_weights = Command::new(htl());
    without_weights.args(["reproduce", "--profile", "embedded-pretrained", "--out", &out]);
    fails_with(
        &run(without_weights.env("HTL_WEIGHTS", folder.path())),
        &["no weights `lite0`", "htl weights fetch lite0"],
    );
    misused(
        &run_htl(&["reproduce", "--profile", "tiny", "--seeds", "0", "--out", &out]),
        &["--seeds"],
    );
    misused(
        &run_htl(&["reproduce", "--profile", "tiny", "--jobs", "0", "--out", &out]),
        &["--jobs"],
    );
    let only = [
        "reproduce",
        "--profile",
        "tiny",
        "--device",
        "cpu",
        "--only",
        "sideways",
        "--out",
        &out,
    ];
    fails_with(
        &run(Command::new(htl()).args(only).current_dir(root())),
        &["sideways", "cross-fit"],
    );
    must(fs::write(folder.path().join("plan.json"), "{\"version\": 99}"));
    fails_with(&run_htl(&["status", "--run", &out]), &["99", "htl reproduce"]);
    let profile = folder.path().join("mine.toml");
    must(fs::write(&profile, "base = \"tiny\"\nbatch = 0\n"));
    let file = profile.to_string_lossy().into_owned();
    let output = run(Command::new(htl())
        .args(["plan", "--device", "cpu", "--profile-file", &file])
        .current_dir(root()));
    fails_with(&output, &["batch", "at least 1"]);
    must(fs::write(&profile, "base = \"tiny\"\nweak_seeds = 2\n"));
    let output = run(Command::new(htl())
        .args(["plan", "--device", "cpu", "--profile-file", &file])
        .current_dir(root()));
    succeeds(&output);
    assert!(
        stdout(&output).contains("weakly-supervised/htl-1"),
        "{}",
        stderr(&output)
    );
}
