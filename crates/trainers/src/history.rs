use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{TrainError, files::write as write_file};

/// One row of `history.csv`: what a training looked like after an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// Epochs done, counted from 1.
    pub epoch: usize,
    /// Gradient steps done.
    pub step: usize,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Mean training loss over the epoch.
    pub train_loss: f64,
    /// Validation quality, where it was measured: see [`crate::quality`].
    pub val_quality: Option<f64>,
}

pub(crate) fn write(path: &Path, rows: &[HistoryRow]) -> Result<(), TrainError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let bytes = rows
        .iter()
        .try_for_each(|row| writer.serialize(row))
        .map_err(std::io::Error::other)
        .and_then(|()| writer.into_inner().map_err(|e| std::io::Error::other(e.to_string())))
        .map_err(TrainError::Write)?;
    write_file(path, &bytes)
}

/// Reads a `history.csv`.
///
/// # Errors
/// [`TrainError::State`] if the file cannot be read.
pub fn read_history(path: &Path) -> Result<Vec<HistoryRow>, TrainError> {
    let state = |e: csv::Error| TrainError::State {
        path: path.to_owned(),
        message: e.to_string(),
    };
    csv::Reader::from_path(path)
        .map_err(state)?
        .into_deserialize()
        .collect::<Result<_, _>>()
        .map_err(state)
}
