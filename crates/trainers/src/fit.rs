//! The training loop: the only one.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use htl_ops::optim::{AdamW, AdamWParams};
use htl_vocabulary::HistoryRow;

use crate::{
    StopFlag, TrainError,
    losses::Losses,
    observe::{End, Epoch, Observer, Started, Step},
    recipe::Recipe,
};

/// Numbers of the loop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loop {
    /// Gradient steps in all.
    pub steps: usize,
    /// Gradient steps per epoch, at least 1.
    pub per_epoch: usize,
    /// Epochs between two validations; the last epoch is always validated.
    pub validate_every: usize,
    /// Peak of the one-cycle learning rate.
    pub learning_rate: f64,
    /// AdamW's decoupled weight decay.
    pub weight_decay: f64,
    /// Largest norm of the gradient over all parameters.
    pub clip: f64,
    /// Schedule, rates of the encoder, patience.
    pub recipe: Recipe,
}

/// A training as the loop sees it.
pub(crate) trait Task {
    /// The loss of a step, a scalar that depends on the variables.
    fn loss(&mut self, step: usize) -> Result<Tensor, TrainError>;

    /// Called after each optimiser step.
    fn after_step(&mut self, _step: usize) -> Result<(), TrainError> {
        Ok(())
    }

    /// Called after the last step of each epoch, counted from 1.
    fn after_epoch(&mut self, _epoch: usize, _place: EpochPlace) -> Result<(), TrainError> {
        Ok(())
    }

    /// Quality on held-out data, if there are any, after so many steps; higher is better.
    fn validate(&mut self, _step: usize) -> Result<Option<f64>, TrainError> {
        Ok(None)
    }

    /// Keeps all that a later run needs to continue from `position`.
    fn save(&mut self, _position: &Position<'_>) -> Result<(), TrainError> {
        Ok(())
    }
}

/// Whether more epochs follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EpochPlace {
    /// There are more.
    Inner,
    /// It was the last.
    Last,
}

/// Position of the loop between two steps.
pub(crate) struct Position<'a> {
    /// Gradient steps done.
    pub step: usize,
    /// Rows of the epochs done.
    pub history: &'a [HistoryRow],
    /// Losses of the current epoch.
    pub losses: &'a Losses,
    /// The optimiser.
    pub optimizer: &'a AdamW,
}

/// Position at which an earlier run stopped.
#[derive(Default)]
pub(crate) struct Resume {
    /// Gradient steps done.
    pub step: usize,
    /// Rows of the epochs done.
    pub history: Vec<HistoryRow>,
    /// Losses of the epoch that was interrupted.
    pub losses: Losses,
    /// State of the optimiser; empty before the first step.
    pub optimizer: BTreeMap<String, Tensor>,
}

impl Loop {
    /// Optimises the variables until the last step, until nothing gets better, or until `stop` is set. Returns how it ended and
    /// the history.
    pub fn run(
        &self,
        variables: &[(String, Var)],
        task: &mut dyn Task,
        resume: Resume,
        observer: &mut dyn Observer,
        stop: &StopFlag,
    ) -> Result<(End, Vec<HistoryRow>), TrainError> {
        let params = AdamWParams {
            weight_decay: self.weight_decay,
            ..AdamWParams::default()
        };
        let mut optimizer = AdamW::new(variables.to_vec(), params)?;
        if resume.step > 0 {
            optimizer.load_state(&resume.optimizer)?;
        }
        let (mut losses, mut history) = (resume.losses, resume.history);
        let (steps, epochs) = (self.steps, self.steps.div_ceil(self.per_epoch));
        observer.on_start(&Started {
            done: resume.step,
            steps,
            epochs,
            history: &history,
        })?;

        for step in resume.step..steps {
            if step == resume.step || step % self.per_epoch == 0 {
                let epoch = step / self.per_epoch;
                optimizer.set_rate_factors(|name| self.recipe.rate_factor(name, epoch))?;
            }
            let rate = self.recipe.schedule.rate(step, steps, self.learning_rate);
            // A failure may be the consequence of a divergence some steps before.
            self.step(task, &mut optimizer, &mut losses, step, rate)
                .or_else(|error| losses.read().and(Err(error)))?;

            let done = step + 1;
            observer.on_step(&Step {
                done,
                steps,
                learning_rate: rate,
            })?;
            let mut save = false;
            if done % self.per_epoch == 0 || done == steps {
                let epoch = done.div_ceil(self.per_epoch);
                let validated = epoch % self.validate_every == 0 || done == steps;
                let train_loss = losses.mean()?;
                let place = match done == steps {
                    true => EpochPlace::Last,
                    false => EpochPlace::Inner,
                };
                task.after_epoch(epoch, place)?;
                let row = HistoryRow {
                    epoch,
                    step: done,
                    learning_rate: rate,
                    train_loss,
                    val_quality: if validated { task.validate(done)? } else { None },
                };
                tracing::info!(
                    epoch,
                    step = done,
                    loss = row.train_loss,
                    quality = row.val_quality,
                    "epoch done"
                );
                observer.on_epoch(&Epoch {
                    row: &row,
                    steps,
                    epochs,
                })?;
                history.push(row);
                save = validated;
            }
            let ends = save && self.recipe.ends_after(&history);
            let stopped = done < steps && !ends && stop.is_set();
            if save || stopped {
                losses.read()?;
                task.save(&Position {
                    step: done,
                    history: &history,
                    losses: &losses,
                    optimizer: &optimizer,
                })?;
            }
            if ends {
                break;
            }
            if stopped {
                let end = End::Stopped { step: done };
                observer.on_end(end)?;
                return Ok((end, history));
            }
        }
        observer.on_end(End::Finished)?;
        Ok((End::Finished, history))
    }

    /// One gradient step. Nothing here may wait for the device: it works on what it was given before.
    fn step(
        &self,
        task: &mut dyn Task,
        optimizer: &mut AdamW,
        losses: &mut Losses,
        step: usize,
        rate: f64,
    ) -> Result<(), TrainError> {
        let loss = task.loss(step)?;
        let mut gradients = htl_ops::backward(&loss)?;
        losses.add(step, &loss)?;
        optimizer.step_clipped(&mut gradients, rate, self.clip)?;
        task.after_step(step)
    }
}
