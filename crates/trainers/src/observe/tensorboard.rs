use std::{
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{
    event_file::{Event, EventFile},
    observer::{Epoch, Observer, Started},
};
use crate::TrainError;

/// Writes scalars for TensorBoard, per epoch and at its last gradient step: `train/loss`, `train/learning_rate`, and
/// `validation/<measure>` where it was measured.
///
/// Each run of a training writes a file of its own, `events.out.tfevents.<seconds>.<host>.<pid>`. A training that is
/// continued writes the epochs after the state that it continues from; TensorBoard then drops what an earlier run wrote
/// beyond that state. Give each training a folder of its own: in a folder with another one's files, the last one is shown.
///
/// Read by TensorBoard 2.21; records have the bytes that its own protocol buffers give.
pub struct TensorBoard {
    folder: PathBuf,
    validation: String,
    clock: Box<dyn FnMut() -> f64>,
    file: Option<EventFile>,
}

impl TensorBoard {
    /// Writes into `folder`, which is made if it is absent. `measure` says what validation measures, such as `Jaccard` or
    /// `balanced class accuracy` ([`Setting::validated_by`](htl_vocabulary::Setting)); the tag has it in lower case, with
    /// underscores.
    pub fn new(folder: impl Into<PathBuf>, measure: &str) -> Self {
        Self {
            folder: folder.into(),
            validation: format!("validation/{}", measure.to_lowercase().replace(' ', "_")),
            clock: Box::new(seconds_since_1970),
            file: None,
        }
    }
}

impl Observer for TensorBoard {
    fn on_start(&mut self, start: &Started<'_>) -> Result<(), TrainError> {
        let mut file = EventFile::create(&self.folder, (self.clock)())?;
        file.write(&Event::start((self.clock)(), start.done + 1))?;
        self.file = Some(file);
        Ok(())
    }

    fn on_epoch(&mut self, epoch: &Epoch<'_>) -> Result<(), TrainError> {
        let row = epoch.row;
        let scalars = [
            ("train/loss", Some(row.train_loss)),
            ("train/learning_rate", Some(row.learning_rate)),
            (self.validation.as_str(), row.val_quality),
        ];
        let scalars = scalars.into_iter().filter_map(|(tag, value)| Some((tag, value?)));
        match &mut self.file {
            Some(file) => file.write(&Event::scalars((self.clock)(), row.step, scalars)),
            None => Ok(()),
        }
    }
}

fn seconds_since_1970() -> f64 {
    // A clock set before 1970 is no reason not to train.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{HistoryRow, observe::event_file::tests::shown_steps};

    fn row(step: usize, train_loss: f64, learning_rate: f64, val_quality: Option<f64>) -> HistoryRow {
        HistoryRow {
            epoch: step.div_ceil(25),
            step,
            learning_rate,
            train_loss,
            val_quality,
        }
    }

    /// One run of a training of 300 steps.
    fn run(observer: &mut TensorBoard, done: usize, rows: &[HistoryRow]) {
        let start = Started {
            done,
            steps: 300,
            epochs: 12,
            history: &[],
        };
        observer.on_start(&start).unwrap();
        for row in rows {
            let epoch = Epoch {
                row,
                steps: 300,
                epochs: 12,
            };
            observer.on_epoch(&epoch).unwrap();
        }
    }

    /// The same bytes as TensorBoard's own protocol buffers and record writer give (`tests/golden/make_tensorboard.py`,
    /// tensorboard 2.21.0).
    #[test]
    fn files_equal_those_of_tensorboard() {
        let folder = tempfile::tempdir().unwrap();
        let mut observer = TensorBoard::new(folder.path(), "Jaccard");
        let mut now = 1_700_000_000.25 - 0.5;
        observer.clock = Box::new(move || {
            now += 0.5;
            now
        });
        let rows = [
            row(25, 0.7, 1e-3, None),
            row(50, 0.1, 4e-3, Some(0.8125)),
            row(300, 0.0, 0.0, Some(0.0)),
        ];
        run(&mut observer, 0, &rows);
        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(files.len(), 1);
        let written = fs::read(files[0].as_ref().unwrap().path()).unwrap();
        assert_eq!(written, include_bytes!("../../tests/golden/tensorboard.tfevents"));
    }

    /// A run that was killed had written an epoch beyond its saved state: the run that continues from there makes it
    /// again, and it is shown once.
    #[test]
    fn continued_trainings_repeat_no_step() {
        let folder = tempfile::tempdir().unwrap();
        let rows: Vec<_> = (1..=4).map(|epoch| row(25 * epoch, 0.5, 1e-3, Some(0.5))).collect();
        run(&mut TensorBoard::new(folder.path(), "box IoU"), 0, &rows[..3]);
        run(&mut TensorBoard::new(folder.path(), "box IoU"), 50, &rows[2..]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        for tag in ["train/loss", "train/learning_rate", "validation/box_iou"] {
            assert_eq!(shown_steps(folder.path(), tag), [25, 50, 75, 100], "{tag}");
        }
    }

    /// A folder that cannot be made ends the training before its first step, and the message names it.
    #[test]
    fn a_bad_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("taken");
        fs::write(&taken, "").unwrap();
        let start = Started {
            done: 0,
            steps: 1,
            epochs: 1,
            history: &[],
        };
        let error = TensorBoard::new(&taken, "Jaccard").on_start(&start).unwrap_err();
        assert!(error.to_string().contains(&taken.display().to_string()), "{error}");
    }
}
