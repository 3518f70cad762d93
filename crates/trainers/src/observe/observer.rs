use htl_vocabulary::HistoryRow;

use crate::TrainError;

/// A training that starts, or continues.
#[derive(Debug, Clone, Copy)]
pub struct Started<'a> {
    /// Gradient steps done in earlier runs.
    pub done: usize,
    /// Gradient steps in all.
    pub steps: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// The rows of the epochs done in earlier runs.
    pub history: &'a [HistoryRow],
}

/// A gradient step that was given to the device.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Gradient steps done, this one included.
    pub done: usize,
    /// Gradient steps in all.
    pub steps: usize,
    /// Its learning rate.
    pub learning_rate: f64,
}

/// An epoch that is done.
#[derive(Debug, Clone, Copy)]
pub struct Epoch<'a> {
    /// Its row in the history.
    pub row: &'a HistoryRow,
    /// Gradient steps in all.
    pub steps: usize,
    /// Epochs in all.
    pub epochs: usize,
}

impl Epoch<'_> {
    /// Named numbers of the epoch: `train_loss`, `learning_rate`, and `val_quality` where it was measured.
    pub fn metrics(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let row = self.row;
        [
            ("train_loss", Some(row.train_loss)),
            ("learning_rate", Some(row.learning_rate)),
            ("val_quality", row.val_quality),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// Reason why a run of a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// After its last step.
    Finished,
    /// Early, as a [`StopFlag`](crate::StopFlag) asked.
    Stopped {
        /// Gradient steps done.
        step: usize,
    },
}

/// Receives events of a training. An error ends the training.
pub trait Observer {
    /// Called once, before the first step.
    ///
    /// # Errors
    /// Whatever the observer cannot do.
    fn on_start(&mut self, _start: &Started<'_>) -> Result<(), TrainError> {
        Ok(())
    }

    /// Called after each gradient step. On a GPU the step may still be running.
    ///
    /// # Errors
    /// Whatever the observer cannot do.
    fn on_step(&mut self, _step: &Step) -> Result<(), TrainError> {
        Ok(())
    }

    /// Called after each epoch.
    ///
    /// # Errors
    /// Whatever the observer cannot do.
    fn on_epoch(&mut self, _epoch: &Epoch<'_>) -> Result<(), TrainError> {
        Ok(())
    }

    /// Called once, unless the training fails.
    ///
    /// # Errors
    /// Whatever the observer cannot do.
    fn on_end(&mut self, _end: End) -> Result<(), TrainError> {
        Ok(())
    }
}

/// Observes nothing.
impl Observer for () {}

/// Several observers, called in order.
#[derive(Default)]
pub struct Observers<'a>(Vec<Box<dyn Observer + 'a>>);

impl<'a> Observers<'a> {
    /// No observer yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, observer: impl Observer + 'a) -> Self {
        self.0.push(Box::new(observer));
        self
    }
}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn on_start(&mut self, start: &Started<'_>) -> Result<(), TrainError> {
        (**self).on_start(start)
    }

    fn on_step(&mut self, step: &Step) -> Result<(), TrainError> {
        (**self).on_step(step)
    }

    fn on_epoch(&mut self, epoch: &Epoch<'_>) -> Result<(), TrainError> {
        (**self).on_epoch(epoch)
    }

    fn on_end(&mut self, end: End) -> Result<(), TrainError> {
        (**self).on_end(end)
    }
}

impl Observer for Observers<'_> {
    fn on_start(&mut self, start: &Started<'_>) -> Result<(), TrainError> {
        self.0.iter_mut().try_for_each(|o| o.on_start(start))
    }

    fn on_step(&mut self, step: &Step) -> Result<(), TrainError> {
        self.0.iter_mut().try_for_each(|o| o.on_step(step))
    }

    fn on_epoch(&mut self, epoch: &Epoch<'_>) -> Result<(), TrainError> {
        self.0.iter_mut().try_for_each(|o| o.on_epoch(epoch))
    }

    fn on_end(&mut self, end: End) -> Result<(), TrainError> {
        self.0.iter_mut().try_for_each(|o| o.on_end(end))
    }
}
