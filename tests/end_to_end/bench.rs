//! `htl bench`, `htl-bench` and `cargo xtask bench` through the real programs.

use htl_tests::{fails_with, htl, htl_bench, must, root, run, run_htl, stderr, succeeds, tool_fails_with, xtask};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::{Command, Output};

fn json(output: &Output) -> Value {
    succeeds(output);
    must(serde_json::from_slice(&output.stdout))
}

fn positive(value: &Value) -> f64 {
    let number = value.as_f64().unwrap_or_default();
    assert!(number > 0.0, "{value} is not a positive number");
    number
}

/// Runs `htl-bench` with these arguments.
fn measured(args: &[&str]) -> Output {
    run(Command::new(htl_bench()).args(args))
}

/// Sizes of a U-Net's step that takes a moment.
const SMALL: [&str; 8] = ["--batch", "1", "--size", "32", "--width", "2", "--steps", "3"];

fn assert_times(row: &Value) {
    let times = ["ms_min", "ms_q1", "ms_per_step", "ms_q3"].map(|key| positive(&row[key]));
    assert!(times.is_sorted(), "{row}");
    positive(&row["images_per_second"]);
}

/// What others read of `htl bench train-step`, and the same from `htl-bench`.
#[test]
fn a_training_step_of_the_u_net_is_measured() {
    let args = |program: &[&'static str]| [program, &SMALL].concat();
    let rows = [
        json(&run_htl(&args(&["--device", "cpu", "bench", "train-step"]))),
        json(&measured(&args(&["train-step"]))),
    ];
    for row in &rows {
        assert_times(row);
        let expected = serde_json::json!({
            "network": "unet", "device": "cpu", "batch": 1, "size": 32, "width": 2, "dtype": "f32", "steps": 3
        });
        for (key, value) in expected.as_object().into_iter().flatten() {
            assert_eq!(&row[key], value, "{key} of {row}");
        }
        assert!(row["peak_bytes"].is_u64(), "{row}");
    }
    let refused = ["train-step", "--size", "20"];
    fails_with(
        &run_htl(&["--device", "cpu", "bench", "train-step", "--size", "7"]),
        &["at least 8", "7, 7]"],
    );
    fails_with(
        &run_htl(&["--device", "cpu", "bench", "train-step", "--encoder", "resnet"]),
        &["no encoder `resnet`", "resnet18"],
    );
    tool_fails_with(&measured(&refused), &["--size", "multiple of 8", "20"]);
    fails_with(
        &run_htl(&["--device", "cpu", "bench", "train-step", "--dtype", "bf16"]),
        &["--dtype bf16", "--device cuda", "cpu"],
    );
}

/// Every case of `compare` names a network that can be measured; here one with a small image.
#[test]
fn passes_of_evaluation_are_measured() {
    let options = [
        "--encoder",
        "mobilenet-v2",
        "--batch",
        "1",
        "--size",
        "32",
        "--steps",
        "3",
    ];
    let evaluated = json(&run_htl(
        &[&["--device", "cpu", "bench", "evaluate-step"][..], &options].concat(),
    ));
    assert_times(&evaluated);
    assert!(
        evaluated["network"]
            .as_str()
            .is_some_and(|name| name.starts_with("mobilenet-v2"))
    );
    let trained = json(&run_htl(
        &[&["--device", "cpu", "bench", "train-step"][..], &options].concat(),
    ));
    assert!(
        positive(&evaluated["ms_min"]) < positive(&trained["ms_min"]),
        "{evaluated} {trained}"
    );
}

/// Steps fed by the batch pipeline, and a step's operations one by one, stand beside the step alone.
#[test]
fn steps_are_measured_end_to_end_and_by_operation() {
    let more = ["--batch", "2", "--end-to-end", "--by-operation"];
    let row = json(&measured(&[&["train-step"][..], &SMALL[2..], &more].concat()));
    let fed = &row["end_to_end"];
    positive(&fed["batch_ms"]);
    let ratio = positive(&fed["ms_per_step"]) / positive(&row["ms_per_step"]);
    assert!((positive(&fed["over_step_alone"]) / ratio - 1.0).abs() < 1e-9, "{row}");
    let parts = &row["by_operation"];
    let operations: &[Value] = parts["operations"].as_array().map_or(&[], Vec::as_slice);
    let total: f64 = operations
        .iter()
        .flat_map(|part| [&part["forward_ms"], &part["backward_ms"]].map(Value::as_f64))
        .flatten()
        .sum();
    assert!((positive(&parts["ms"]) / total - 1.0).abs() < 1e-9, "{row}");
    positive(&parts["floor_ms"]);
}

#[test]
fn what_measures_the_cpu_refuses_other_devices() {
    for (device, measurement) in [("cuda", "floor"), ("metal", "operations")] {
        let output = measured(&["--device", device, measurement]);
        tool_fails_with(&output, &[&format!("htl-bench {measurement}"), "--device cpu"]);
    }
}

#[test]
fn an_operation_is_measured_forward_and_backward() {
    let report = json(&measured(&["operations", "--only", "1x1", "--seconds", "0"]));
    assert_eq!(report["operations"].as_array().map(Vec::len), Some(1));
    let row = &report["operations"][0];
    assert_eq!(row["name"], "conv1x1-96-24-at32");
    for (pass, work) in [("forward", 1.0), ("backward", 2.0)] {
        let ms = positive(&row[format!("{pass}_ms")]);
        let gflops = positive(&row[pass]["gflops_per_second"]);
        let expected = work * 2.0 * (8 * 24 * 32 * 32 * 96) as f64 / ms / 1e6;
        assert!((gflops / expected - 1.0).abs() < 1e-9, "{row}");
    }
}

#[test]
fn the_floor_is_positive() {
    let row = json(&measured(&["floor", "--seconds", "0"]));
    for peak in ["fma_gflops", "copy_gbs"] {
        positive(&row[peak]["one_thread"]);
        positive(&row[peak]["all_threads"]);
    }
}

/// Ours and the peer's operations have the same names; the script is asked where there is a Python, and read anyway.
#[test]
fn operations_have_the_same_names_in_both_languages() {
    let names = |value: Value| -> BTreeSet<String> { must(serde_json::from_value(value)) };
    let ours = names(json(&measured(&["operations", "--list"])));
    let script = root().join("tests/peers/operations.py");
    let text = must(std::fs::read_to_string(&script));
    let read: BTreeSet<String> = text
        .lines()
        .filter_map(|line| Some(line.strip_prefix("    \"")?.split_once("\": (\"")?.0.to_string()))
        .collect();
    assert_eq!(ours, read);
    let mut python = Command::new("python3");
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    match python.arg(&script).arg("--list").output() {
        Ok(output) => assert_eq!(ours, names(json(&output))),
        Err(error) => println!("skipped: no python3 to ask the peer's script ({error})"),
    }
}

/// With a stand-in for Python that answers at once, so that only ours takes time.
#[cfg(target_os = "linux")]
#[test]
fn both_sides_are_compared_and_written_whole() {
    use std::os::unix::fs::PermissionsExt;
    let folder = must(tempfile::tempdir());
    let python = folder.path().join("python");
    let script = "#!/bin/sh\n\
        test \"$1\" = -c && { echo 9.9; exit; }\n\
        echo '{\"ms_per_step\": 1e6, \"peak_bytes_over_idle\": 4e12}'\n";
    must(std::fs::write(&python, script));
    must(std::fs::set_permissions(
        &python,
        std::fs::Permissions::from_mode(0o755),
    ));
    let out = folder.path().join("bench.json");
    let output = run(Command::new(htl_bench())
        .args([
            "compare",
            "--only",
            "mobilenet-v2-unet-8x128-evaluate",
            "--steps",
            "1",
            "--repeat",
            "1",
            "--patience",
            "0",
            "--attempts",
            "1",
        ])
        .args(["--htl".as_ref(), htl().as_os_str()])
        .args(["--python".as_ref(), python.as_os_str()])
        .args(["--out".as_ref(), out.as_os_str()]));
    let report = json(&output);
    assert_eq!(
        report,
        must(serde_json::from_slice::<Value>(&must(std::fs::read(&out))))
    );
    assert_eq!(report["torch"], "9.9");
    let case = &report["cases"][0];
    let ours = positive(&case["ours"]["ms_per_step"]);
    let ratio = positive(&case["ratio"]["value"]);
    assert!((ratio * ours / 1e6 - 1.0).abs() < 1e-9, "{case}");
    assert!(positive(&case["memory_ratio"]) > 1.0);
    assert!(case["ratio"]["void"].is_boolean());
}

/// A Python that has PyTorch and not what a case needs besides.
#[cfg(target_os = "linux")]
#[test]
fn a_case_without_its_peer_is_measured_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = must(tempfile::tempdir());
    let python = folder.path().join("python");
    let script = "#!/bin/sh\ntest \"$1\" = -c && { echo 9.9; exit; }\necho 'no module named smp' >&2; exit 1\n";
    must(std::fs::write(&python, script));
    must(std::fs::set_permissions(
        &python,
        std::fs::Permissions::from_mode(0o755),
    ));
    let output = run(Command::new(htl_bench())
        .args(["compare", "--only", "16x64", "--steps", "1", "--repeat", "2"])
        .args(["--patience", "0", "--attempts", "1"])
        .args(["--htl".as_ref(), htl().as_os_str()])
        .args(["--python".as_ref(), python.as_os_str()]));
    let report = json(&output);
    assert!(
        stderr(&output).contains("unet-16x64-w8: no peer"),
        "{}",
        stderr(&output)
    );
    positive(&report["cases"][0]["ours"]["ms_per_step"]);
    assert!(report["cases"][0]["ratio"].is_null());
}

#[test]
fn without_pytorch_ours_is_still_measured() {
    let output = run(Command::new(htl_bench())
        .args([
            "compare",
            "--only",
            "16x64",
            "--steps",
            "1",
            "--repeat",
            "1",
            "--patience",
            "0",
            "--attempts",
            "1",
        ])
        .args(["--python", "no-such-python", "--htl"])
        .arg(htl()));
    let report = json(&output);
    assert!(stderr(&output).contains("pip install -r tests/peers/requirements.txt"));
    positive(&report["cases"][0]["ours"]["ms_per_step"]);
    assert!(report["cases"][0]["ratio"].is_null());
}

/// `cargo xtask bench` hands on its flags, the messages and whether it went well.
#[test]
fn xtask_calls_the_tool() {
    let output = run(Command::new(xtask())
        .args(["bench", "--tool"])
        .arg(htl_bench())
        .args(["--only", "no-such-case", "--htl"])
        .arg(htl()));
    tool_fails_with(&output, &["unet-8x128-w16", "mobilenet-v2-unet-8x128"]);
    let output = run(Command::new(xtask())
        .args(["bench", "--tool"])
        .arg(htl_bench())
        .arg("--help"));
    succeeds(&output);
    let help = String::from_utf8_lossy(&output.stdout);
    assert!(help.contains("--operations") && help.contains("--patience"), "{help}");
}
