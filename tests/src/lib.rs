//! What the end-to-end tests share: the built programs and small data folders.
//!
//! The tests run the real binaries, built once in release mode as a user would have them (training in debug builds takes
//! minutes). `HTL_BIN`, `HTL_BENCH_BIN`, `HTL_PLANTED_BIN` and `XTASK_BIN` name ready-made ones instead.

pub mod slurm;

use image::{GrayImage, Luma, Rgb, RgbImage};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

/// The `htl` binary.
///
/// # Panics
/// When it cannot be built; the message says what to run.
pub fn htl() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| built("HTL_BIN", &["--release", "--package", "htl-cli"], "release", "htl"))
}

/// The `htl-bench` binary.
///
/// # Panics
/// When it cannot be built; the message says what to run.
pub fn htl_bench() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        built(
            "HTL_BENCH_BIN",
            &beside_htl(&["--package", "htl-bench", "--bin", "htl-bench"]),
            "release",
            "htl-bench",
        )
    })
}

/// The `htl-planted` binary: `htl` with a mistake in its trainings.
///
/// # Panics
/// When it cannot be built; the message says what to run.
pub fn htl_planted() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| {
        built(
            "HTL_PLANTED_BIN",
            &beside_htl(&["--package", "htl-faults", "--bin", "htl-planted"]),
            "release",
            "htl-planted",
        )
    })
}

/// A release build with the features of what `htl` is built from: nothing of it is built twice.
fn beside_htl<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["--release", "--package", "htl-cli"], args].concat()
}

/// The `xtask` binary.
///
/// # Panics
/// When it cannot be built; the message says what to run.
pub fn xtask() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| built("XTASK_BIN", &["--package", "xtask"], "debug", "xtask"))
}

fn built(variable: &str, args: &[&str], profile: &str, name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return PathBuf::from(path);
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = Command::new(&cargo)
        .arg("build")
        .args(args)
        .current_dir(root())
        .output();
    let failed = |why: String| -> PathBuf {
        panic!(
            "cannot build {name}: run `cargo build {}` to see why\n{why}",
            args.join(" ")
        )
    };
    match build {
        Ok(output) if output.status.success() => {}
        Ok(output) => return failed(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => return failed(error.to_string()),
    }
    let metadata = Command::new(&cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output();
    let target = metadata
        .ok()
        .and_then(|output| serde_json::from_slice::<serde_json::Value>(&output.stdout).ok())
        .and_then(|metadata| metadata["target_directory"].as_str().map(PathBuf::from));
    match target {
        Some(target) => target
            .join(profile)
            .join(format!("{name}{}", std::env::consts::EXE_SUFFIX)),
        None => failed("`cargo metadata` names no target directory".into()),
    }
}

/// `xtask reproduce` with the tiny profile into `out`.
pub fn reproduce_tiny(out: &Path) -> Command {
    let mut command = Command::new(xtask());
    command
        .args(["reproduce", "--profile", "tiny", "--device", "cpu", "--htl"])
        .arg(htl())
        .arg("--out")
        .arg(out)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started.
pub fn run(command: &mut Command) -> Output {
    match command.stdin(Stdio::null()).output() {
        Ok(output) => output,
        Err(error) => panic!("cannot start {command:?}: {error}"),
    }
}

/// Runs `htl` with these arguments.
pub fn run_htl<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Output {
    run(Command::new(htl()).args(args))
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that a command ended well.
///
/// # Panics
/// With its standard error when it did not.
pub fn succeeds(output: &Output) {
    assert!(
        output.status.success(),
        "it ended with {}:\n{}",
        output.status,
        stderr(output)
    );
}

/// Asserts that the command line itself was refused, with a message that has all `parts`.
///
/// # Panics
/// When it was not, or said something else.
pub fn misused(output: &Output, parts: &[&str]) {
    assert_eq!(output.status.code(), Some(2), "{}", stderr(output));
    for part in parts {
        assert!(stderr(output).contains(part), "no `{part}` in {}", stderr(output));
    }
}

/// Asserts that a command came to the verdict that something is wrong, and said so on standard output with all `parts`.
///
/// # Panics
/// When it did not, or said something else.
pub fn finds(output: &Output, parts: &[&str]) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "no verdict:\n{text}\n{}", stderr(output));
    for part in parts {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

/// Asserts that `htl` failed as it should: with a message that has all `parts`, and no panic.
///
/// # Panics
/// When it succeeded, panicked, or said something else.
pub fn fails_with(output: &Output, parts: &[&str]) {
    failed(output, 2, parts);
}

/// The same of the programs around it, whose errors end with 1.
///
/// # Panics
/// As [`fails_with`].
pub fn tool_fails_with(output: &Output, parts: &[&str]) {
    failed(output, 1, parts);
}

fn failed(output: &Output, code: i32, parts: &[&str]) {
    let text = stderr(output);
    assert!(
        !output.status.success(),
        "it should have failed, saying {parts:?}:\n{text}"
    );
    assert!(!text.contains("panicked"), "it panicked:\n{text}");
    assert_eq!(output.status.code(), Some(code), "not an orderly failure:\n{text}");
    for part in parts {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}

/// A small data folder that can be broken in many ways: discs on skin, 12 training, 4 validation, 4 test images.
pub struct Example {
    /// Holds everything; removed at the end.
    pub folder: tempfile::TempDir,
}

/// Side of the example's images.
pub const SIDE: u32 = 40;

impl Example {
    /// Makes the folder.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn new() -> Self {
        let folder = match tempfile::tempdir() {
            Ok(folder) => folder,
            Err(error) => panic!("no temporary folder: {error}"),
        };
        let example = Self { folder };
        for name in ["images", "masks"] {
            must(fs::create_dir_all(example.data().join(name)));
        }
        let mut table = String::from("image_id,split,age_approx,sex,anatom_site,dx\n");
        for index in 0..20u32 {
            let split = ["train", "val", "test"][usize::from(index >= 12) + usize::from(index >= 16)];
            let (sex, dx) = (
                ["female", "male"][index as usize % 2],
                ["nv", "mel"][index as usize % 3 / 2],
            );
            table.push_str(&format!("{},{split},{},{sex},torso,{dx}\n", id(index), 30 + 2 * index));
            let (image, mask) = lesion(index);
            must(image.save(example.image(index)));
            must(mask.save(example.mask(index)));
        }
        must(fs::write(example.data().join("metadata.csv"), table));
        example
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A path beside the data folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Path of an image.
    pub fn image(&self, index: u32) -> PathBuf {
        self.data().join("images").join(format!("{}.png", id(index)))
    }

    /// Path of a mask.
    pub fn mask(&self, index: u32) -> PathBuf {
        self.data().join("masks").join(format!("{}.png", id(index)))
    }

    /// Changes the text of `metadata.csv`.
    ///
    /// # Panics
    /// When that changes nothing.
    pub fn edit_metadata(&self, change: impl FnOnce(String) -> String) {
        let path = self.data().join("metadata.csv");
        let before = must(fs::read_to_string(&path));
        let after = change(before.clone());
        assert_ne!(before, after, "the edit changed nothing");
        must(fs::write(path, after));
    }

    /// A training configuration that takes a moment, with further lines.
    pub fn config(&self, name: &str, setting: &str, more: &str) -> PathBuf {
        let path = self.path(name);
        let data = self.data();
        let text = format!(
            "setting = \"{setting}\"\ndata = '{}'\nsize = 16\nwidth = 2\nbatch = 4\nimage_steps = 8\n{more}\n",
            data.display()
        );
        must(fs::write(&path, text));
        path
    }

    /// Runs `htl data verify`.
    pub fn verify(&self) -> Output {
        run(Command::new(htl()).args(["data", "verify", "--data"]).arg(self.data()))
    }

    /// Runs `htl train`.
    pub fn train(&self, config: &Path, out: &Path) -> Output {
        run(Command::new(htl())
            .args(["--device", "cpu", "train", "--config"])
            .arg(config)
            .arg("--out")
            .arg(out))
    }
}

impl Default for Example {
    fn default() -> Self {
        Self::new()
    }
}

/// Id of an image of the example.
pub fn id(index: u32) -> String {
    format!("lesion_{index:02}")
}

/// The value, or an end of the test that says what went wrong.
///
/// # Panics
/// On an error.
pub fn must<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

fn lesion(index: u32) -> (RgbImage, GrayImage) {
    let (x0, y0, radius) = (12 + index % 5 * 4, 14 + index % 4 * 4, 6 + index % 3 * 2);
    let inside = |x: u32, y: u32| (x.abs_diff(x0)).pow(2) + (y.abs_diff(y0)).pow(2) <= radius * radius;
    let image = RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let grain = ((x * 7 + y * 13 + index * 5) % 11) as u8;
        if inside(x, y) {
            Rgb([90 + grain, 60, 50 + grain])
        } else {
            Rgb([220 - grain, 180, 160 + grain])
        }
    });
    let mask = GrayImage::from_fn(SIDE, SIDE, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
    (image, mask)
}
