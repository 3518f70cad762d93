//! Some broken files of each kind, always the same; `HTL_FUZZ_CASES` and `HTL_FUZZ_SEED` ask for others.

use htl_fuzz::{READERS, fuzz};

/// The number that a variable holds.
fn asked<T: std::str::FromStr>(variable: &str, default: T) -> T {
    let text = std::env::var(variable).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn no_broken_file_breaks_a_reader() {
    // What panics inside says so once, at the end.
    std::panic::set_hook(Box::new(|_| ()));
    let (cases, seed) = (asked("HTL_FUZZ_CASES", 150), asked("HTL_FUZZ_SEED", 0));
    let mut failures = Vec::new();
    for reader in READERS {
        match fuzz(reader, seed, cases) {
            Ok(tried) => {
                println!(
                    "fuzz: {} {} executions, {} accepted",
                    reader.name, tried.executions, tried.accepted
                );
                // Changes that all break, or none, try nothing.
                if tried.accepted == tried.executions {
                    failures.push(format!("{}: nothing was refused", reader.name));
                }
            }
            Err(failure) => failures.push(failure),
        }
    }
    let _ = std::panic::take_hook();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
