use std::path::PathBuf;

use htl_vocabulary::{HistoryRow, write_history};

use super::observer::{End, Epoch, Observer, Started};
use crate::TrainError;

/// Writes `history.csv`, a row per epoch: after each epoch with a validation quality, and at the end.
#[derive(Debug)]
pub struct HistoryCsv {
    path: PathBuf,
    rows: Vec<HistoryRow>,
}

impl HistoryCsv {
    /// Writes to `path`, whole each time.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            rows: Vec::new(),
        }
    }
}

impl Observer for HistoryCsv {
    fn on_start(&mut self, start: &Started<'_>) -> Result<(), TrainError> {
        self.rows = start.history.to_vec();
        Ok(())
    }

    fn on_epoch(&mut self, epoch: &Epoch<'_>) -> Result<(), TrainError> {
        self.rows.push(epoch.row.clone());
        match epoch.row.val_quality {
            // The last epoch's is written at the end.
            Some(_) if epoch.row.step < epoch.steps => Ok(write_history(&self.path, &self.rows)?),
            _ => Ok(()),
        }
    }

    fn on_end(&mut self, _end: End) -> Result<(), TrainError> {
        Ok(write_history(&self.path, &self.rows)?)
    }
}
