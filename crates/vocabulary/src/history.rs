//! `history.csv`: what a training looked like after each epoch.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::FormatError;
use crate::whole::write_whole;

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
    /// Validation quality, where it was measured; see [`Setting::validated_by`](crate::Setting).
    pub val_quality: Option<f64>,
}

/// Writes a `history.csv`.
///
/// # Errors
/// [`FormatError::Io`].
pub fn write_history(path: &Path, rows: &[HistoryRow]) -> Result<(), FormatError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter()
        .try_for_each(|row| writer.serialize(row))
        .map_err(std::io::Error::other)
        .and_then(|()| writer.into_inner().map_err(csv::IntoInnerError::into_error))
        .and_then(|bytes| write_whole(path, bytes))
        .map_err(FormatError::NotWritten)
}

/// Reads a `history.csv`.
///
/// # Errors
/// [`FormatError::Csv`] if the file cannot be read, or a cell is no number or not finite.
pub fn read_history(path: &Path) -> Result<Vec<HistoryRow>, FormatError> {
    let wrong = |error: csv::Error| FormatError::Csv {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let rows: Vec<HistoryRow> = csv::Reader::from_path(path)
        .map_err(wrong)?
        .into_deserialize()
        .collect::<Result<_, _>>()
        .map_err(wrong)?;
    let numbers = |row: &HistoryRow| [Some(row.learning_rate), Some(row.train_loss), row.val_quality];
    match rows
        .iter()
        .find(|row| numbers(row).into_iter().flatten().any(|number| !number.is_finite()))
    {
        None => Ok(rows),
        Some(row) => Err(FormatError::Csv {
            path: path.to_owned(),
            reason: format!("epoch {} holds a number that is not finite", row.epoch),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.csv");
        let row = |epoch: usize, val_quality| HistoryRow {
            epoch,
            step: 10 * epoch,
            learning_rate: 1e-3,
            train_loss: 0.123456789,
            val_quality,
        };
        let rows = vec![row(1, None), row(2, Some(0.5))];
        write_history(&path, &rows).unwrap();
        assert_eq!(read_history(&path).unwrap(), rows);
        std::fs::write(&path, "epoch,step\nx,1\n").unwrap();
        assert!(read_history(&path).unwrap_err().to_string().contains("history.csv"));
        let header = "epoch,step,learning_rate,train_loss,val_quality";
        std::fs::write(&path, format!("{header}\n1,10,0.001,0.5,\n2,20,0.001,NaN,0.5\n")).unwrap();
        let said = read_history(&path).unwrap_err().to_string();
        assert!(said.contains("epoch 2") && said.contains("not finite"), "{said}");
    }
}
