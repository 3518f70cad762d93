//! Progress of long steps: a bar on a terminal, lines for a program, silence otherwise.

use std::io::Write;

use indicatif::{ProgressBar, ProgressStyle};

/// Shows how far a step has come.
pub enum Progress {
    /// A bar with the remaining time; hidden when standard error is no terminal.
    Bar(ProgressBar),
    /// `progress DONE TOTAL` on standard output (`HTL_PROGRESS=lines`), at most a hundred of them.
    Lines { last: usize },
}

impl Progress {
    /// `what` stands before the bar.
    pub fn new(what: &str) -> Self {
        if std::env::var("HTL_PROGRESS").is_ok_and(|v| v == "lines") {
            return Self::Lines { last: usize::MAX };
        }
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {per_sec}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        Self::Bar(ProgressBar::new(0).with_style(style).with_prefix(what.to_owned()))
    }

    /// `done` of `total`.
    pub fn set(&mut self, done: usize, total: usize) {
        match self {
            Self::Bar(bar) => {
                bar.set_length(total as u64);
                bar.set_position(done as u64);
                if done == total {
                    bar.finish_and_clear();
                }
            }
            Self::Lines { last } => {
                let percent = done * 100 / total.max(1);
                if percent != *last {
                    *last = percent;
                    let mut out = std::io::stdout().lock();
                    // A reader that went away is no reason to stop.
                    let _ = writeln!(out, "progress {done} {total}").and_then(|()| out.flush());
                }
            }
        }
    }
}
