//! `htl models export`: what the file's users in Python get is what `htl predict` writes, and what cannot be exported is refused.

use htl_tests::{Example, fails_with, htl, must, root, run, run_htl, stderr, succeeds};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Arguments from strings and paths.
macro_rules! args {
    ($($arg:expr),* $(,)?) => { &[$(std::ffi::OsString::from($arg)),*] };
}

/// A Python that has what the README's lines need.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("HTL_PYTHON").map_or_else(|| "python3".into(), PathBuf::from);
    let imports = ["-c", "import numpy, onnxruntime, PIL"];
    let found = Command::new(&python).args(imports).output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    println!("skipped: no Python with onnxruntime, numpy and pillow (HTL_PYTHON names one)");
    None
}

/// Twenty photographs of the embedded data, as PNG: how a JPEG is decoded differs between libraries.
fn photos(folder: &Path) -> Vec<PathBuf> {
    must(fs::create_dir_all(folder));
    let images = root().join("data-manifest/embedded/images");
    let mut names: Vec<PathBuf> = must(fs::read_dir(images)).map(|entry| must(entry).path()).collect();
    names.sort();
    let copied = names.into_iter().step_by(20).map(|path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let copy = folder.join(format!("{stem}.png"));
        must(must(image::open(path)).save(&copy));
        copy
    });
    copied.collect()
}

/// Trains for a moment, exports, predicts, and compares: the share of pixels that differ, and how far from the threshold such
/// a pixel is at most.
fn compared(python: &Path, settings: &[&str]) -> (f64, f64) {
    let place = must(tempfile::tempdir());
    let at = |name: &str| place.path().join(name);
    let data = root().join("data-manifest/embedded");
    let text = format!(
        "setting = \"supervised\"\ndata = '{}'\nwidth = 4\nbatch = 8\nimage_steps = 640\n",
        data.display()
    );
    must(fs::write(at("train.toml"), text));
    let mut train = Command::new(htl());
    train
        .args(["--device", "cpu", "train", "--config"])
        .arg(at("train.toml"));
    for setting in settings {
        train.args(["--set", setting]);
    }
    succeeds(&run(train.arg("--out").arg(at("run"))));
    let checkpoint = at("run").join("checkpoint.safetensors");
    let model = at("model.onnx");
    succeeds(&run_htl(args![
        "models",
        "export",
        "--checkpoint",
        &checkpoint,
        "--onnx",
        &model
    ]));
    let photos = photos(&at("photos"));
    let predict = args![
        "--device",
        "cpu",
        "predict",
        "--checkpoint",
        &checkpoint,
        at("photos"),
        "--out",
        at("out")
    ];
    succeeds(&run_htl(predict));
    let output = run(Command::new(python)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(root().join("tests/peers/onnx_masks.py"))
        .arg("--readme")
        .arg(root().join("crates/onnx/README.md"))
        .arg("--model")
        .arg(&model)
        .arg("--masks")
        .arg(at("out").join("masks"))
        .args(&photos));
    succeeds(&output);
    let found: serde_json::Value = must(serde_json::from_slice(&output.stdout));
    println!("{settings:?}: {found}");
    let number = |key: &str| found[key].as_f64().unwrap_or(f64::NAN);
    assert_eq!(number("images"), 20.0);
    let lesion = number("lesion") / number("pixels");
    assert!(
        (0.02..0.9).contains(&lesion),
        "masks that are empty or full compare nothing: {found}"
    );
    (number("differ") / number("pixels"), number("farthest"))
}

/// Where nothing is resized, only rounding of 32 bits differs.
#[test]
fn python_makes_the_masks_of_predict() {
    let Some(python) = python() else { return };
    for network in [
        &[][..],
        &["network.encoder=mobilenet-v2", "network.decoder=lraspp"],
        &["network.encoder=efficientnet-lite0", "network.decoder=unet"],
    ] {
        let settings = [&["size=128"][..], network].concat();
        let (differ, farthest) = compared(&python, &settings);
        assert!(
            differ < 1e-5 && farthest < 1e-5,
            "{settings:?}: {differ:.1e} of the pixels, by {farthest:.1e}"
        );
    }
}

/// Where photographs are made smaller, Pillow rounds their pixels once more than we do.
#[test]
fn python_makes_nearly_the_masks_of_predict_where_photographs_are_resized() {
    let Some(python) = python() else { return };
    let (differ, farthest) = compared(&python, &["size=64"]);
    assert!(
        differ < 2e-3 && farthest < 0.03,
        "{differ:.1e} of the pixels, by {farthest:.1e}"
    );
}

#[test]
fn what_cannot_be_exported_is_refused() {
    let example = Example::new();
    let config = example.config("train.toml", "supervised", "");
    succeeds(&example.train(&config, &example.path("run")));
    let checkpoint = example.path("run").join("checkpoint.safetensors");
    let before = must(fs::read(&checkpoint));
    let model = example.path("model.onnx");
    let export = |checkpoint: &Path, model: &Path, more: &[&str]| {
        let mut command = Command::new(htl());
        command.args(["models", "export", "--checkpoint"]).arg(checkpoint);
        run(command.arg("--onnx").arg(model).args(more))
    };
    let metadata = example.data().join("metadata.csv");
    fails_with(&export(&metadata, &model, &[]), &["metadata.csv", "not a checkpoint"]);
    fails_with(&export(&example.path("gone"), &model, &[]), &["gone", "cannot read"]);
    for threshold in ["--threshold=0", "--threshold=1", "--threshold=-2", "--threshold=nan"] {
        fails_with(&export(&checkpoint, &model, &[threshold]), &["above 0 and below 1"]);
    }
    for size in ["--size=7", "--size=4096"] {
        fails_with(&export(&checkpoint, &model, &[size]), &[&size[7..], "from 8", "2048"]);
    }
    fails_with(&export(&checkpoint, &example.data(), &[]), &["cannot write", "data"]);
    fails_with(
        &export(&checkpoint, &metadata.join("model.onnx"), &[]),
        &["cannot write", "metadata.csv"],
    );
    fails_with(&export(&checkpoint, &checkpoint, &[]), &["is the checkpoint itself"]);
    assert_eq!(before, must(fs::read(&checkpoint)), "the checkpoint was written over");
    assert!(!model.exists());
    let output = export(&checkpoint, &model, &["--threshold", "0.25", "--size", "20"]);
    succeeds(&output);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("image [batch, 3, 20, 20] to probability"),
        "{said}{}",
        stderr(&output)
    );
    assert!(model.exists());
}
