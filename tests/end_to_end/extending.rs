//! What `docs/extending.md` shows is what the files it names hold.

use std::fs;

use htl_tests::{must, root};

/// Stands in a snippet for lines that it leaves out.
const GAP: &str = "// …";

/// A fenced block of Rust, and the file that the text before it names last.
struct Snippet {
    file: String,
    lines: Vec<String>,
}

/// The Rust blocks of a page.
fn snippets(page: &str) -> Vec<Snippet> {
    let (mut found, mut file) = (Vec::new(), String::new());
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line == "```rust" {
            let block = lines.by_ref().take_while(|line| *line != "```");
            found.push(Snippet {
                file: file.clone(),
                lines: block.map(str::to_owned).collect(),
            });
        }
        let words = line.split('`').skip(1).step_by(2);
        if let Some(path) = words
            .filter(|word| word.starts_with("crates/") && word.ends_with(".rs"))
            .last()
        {
            file = path.to_owned();
        }
    }
    found
}

/// Whether the parts of a snippet, between gaps, occur in a text in that order, each without a break.
fn shown(snippet: &[String], text: &str) -> Result<(), String> {
    let text: Vec<&str> = text.lines().collect();
    let mut from = 0;
    for part in snippet.split(|line| line.trim() == GAP) {
        let here = text[from..].windows(part.len()).position(|lines| lines == part);
        match here {
            Some(at) => from += at + part.len(),
            None => return Err(part.join("\n")),
        }
    }
    Ok(())
}

#[test]
fn the_page_shows_what_is_there() {
    let page = must(fs::read_to_string(root().join("docs/extending.md")));
    let snippets = snippets(&page);
    assert!(snippets.len() > 10, "{} snippets", snippets.len());
    for snippet in &snippets {
        let text = must(fs::read_to_string(root().join(&snippet.file)));
        if let Err(part) = shown(&snippet.lines, &text) {
            panic!(
                "docs/extending.md shows what {} does not hold, in this order:\n{part}",
                snippet.file
            );
        }
    }
}

/// Every file that the page names is there.
#[test]
fn named_files_exist() {
    let page = must(fs::read_to_string(root().join("docs/extending.md")));
    let paths = page.split('`').skip(1).step_by(2);
    let paths: Vec<&str> = paths
        .filter(|word| word.contains('/') && word.ends_with(".rs"))
        .collect();
    assert!(!paths.is_empty());
    for path in paths {
        assert!(root().join(path).is_file(), "{path}");
    }
}

#[test]
fn what_is_not_there_is_found() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let text = "a\nb\nc\nd\n";
    assert_eq!(shown(&lines("b\nc"), text), Ok(()));
    assert_eq!(shown(&lines("a\n// …\nc\nd"), text), Ok(()));
    assert_eq!(shown(&lines("a\nc"), text), Err("a\nc".into()));
    assert_eq!(shown(&lines("c\n// …\na"), text), Err("a".into()));
    let page = "In `crates/a/b.rs`:\n\n```rust\nx\n```\n\nand `crates/c.rs`:\n```rust\ny\n```\n";
    let found: Vec<(String, Vec<String>)> = snippets(page).into_iter().map(|s| (s.file, s.lines)).collect();
    let expected = [("crates/a/b.rs", "x"), ("crates/c.rs", "y")];
    assert_eq!(
        found,
        expected.map(|(file, line)| (file.to_owned(), vec![line.to_owned()]))
    );
}
