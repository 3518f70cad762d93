//! `cargo xtask tidy`: house rules that no compiler checks.

use crate::workspace::root;
use anyhow::{Context, Result, bail};
use htl_vocabulary::{arm, setting};
use std::fs;
use std::path::{Path, PathBuf};

/// Longest file of Rust, its tests at the end not counted.
const LONGEST: usize = 500;

/// Operations of candle itself that are wrong or slow in the backward pass; `htl-ops` has right ones.
/// (`clippy.toml` forbids the same by type, where clippy is installed.)
const STOCK: [&str; 16] = [
    ".conv2d(",
    ".conv1d(",
    ".conv_transpose2d(",
    ".max_pool2d(",
    ".max_pool2d_with_stride(",
    ".avg_pool2d(",
    ".avg_pool2d_with_stride(",
    ".upsample_nearest1d(",
    ".upsample_nearest2d(",
    ".interpolate2d(",
    ".upsample_bilinear2d(",
    "candle_nn::conv",
    "candle_nn::batch_norm",
    "candle_nn::layer_norm",
    "candle_nn::group_norm",
    "candle_nn::LayerNorm",
];

/// Macros that mark unfinished or left-over code.
const LEFT_OVER: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];

/// Beginnings of paths that exist on somebody's machine only, split so that this file does not hold them.
const MACHINE_PATHS: [(&str, &str); 4] = [("/wo", "rk/"), ("/ro", "ot/"), ("/ho", "me/"), ("/Use", "rs/")];

/// Where names of settings and arms stand: everywhere else they are constants of `htl_vocabulary`.
const VOCABULARY: &str = "crates/vocabulary/";

/// Names of settings, and those of arms that mean nothing else.
fn names() -> impl Iterator<Item = &'static str> {
    let arms = [arm::BASELINE, arm::LABELLED_ONLY, arm::HTL_QUERY, arm::ORACLE_TUNED];
    let settings = setting::SETTINGS.iter().map(|setting| setting.key);
    settings.chain(arms.map(|arm| arm.key))
}

/// Kinds of text files that are looked at.
const TEXT: [&str; 9] = ["rs", "toml", "md", "py", "sh", "yml", "json", "csv", "cff"];

/// Folders that hold what is made, not what is written.
const SKIPPED: [&str; 3] = ["target", "out", "node_modules"];

/// Runs the command.
///
/// # Errors
/// Lists every breach of a rule.
pub fn run() -> Result<()> {
    let root = root();
    let mut breaches = Vec::new();
    let mut count = 0;
    for path in files(&root)? {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let relative = path.strip_prefix(&root).unwrap_or(&path);
        breaches.extend(check(relative, &text));
        count += 1;
    }
    if !breaches.is_empty() {
        bail!(
            "{} breaches of the house rules:\n{}",
            breaches.len(),
            breaches.join("\n")
        );
    }
    println!("tidy: {count} files, all in order");
    Ok(())
}

/// Text files of the repository; hidden and made folders left out.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !SKIPPED.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if path
                .extension()
                .is_some_and(|extension| TEXT.iter().any(|known| extension == *known))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The breaches of one file, each with its line.
fn check(path: &Path, text: &str) -> Vec<String> {
    let name = path.to_string_lossy().replace('\\', "/");
    let mut breaches = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (a, b) in MACHINE_PATHS {
            let place = format!("{a}{b}");
            let starts = line
                .match_indices(&place)
                .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}~".contains(c)));
            if starts {
                breaches.push(format!("{name}:{}: a path of one machine ({place})", number + 1));
            }
        }
    }
    if !name.ends_with(".rs") || name == "xtask/src/tidy.rs" {
        return breaches;
    }
    let code: Vec<&str> = text.lines().take_while(|line| !is_test_module(line)).collect();
    let is_test = name
        .split('/')
        .any(|part| ["tests", "tests.rs", "benches", "examples"].contains(&part));
    if !is_test && code.len() > LONGEST {
        breaches.push(format!(
            "{name}: {} lines of code, at most {LONGEST}: split it",
            code.len()
        ));
    }
    for (number, line) in text.lines().enumerate() {
        let line = line.split("//").next().unwrap_or_default();
        for marker in LEFT_OVER {
            if line.contains(&format!("{marker}(")) {
                breaches.push(format!("{name}:{}: {marker} is left over", number + 1));
            }
        }
        if !is_test && number < code.len() && !name.starts_with(VOCABULARY) {
            for known in names().filter(|known| line.contains(&format!("\"{known}\""))) {
                breaches.push(format!(
                    "{name}:{}: `{known}` is a name of htl_vocabulary: use that",
                    number + 1
                ));
            }
        }
        if !is_test && number < code.len() && !name.starts_with("crates/ops/") {
            for operation in STOCK.iter().filter(|operation| line.contains(**operation)) {
                breaches.push(format!(
                    "{name}:{}: candle's own `{operation}`: use htl-ops",
                    number + 1
                ));
            }
        }
    }
    breaches
}

/// Whether this line begins the tests at the end of a file.
fn is_test_module(line: &str) -> bool {
    line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches(path: &str, text: &str) -> usize {
        check(Path::new(path), text).len()
    }

    #[test]
    fn every_rule_can_be_broken() {
        let long = "let x = 1;\n".repeat(LONGEST + 1);
        assert_eq!(breaches("crates/a/src/lib.rs", &long), 1);
        assert_eq!(
            breaches("crates/a/src/lib.rs", &format!("#[cfg(test)]\nmod tests {{\n{long}}}")),
            0
        );
        assert_eq!(breaches("crates/a/tests/it.rs", &long), 0);
        assert_eq!(breaches("crates/a/src/lib.rs", "dbg!(x);"), 1);
        assert_eq!(breaches("crates/a/src/lib.rs", "let y = x.max_pool2d(2)?;"), 1);
        assert_eq!(breaches("crates/ops/src/lib.rs", "let y = x.max_pool2d(2)?;"), 0);
        assert_eq!(
            breaches("crates/a/src/lib.rs", "let y = htl_ops::max_pool2d(&x, 2, 2, 0)?;"),
            0
        );
        assert_eq!(breaches("crates/a/src/lib.rs", "let arm = \"baseline\";"), 1);
        assert_eq!(breaches("crates/a/tests/it.rs", "let arm = \"baseline\";"), 0);
        let place = format!("see {}{}someone", MACHINE_PATHS[2].0, MACHINE_PATHS[2].1);
        assert_eq!(breaches("README.md", &place), 1);
        assert_eq!(breaches("README.md", "see docs/home/page"), 0);
    }
}
