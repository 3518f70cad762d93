use std::{
    io::Write,
    time::{Duration, Instant},
};

use super::observer::{Epoch, Observer, Started};
use crate::TrainError;

/// Writes a line per epoch: loss, validation quality where it was measured, and the time left. For logs that nobody
/// watches as a bar.
///
/// ```text
/// epoch 3 of 20, step 75 of 500: loss 0.4321, validation quality 0.8123, 2 min 10 s left
/// ```
pub struct EpochLog<W> {
    out: W,
    started: Instant,
    done_before: usize,
}

impl<W: Write> EpochLog<W> {
    /// Writes to `out`, such as standard error.
    pub fn new(out: W) -> Self {
        Self {
            out,
            started: Instant::now(),
            done_before: 0,
        }
    }

    fn left(&self, done: usize, steps: usize) -> Duration {
        let here = done.saturating_sub(self.done_before).max(1);
        self.started
            .elapsed()
            .mul_f64(steps.saturating_sub(done) as f64 / here as f64)
    }
}

impl<W: Write> Observer for EpochLog<W> {
    fn on_start(&mut self, start: &Started<'_>) -> Result<(), TrainError> {
        self.started = Instant::now();
        self.done_before = start.done;
        Ok(())
    }

    fn on_epoch(&mut self, epoch: &Epoch<'_>) -> Result<(), TrainError> {
        let row = epoch.row;
        let quality = match row.val_quality {
            Some(quality) => format!(", validation quality {quality:.4}"),
            None => String::new(),
        };
        let left = in_words(self.left(row.step, epoch.steps));
        // A reader that went away is no reason to stop training.
        let _ = writeln!(
            self.out,
            "epoch {} of {}, step {} of {}: loss {:.4}{quality}, {left} left",
            row.epoch, epoch.epochs, row.step, epoch.steps, row.train_loss
        );
        Ok(())
    }
}

/// Two units at most: `1 h 5 min`, `2 min 10 s`, `7 s`.
fn in_words(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, min, s) => format!("{min} min {s} s"),
        (h, min, _) => format!("{h} h {min} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HistoryRow;

    #[test]
    fn a_line_says_loss_quality_and_time_left() {
        let mut written = Vec::new();
        let mut log = EpochLog::new(&mut written);
        let start = Started {
            done: 10,
            steps: 40,
            epochs: 4,
            history: &[],
        };
        log.on_start(&start).unwrap();
        for (epoch, val_quality) in [(2, Some(0.75)), (3, None)] {
            let row = HistoryRow {
                epoch,
                step: 10 * epoch,
                learning_rate: 1e-3,
                train_loss: 0.5,
                val_quality,
            };
            let done = Epoch {
                row: &row,
                steps: 40,
                epochs: 4,
            };
            log.on_epoch(&done).unwrap();
        }
        let text = String::from_utf8(written).unwrap();
        assert_eq!(
            text,
            "epoch 2 of 4, step 20 of 40: loss 0.5000, validation quality 0.7500, 0 s left\n\
             epoch 3 of 4, step 30 of 40: loss 0.5000, 0 s left\n"
        );
    }

    /// The time left is judged by the steps of this run, not by those of earlier ones.
    #[test]
    fn time_left_counts_from_where_the_run_started() {
        let mut log = EpochLog::new(Vec::new());
        log.started = Instant::now() - Duration::from_secs(10);
        log.done_before = 90;
        let left = log.left(95, 100).as_secs_f64();
        assert!((left - 10.0).abs() < 1.0, "{left}");
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let words = [7, 130, 3900].map(|s| in_words(Duration::from_secs(s)));
        assert_eq!(words, ["7 s", "2 min 10 s", "1 h 5 min"]);
    }
}
