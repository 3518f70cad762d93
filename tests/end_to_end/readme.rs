//! The commands of the README work as they stand there, the profile replaced by the tiny one.

use htl_tests::{Example, htl, must, root, run, stderr, xtask};
use std::fs;
use std::process::Command;

/// Commands in fenced blocks of a shell, in order; a trailing `\` continues a line, comments go.
fn commands(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut joined = String::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(language) = line.strip_prefix("```") {
            inside = !inside && ["sh", "bash", "console", "shell"].contains(&language);
            continue;
        }
        if !inside || line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("$ ").unwrap_or(line);
        let line = line
            .split(" # ")
            .next()
            .unwrap_or(line)
            .split("  #")
            .next()
            .unwrap_or(line)
            .trim();
        match line.strip_suffix('\\') {
            Some(part) => joined.push_str(part),
            None => found.push(std::mem::take(&mut joined) + line),
        }
    }
    found
}

/// What to run in the place of a README's command; nothing where there is nothing to run.
fn replaced(command: &str, out: &str) -> Option<String> {
    let (htl, xtask) = (htl().display(), xtask().display());
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["cargo", "xtask", "reproduce", rest @ ..] => {
            // Its own profile, device and output do not matter here; its data does.
            let data = rest
                .iter()
                .position(|word| *word == "--data")
                .and_then(|at| rest.get(at + 1));
            let data = data.map_or_else(String::new, |folder| format!(" --data {folder}"));
            Some(format!(
                "'{xtask}' reproduce --profile tiny --device cpu --htl '{htl}' --out '{out}'{data}"
            ))
        }
        ["htl", "reproduce", ..] => {
            let tiny = command.replacen("--profile isic2018", "--profile tiny --device cpu", 1);
            Some(tiny.replacen("htl", &format!("'{htl}'"), 1))
        }
        // It runs this test.
        ["cargo", "xtask", "ci", ..] => Some(format!("'{xtask}' ci --help")),
        ["cargo", "xtask", command, ..] => Some(format!("'{xtask}' {command} --help")),
        ["htl", ..] => Some(command.replacen("htl", &format!("'{htl}'"), 1)),
        // Installing, cloning, opening a browser.
        _ => None,
    }
}

/// In order, in one folder that has a data folder of the user's own under each name the README uses.
#[test]
fn every_command_runs() {
    let text = must(fs::read_to_string(root().join("README.md")));
    let found = commands(&text);
    for needed in ["cargo xtask reproduce", "cargo xtask ci"] {
        assert!(
            found.iter().any(|command| command == needed),
            "the README lacks `{needed}`"
        );
    }
    let example = Example::new();
    let place = must(tempfile::tempdir());
    let words = found
        .iter()
        .flat_map(|command| command.split_whitespace().collect::<Vec<_>>());
    let words: Vec<&str> = words.collect();
    for pair in words.windows(2).filter(|pair| pair[0] == "--data") {
        copy(&example.data(), &place.path().join(pair[1]));
    }
    for (name, body) in files(&text) {
        must(fs::write(place.path().join(name), body));
    }
    let out = place.path().join("reproduced").display().to_string();
    for command in &found {
        let Some(line) = replaced(command, &out) else {
            println!("not run: {command}");
            continue;
        };
        let output = run(Command::new("/bin/sh").args(["-c", &line]).current_dir(place.path()));
        assert!(
            output.status.success(),
            "`{command}` (run as `{line}`) failed:\n{}",
            stderr(&output)
        );
        println!("ran: {command}");
    }
}

/// Fenced blocks of TOML that begin with `# <name>.toml`: files the commands read.
fn files(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut body: Option<String> = None;
    for line in text.lines() {
        if line.trim() == "```toml" {
            body = Some(String::new());
        } else if line.trim() == "```" {
            if let Some(body) = body.take()
                && let Some(name) = body.lines().next().and_then(|first| first.strip_prefix("# "))
                && let Some(name) = name.split_whitespace().next()
                && name.ends_with(".toml")
            {
                found.push((name.to_string(), shortened(&body)));
            }
        } else if let Some(body) = &mut body {
            body.push_str(line);
            body.push('\n');
        }
    }
    found
}

/// The same configuration, with a training of a moment: long enough to find something, or nobody is harder than anybody.
fn shortened(body: &str) -> String {
    let quick = [("image_steps", "600"), ("batch", "4"), ("size", "16"), ("width", "4")];
    let line = |line: &str| {
        let key = line.split('=').next().unwrap_or_default().trim();
        quick
            .iter()
            .find(|(name, _)| *name == key)
            .map_or_else(|| line.to_string(), |(name, value)| format!("{name} = {value}"))
    };
    let mut text: String = body.lines().map(|text| line(text) + "\n").collect();
    for (name, value) in quick {
        if !text
            .lines()
            .any(|line| line.split('=').next().unwrap_or_default().trim() == name)
        {
            text = format!("{name} = {value}\n{text}");
        }
    }
    text
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    must(fs::create_dir_all(to));
    for entry in must(fs::read_dir(from)) {
        let entry = must(entry);
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            must(fs::copy(entry.path(), to.join(entry.file_name())));
        }
    }
}

#[test]
fn commands_are_found() {
    let text = "```sh\n$ htl a \\\n  --b  # why\n# comment\n```\n```rust\nlet x;\n```\n";
    assert_eq!(commands(text), ["htl a --b"]);
}
