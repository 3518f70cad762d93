//! `htl` where the system gives less than it asks for, and where it is asked for too much.
#![cfg(target_os = "linux")]

use std::process::{Command, Output};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Threads that cannot be started are an error that says what to do: there is room for fewer than 64 of them here. Where a thread was
/// started with the very last memory, Rust's own start of it aborts, so that not every limit shows the message.
#[test]
fn threads_that_cannot_start_are_told() {
    let htl = env!("CARGO_BIN_EXE_htl");
    let tried = [300_000, 400_000, 500_000].map(|limit| {
        let call = format!("ulimit -v {limit}; RAYON_NUM_THREADS=400 exec '{htl}' --device cpu device");
        Command::new("sh").args(["-c", &call]).output().unwrap()
    });
    let told = |output: &Output| output.status.code() == Some(2) && said(output).contains("set RAYON_NUM_THREADS");
    assert!(tried.iter().any(told), "{}", tried.each_ref().map(said).concat());
}

/// A key of 50,000 parts and a line of a megabyte are refused in a few words.
#[test]
fn absurd_settings_are_refused_shortly() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("train.toml");
    let train = |text: &str, set: &str| {
        std::fs::write(&config, text).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_htl"))
            .args(["--device", "cpu", "train", "--set", set, "--config"])
            .arg(&config)
            .arg("--out")
            .arg(folder.path().join("out"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).len() < 4000, "{}", said(&output).len());
        said(&output)
    };
    let dots = format!("{}a=1", "a.".repeat(50_000));
    assert!(train("data = \"d\"\n", &dots).contains("at most 8 parts"));
    let line = format!("data = \"d\"\nsetting = {}\n", "x".repeat(1_000_000));
    assert!(train(&line, "seed=1").contains("more characters"));
    assert!(train("data = \"d\"\n", "batch=4611686018427387904").contains("from 1 to 65536"));
    assert!(train("data = \"d\"\n", "size=1048576").contains("from 8 to 2048"));
    assert!(train("dta = \"d\"\n", "seed=1").contains("did you mean `data`?"));
}
