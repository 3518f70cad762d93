//! `cargo xtask check-iou` passes on the program as it is, and finds mistakes planted in it.

use htl_faults::{Fault, NONE, VARIABLE};
use htl_tests::{Example, htl, htl_planted, must, run, stderr, succeeds, xtask};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Seeds outside the noise band, of ten, when this `htl` trains and tests.
fn outside(htl: &Path, fault: &str) -> u32 {
    let mut command = Command::new(xtask());
    command.args(["check-iou", "--seeds", "10", "--htl"]).arg(htl);
    let output = run(command.env(VARIABLE, fault));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("fault: {fault}\n{text}");
    let summary = text
        .lines()
        .find_map(|line| line.strip_prefix("check-iou: ")?.split_once(" of 10 seeds outside"));
    let count = summary.and_then(|(count, _)| count.parse().ok());
    let Some(count) = count else {
        panic!("no summary in:\n{text}\n{}", stderr(&output))
    };
    assert_eq!(
        output.status.success(),
        count <= 5,
        "the exit status does not say what the summary says:\n{text}"
    );
    count
}

/// Nine of ten seeds tell each mistake from noise; noise alone does so for at most one.
#[test]
fn planted_mistakes_are_found() {
    assert!(
        outside(htl(), NONE) <= 1,
        "outside the band without a mistake: is tests/baselines/smoke-iou.json up to date?"
    );
    for fault in Fault::ALL {
        let count = outside(htl_planted(), fault.name());
        assert!(
            count >= 9,
            "{}: only {count} of 10 seeds outside the noise band",
            fault.name()
        );
    }
}

/// Without a mistake the program that plants them is `htl`: the same checkpoint, the same results.
#[test]
fn nothing_but_the_mistake_is_different() {
    let example = Example::new();
    let config = example.config("config.toml", "supervised", "seed = 5");
    let made = |program: &Path, name: &str| {
        let out = example.path(name);
        let call = |arguments: &[&str], paths: [(&str, &Path); 2]| {
            let mut command = Command::new(program);
            command.env(VARIABLE, NONE).args(["--device", "cpu"]).args(arguments);
            for (flag, path) in paths {
                command.arg(flag).arg(path);
            }
            succeeds(&run(&mut command));
        };
        call(&["train"], [("--config", &config), ("--out", &out)]);
        let (checkpoint, table) = (out.join("checkpoint.safetensors"), out.join("per_image.csv"));
        let data = example.data();
        let data = data.display().to_string();
        call(
            &["evaluate", "--split", "test", "--data", &data],
            [("--checkpoint", &checkpoint), ("--out", &table)],
        );
        [must(fs::read(checkpoint)), must(fs::read(table))]
    };
    assert!(made(htl(), "htl") == made(htl_planted(), "htl-planted"));
}
