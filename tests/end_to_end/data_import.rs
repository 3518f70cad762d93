//! What `htl` writes it can import, and what it imports it can train on.

use std::fs;
use std::path::Path;

use htl_tests::{Example, fails_with, must, run_htl, stderr, succeeds};

macro_rules! args {
    ($($arg:expr),* $(,)?) => { &[$(std::ffi::OsString::from($arg)),*] };
}

fn masks(folder: &Path) -> Vec<(String, image::GrayImage)> {
    let mut found = Vec::new();
    for entry in must(fs::read_dir(folder)) {
        let path = must(entry).path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.push((name, must(image::open(&path)).into_luma8()));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Predictions as COCO JSON, imported beside their photographs, are the predicted masks; the folder can be verified and trained on.
#[test]
fn predictions_come_back_as_masks() {
    let example = Example::new();
    let config = example.config("config.toml", "supervised", "");
    succeeds(&example.train(&config, &example.path("run")));
    let images = example.data().join("images");
    let predicted = example.path("predicted");
    let checkpoint = example.path("run/checkpoint.safetensors");
    let output = run_htl(args![
        "predict",
        "--coco",
        "--checkpoint",
        &checkpoint,
        "--out",
        &predicted,
        &images
    ]);
    succeeds(&output);
    let out = example.path("imported");
    let output = run_htl(args![
        "data",
        "import",
        "coco",
        &images,
        predicted.join("coco.json"),
        "--out",
        &out,
        "--licence",
        "ours",
        "--json"
    ]);
    succeeds(&output);
    let told: serde_json::Value = must(serde_json::from_slice(&output.stdout));
    let written = masks(&out.join("masks"));
    assert_eq!(told["images"], written.len());
    assert_eq!(written, masks(&predicted.join("masks")));
    succeeds(&run_htl(args!["--quiet", "data", "verify", "--data", &out]));
    let again = must(fs::read_to_string(&config)).replace(&*example.data().to_string_lossy(), &out.to_string_lossy());
    must(fs::write(example.path("again.toml"), again));
    succeeds(&example.train(&example.path("again.toml"), &example.path("again")));

    // A photograph that is changed afterwards is found: a verdict, not an error.
    let first = must(must(fs::read_dir(out.join("images"))).next().ok_or("no image")).map(|entry| entry.path());
    must(fs::write(must(first), "no photograph"));
    let output = run_htl(args!["data", "verify", "--data", &out]);
    assert!(
        !output.status.success() && stderr(&output).contains("changed"),
        "{}",
        stderr(&output)
    );
    fails_with(
        &run_htl(args!["data", "import", "coco", &images, "--out", example.path("none")]),
        &["no JSON file with annotations"],
    );
    assert!(!example.path("none").exists());
    fails_with(
        &run_htl(args![
            "data",
            "import",
            "isic2081",
            &images,
            "--out",
            example.path("none")
        ]),
        &["isic2081", "isic2018"],
    );
}
