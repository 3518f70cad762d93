//! What runs on a machine with a GPU, tried where there is none: the kit with an `htl` for the CPU, its comparisons with
//! stand-ins for what is missing.
#![cfg(target_os = "linux")]

use htl_tests::{htl, htl_bench, must, root, run, run_htl, stderr, succeeds, tool_fails_with, xtask};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether there is a Python to run the kit's scripts.
fn python() -> bool {
    let found = Command::new("python3").arg("--version").output().is_ok();
    if !found {
        println!("skipped: no python3");
    }
    found
}

fn script(name: &str) -> Command {
    let mut command = Command::new("python3");
    command
        .arg(root().join("tests/gpu").join(name))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn read(path: &Path) -> String {
    must(fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display())))
}

fn json(path: &Path) -> Value {
    must(serde_json::from_str(&read(path)))
}

/// A program of a few lines of shell.
fn program(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    must(fs::write(&path, format!("#!/bin/sh\n{text}\n")));
    must(fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
    path
}

/// Packed, unpacked, and every part run on the CPU in small sizes.
#[test]
fn a_kit_for_the_cpu_runs_all_parts() {
    if !python() {
        return;
    }
    let folder = must(tempfile::tempdir());
    let kit = folder.path().join("kit");
    let output = run(Command::new(xtask())
        .args(["gpu-kit", "--agreement", "/bin/true", "--htl"])
        .arg(htl())
        .arg("--bench")
        .arg(htl_bench())
        .arg("--out")
        .arg(&kit));
    succeeds(&output);
    let out = folder.path().join("out");
    let mut command = Command::new(kit.join("run.sh"));
    command
        .env("OUT", &out)
        .env("WORK", folder.path().join("work"))
        .envs([
            ("DEVICE", "cpu"),
            ("LIMIT", "900"),
            ("CASES", "4:f32 4:bf16 mobilenet-v2:f32"),
        ])
        .envs([
            ("JOB", "4:f32"),
            ("JOB_BATCH", "1"),
            ("JOB_SIZE", "16"),
            ("JOB_STEPS", "2"),
        ])
        .envs([("BATCH", "1"), ("SIZE", "32"), ("STEPS", "2"), ("ROUNDS", "1")])
        .envs([("PROFILE", "tiny"), ("ONLY", "supervised")])
        .env("DATA", root().join("data-manifest/embedded"));
    let output = run(&mut command);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        stderr(&output)
    );
    let summary = read(&out.join("summary.md"));
    for line in [
        "computes on: cpu",
        "agreement of operations: passed",
        "agreement of trainings and predictions: passed",
        "bench: passed",
        "| 4 | f32 | ",
        "| mobilenet-v2 | f32 | ",
        "| block-3-4-at32 | ",
        "Fed by its batch pipeline, width 4 in f32: ",
        "skipped on cpu: tf32 and bf16",
        "jobs: passed",
        "| 4 | no | ",
        "isic2018: passed",
    ] {
        assert!(summary.contains(line), "no `{line}` in\n{summary}");
    }
    let found = json(&out.join("agreement.json"));
    assert_eq!(found["trainings"]["f32"]["loss_off"], 0.0, "{found}");
    assert_eq!(found["predictions"]["least_overlap_of_masks"], 1.0, "{found}");
    assert!(must(fs::read_dir(&out)).count() <= 8);

    // Without data of its own the last part says so, and nothing fails.
    let output = run(command.arg("isic2018").env("DATA", folder.path().join("none")));
    succeeds(&output);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("skipped: the kit has no data"), "{text}");
    // A device that is not there is said at once.
    let output = run(command.env("DEVICE", "cuda"));
    if !run_htl(&["--device", "cuda", "device"]).status.success() {
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("htl cannot use the device"), "{text}");
    }
}

/// Stand-ins for an `htl` with a GPU and for PyTorch: who is measured, and what is made of it.
#[test]
fn steps_are_compared_with_pytorchs() {
    if !python() {
        return;
    }
    let folder = must(tempfile::tempdir());
    let place = folder.path();
    let part = r#"{"name": "block", "forward_ms": 0.5, "forward_floor_ms": 0.25, "backward_ms": 1.0, "backward_floor_ms": 0.5}"#;
    let parts =
        format!(r#"{{"copy_gbs": 4000, "product_gflops": 5e5, "ms": 1.5, "floor_ms": 0.75, "operations": [{part}]}}"#);
    let answer = r#"echo '{"ms_per_step": 2.0, "peak_bytes": 1073741824}'"#;
    let htl = program(
        place,
        "htl",
        &format!("echo \"$@\" >> {}/asked\n{answer}", place.display()),
    );
    let more = format!(
        "case $* in\n*end-to-end) echo '{{\"ms_per_step\": 2.0, \"end_to_end\": {{\"ms_per_step\": 2.1, \"over_step_alone\": 1.05}}}}';;\n\
         *by-operation) echo '{{\"ms_per_step\": 2.0, \"by_operation\": {parts}}}';;\nesac"
    );
    let tool = program(place, "htl-bench", &more);
    must(fs::write(place.join("torch.py"), "__version__ = '0'\n"));
    let peer = "import sys, json\n\
        words = sys.argv\n\
        if 'tf32' in words: sys.exit('no tf32 today')\n\
        compiled = words[words.index('--compile') + 1] if '--compile' in words else None\n\
        for at, word in enumerate(words):\n\
        \x20   if word == '--layout':\n\
        \x20       ms = 3.0 if compiled else {'default': 6.0, 'channels_last': 5.0}[words[at + 1]]\n\
        \x20       print(json.dumps({'layout': words[at + 1], 'compile': compiled, 'ms_per_step': ms, 'peak_bytes': 1610612736}))\n";
    for twin in ["unet.py", "segmentation_models.py"] {
        must(fs::write(place.join(twin), peer));
    }
    let measured = |seconds: &str| {
        let mut command = script("bench.py");
        command
            .env("PYTHONPATH", place)
            .arg("--htl")
            .arg(&htl)
            .arg("--bench")
            .arg(&tool)
            .arg("--peers")
            .arg(place)
            .args(["--device", "cuda", "--cases", "32:bf16", "resnet18:bf16", "32:tf32"])
            .args(["--batch", "4"])
            .args(["--size", "64", "--steps", "10", "--rounds", "2", "--seconds", seconds])
            .arg("--out")
            .arg(place.join("bench.json"))
            .arg("--table")
            .arg(place.join("bench.md"));
        run(&mut command)
    };
    succeeds(&measured("600"));
    let report = json(&place.join("bench.json"));
    let case = &report["cases"][0];
    assert_eq!(case["fastest_peer"], "channels_last, compiled (default)");
    assert_eq!(
        ["ratio", "ratio_eager", "memory_ratio"].map(|key| case[key].as_f64()),
        [Some(1.5), Some(2.5), Some(1.5)]
    );
    assert_eq!(case["measurements"]["default, eager"], 2);
    // A mode that fails is named once and not tried again; ours stands alone then.
    let notes = report["notes"].to_string();
    assert_eq!(notes.matches("no tf32 today").count(), 3, "{notes}");
    assert_eq!(report["cases"][1]["network"], "resnet18");
    assert_eq!(report["cases"][1]["ratio"], 1.5);
    assert!(read(&place.join("asked")).contains("train-step --encoder resnet18 --batch 4"));
    assert!(report["cases"][2]["ratio"].is_null(), "{report}");
    let table = read(&place.join("bench.md"));
    let row = "| 32 | bf16 | 2.00 | 2000 | 5.00 | 3.00 | 1.50 (1.50 to 1.50) | channels_last, compiled (default) | 1.00 | 1.50 |";
    assert!(table.contains(row), "{table}");
    assert!(
        table.contains("| block | 0.500 | 0.250 | 1.000 | 0.500 | 100% |"),
        "{table}"
    );

    assert!(
        table.contains("Fed by its batch pipeline, width 32 in tf32: 2.10 ms, 1.05 times the step alone."),
        "{table}"
    );

    // Too little time for anything: that is no result, and what was left out is said.
    assert!(!measured("1").status.success());
    assert!(read(&place.join("bench.md")).contains("left out for want of time"));
}

/// A stand-in for a GPU that several share, and for MPS: what stands in the table, and that the daemon is told to end.
#[test]
fn trainings_at_one_time_are_counted() {
    if !python() {
        return;
    }
    let folder = must(tempfile::tempdir());
    let place = folder.path();
    let answer = "[ -n \"$CUDA_MPS_PIPE_DIRECTORY\" ] && ms=2.0 || ms=4.0\necho \"{\\\"ms_per_step\\\": $ms}\"";
    let htl = program(place, "htl", answer);
    let told = format!("if [ \"$1\" != -d ]; then cat > {}/told; fi", place.display());
    program(place, "nvidia-cuda-mps-control", &told);
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = script("jobs.py");
    command
        .env("PATH", format!("{}:{path}", place.display()))
        .arg("--htl")
        .arg(htl)
        .args([
            "--case",
            "24:bf16",
            "--batch",
            "32",
            "--size",
            "192",
            "--steps",
            "5",
            "--seconds",
            "60",
        ])
        .arg("--out")
        .arg(place.join("jobs.json"))
        .arg("--table")
        .arg(place.join("jobs.md"));
    succeeds(&run(&mut command));
    let table = read(&place.join("jobs.md"));
    for row in [
        "| 1 | no | 4.00 to 4.00 | 8000 | 1.00 |",
        "| 4 | no | 4.00 to 4.00 | 32000 | 4.00 |",
        "| 4 | yes | 2.00 to 2.00 | 64000 | 8.00 |",
    ] {
        assert!(table.contains(row), "no `{row}` in\n{table}");
    }
    assert_eq!(read(&place.join("told")), "quit\n");
    // One that fails is named, and nothing is made of it.
    program(place, "htl", "echo 'no memory left' >&2; exit 1");
    let output = run(&mut command);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("no memory left"));
}

/// The comparison of commands accepts what is equal and finds what is not.
#[test]
fn trainings_and_predictions_are_compared() {
    if !python() {
        return;
    }
    let folder = must(tempfile::tempdir());
    let place = folder.path();
    let real = htl().display();
    let compared = |more: &str| {
        let stand_in = program(
            place,
            "htl",
            &format!(
                "[ \"$2\" = cuda ] || exec '{real}' \"$@\"\nshift 2\n\
                 [ \"$1\" = train ] && set -- \"$@\" --set precision=f32 {more}\nexec '{real}' --device cpu \"$@\""
            ),
        );
        agreement(&stand_in, place)
    };
    succeeds(&compared(""));
    let found = json(&place.join("agreement.json"));
    assert_eq!(found["trainings"]["bf16"]["agrees"], true, "{found}");
    let losses: Vec<f64> = must(serde_json::from_value(found["cpu_losses"].clone()));
    assert!(losses.len() > 2 && losses.last() < losses.first(), "{losses:?}");
    assert!(found["predictions"]["mean_jaccard"].as_f64() > Some(0.3), "{found}");
    let output = compared("--set seed=2");
    tool_fails_with(&output, &["disagree", "f32"]);
}

/// The same with a GPU, where this `htl` has one.
#[test]
fn a_gpu_agrees_with_the_cpu() {
    if !python() {
        return;
    }
    if !run_htl(&["--device", "cuda", "device"]).status.success() {
        println!("skipped: no CUDA device");
        return;
    }
    let folder = must(tempfile::tempdir());
    succeeds(&agreement(htl(), folder.path()));
}

fn agreement(htl: &Path, place: &Path) -> std::process::Output {
    let mut command = script("agree.py");
    command
        .args(["--device", "cuda", "--htl"])
        .arg(htl)
        .arg("--data")
        .arg(root().join("data-manifest/embedded"))
        .arg("--work")
        .arg(place.join("work"))
        .arg("--out")
        .arg(place.join("agreement.json"));
    run(&mut command)
}
