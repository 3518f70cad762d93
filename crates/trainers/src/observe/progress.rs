use indicatif::ProgressStyle;

use super::observer::{End, Observer, Started, Step};
use crate::TrainError;

/// A progress bar on standard error with speed and remaining time; hidden where that is not a terminal.
#[derive(Debug)]
pub struct ProgressBar(indicatif::ProgressBar);

impl ProgressBar {
    /// A bar with `what` in front of it.
    #[must_use]
    pub fn new(what: &str) -> Self {
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {per_sec}, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = indicatif::ProgressBar::new(0).with_style(style);
        Self(bar.with_prefix(what.to_owned()))
    }

    /// Shows `done` of `total`; a full bar is removed.
    pub fn set(&self, done: usize, total: usize) {
        self.0.set_length(total as u64);
        self.0.set_position(done as u64);
        if done == total {
            self.0.finish_and_clear();
        }
    }

    /// Returns whether nothing is shown, for lack of a terminal.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.0.is_hidden()
    }
}

impl Observer for ProgressBar {
    fn on_start(&mut self, start: &Started<'_>) -> Result<(), TrainError> {
        self.set(start.done, start.steps);
        // Steps of earlier runs say nothing about the speed of this one.
        self.0.reset_eta();
        Ok(())
    }

    fn on_step(&mut self, step: &Step) -> Result<(), TrainError> {
        self.set(step.done, step.steps);
        Ok(())
    }

    fn on_end(&mut self, _end: End) -> Result<(), TrainError> {
        self.0.finish_and_clear();
        Ok(())
    }
}

/// Calls a closure with (steps done, steps in all): at the start and after each step.
pub fn on_progress(f: impl FnMut(usize, usize)) -> impl Observer {
    Calls(f)
}

struct Calls<F>(F);

impl<F: FnMut(usize, usize)> Observer for Calls<F> {
    fn on_start(&mut self, start: &Started<'_>) -> Result<(), TrainError> {
        (self.0)(start.done, start.steps);
        Ok(())
    }

    fn on_step(&mut self, step: &Step) -> Result<(), TrainError> {
        (self.0)(step.done, step.steps);
        Ok(())
    }
}
