//! `cargo xtask check-iou` passes on the program as it is, and finds mistakes planted in it.

use htl_tests::{htl, run, stderr, xtask};
use std::process::Command;

/// Seeds outside the noise band, of ten.
fn outside(plant: Option<&str>) -> u32 {
    let mut command = Command::new(xtask());
    command.args(["check-iou", "--seeds", "10", "--htl"]).arg(htl());
    if let Some(plant) = plant {
        command.args(["--plant", plant]);
    }
    let output = run(&mut command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("plant: {plant:?}\n{text}");
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
        outside(None) <= 1,
        "outside the band without a mistake: is tests/baselines/smoke-iou.json up to date?"
    );
    for plant in ["pool-gradient", "shifted-pairs", "normalisation"] {
        let count = outside(Some(plant));
        assert!(count >= 9, "{plant}: only {count} of 10 seeds outside the noise band");
    }
}
