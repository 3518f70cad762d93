use candle_core::Tensor;

use crate::TrainError;

/// Losses that are read together: reading one makes the host wait for all work queued on the device.
const TOGETHER: usize = 32;

/// Step losses of one epoch; the most recent are still on the device.
#[derive(Default)]
pub(crate) struct Losses {
    pending: Vec<(usize, Tensor)>,
    sum: f64,
    count: usize,
}

impl Losses {
    /// The losses of an epoch that an earlier run began.
    pub fn restored(sum: f64, count: usize) -> Self {
        Self {
            pending: Vec::new(),
            sum,
            count,
        }
    }

    /// Sum and number of the losses read so far.
    pub fn sum_and_count(&self) -> (f64, usize) {
        (self.sum, self.count)
    }

    /// Takes the loss of a step, a scalar.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] names the first step, this one or one before, whose loss is not finite.
    pub fn add(&mut self, step: usize, loss: &Tensor) -> Result<(), TrainError> {
        self.pending.push((step, loss.detach()));
        if self.pending.len() < TOGETHER {
            return Ok(());
        }
        self.read()
    }

    /// The mean since the last one.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn mean(&mut self) -> Result<f64, TrainError> {
        self.read()?;
        let mean = self.sum / self.count as f64;
        (self.sum, self.count) = (0.0, 0);
        Ok(mean)
    }

    /// Reads what is pending.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn read(&mut self) -> Result<(), TrainError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let (steps, losses): (Vec<usize>, Vec<Tensor>) = self.pending.drain(..).unzip();
        let values = Tensor::stack(&losses, 0)?.to_vec1::<f32>()?;
        for (step, loss) in steps.into_iter().zip(values) {
            if !loss.is_finite() {
                return Err(TrainError::Diverged { step, loss });
            }
            self.sum += f64::from(loss);
            self.count += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    fn scalar(value: f32) -> Tensor {
        Tensor::new(value, &Device::Cpu).unwrap()
    }

    /// The mean has the bits of one that adds every loss as it comes, whatever is pending at an epoch's end.
    #[test]
    fn means_are_those_of_losses_read_one_by_one() {
        let mut losses = Losses::default();
        for epoch in [1usize, 31, 32, 33, 100] {
            let values: Vec<f32> = (0..epoch).map(|i| 1.0 / (i + 3) as f32).collect();
            for (step, value) in values.iter().enumerate() {
                losses.add(step, &scalar(*value)).unwrap();
            }
            let mut sum = 0.0;
            values.iter().for_each(|value| sum += f64::from(*value));
            assert_eq!(losses.mean().unwrap().to_bits(), (sum / epoch as f64).to_bits());
        }
    }

    /// The first bad step is named, although later ones were taken before anything was read.
    #[test]
    fn the_first_bad_step_is_named() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut losses = Losses::default();
            let found = (40..).map(|step| losses.add(step, &scalar(if step < 57 { 0.5 } else { bad })));
            match found.take(TOGETHER).find_map(Result::err) {
                Some(TrainError::Diverged { step: 57, loss }) => assert_eq!(loss.to_bits(), bad.to_bits()),
                other => panic!("{other:?}"),
            }
        }
        let mut losses = Losses::default();
        losses.add(4, &scalar(f32::NAN)).unwrap();
        assert!(matches!(losses.mean(), Err(TrainError::Diverged { step: 4, .. })));
    }

    /// Pending losses hold no graph, and with it no activations.
    #[test]
    fn pending_losses_hold_no_graph() {
        let var = Var::from_tensor(&scalar(2.0)).unwrap();
        let mut losses = Losses::default();
        losses.add(0, &(var.as_tensor() * 3.0).unwrap()).unwrap();
        assert!(!losses.pending[0].1.track_op());
    }
}
