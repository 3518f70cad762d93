//! Progress of long steps: a bar on a terminal, lines for a program, silence otherwise and with `--quiet`.

use std::io::Write;

use htl_trainers::{
    TrainError,
    observe::{Observer, ProgressBar, Started, Step},
};

/// Shows how far a step has come.
pub enum Progress {
    /// A bar with the remaining time; hidden when standard error is not a terminal.
    Bar(ProgressBar),
    /// `progress DONE TOTAL` on standard output (`HTL_PROGRESS=lines`), at most a hundred of them.
    Lines { last: usize },
    /// Not even warnings are wanted.
    Silent,
}

impl Progress {
    /// `what` stands before the bar.
    pub fn new(what: &str) -> Self {
        if std::env::var("HTL_PROGRESS").is_ok_and(|v| v == "lines") {
            return Self::Lines { last: usize::MAX };
        }
        if !tracing::enabled!(tracing::Level::WARN) {
            return Self::Silent;
        }
        Self::Bar(ProgressBar::new(what))
    }

    /// Whether somebody who could see it does not, for want of a terminal.
    pub fn is_hidden(&self) -> bool {
        match self {
            Self::Bar(bar) => bar.is_hidden(),
            Self::Lines { .. } | Self::Silent => false,
        }
    }

    /// `done` of `total`.
    pub fn set(&mut self, done: usize, total: usize) {
        match self {
            Self::Bar(bar) => bar.set(done, total),
            Self::Silent => {}
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

impl Observer for Progress {
    fn on_start(&mut self, start: &Started<'_>) -> Result<(), TrainError> {
        if let Self::Bar(bar) = self {
            return bar.on_start(start);
        }
        self.set(start.done, start.steps);
        Ok(())
    }

    fn on_step(&mut self, step: &Step) -> Result<(), TrainError> {
        self.set(step.done, step.steps);
        Ok(())
    }
}
