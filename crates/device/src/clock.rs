use std::time::Instant;

use candle_core::{Device, Tensor};
use serde::Serialize;

/// How steps are timed on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Steps that do not count: a GPU's libraries try out algorithms.
    warm_up: usize,
    /// Steps between two looks at the clock: the host waits for a GPU once in a block, and not in a step.
    block: usize,
    blocks: usize,
}

/// Times of steps: of single ones on the CPU, of blocks of them on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepTimes {
    /// The median.
    pub ms_per_step: f64,
    /// The shortest.
    pub ms_min: f64,
    /// The first quartile.
    pub ms_q1: f64,
    /// The third quartile.
    pub ms_q3: f64,
    /// At the median.
    pub images_per_second: f64,
}

impl Clock {
    /// `steps` steps, one by one on the CPU; on a GPU in blocks of at most ten, as many as hold them all, after fifteen that do
    /// not count.
    #[must_use]
    pub fn of(device: &Device, steps: usize) -> Self {
        if device.is_cpu() {
            return Self {
                warm_up: 0,
                block: 1,
                blocks: steps,
            };
        }
        let block = steps.clamp(1, 10);
        Self {
            warm_up: 15,
            block,
            blocks: steps.div_ceil(block),
        }
    }

    /// Steps whose time counts.
    #[must_use]
    pub fn steps(self) -> usize {
        self.blocks * self.block
    }

    /// All steps, with those that do not count.
    #[must_use]
    pub fn all_steps(self) -> usize {
        self.warm_up + self.steps()
    }

    /// Steps that are timed together, where that is more than one.
    #[must_use]
    pub fn block(self) -> Option<usize> {
        (self.block > 1).then_some(self.block)
    }

    /// Runs and times the steps, on `batch` images each. `step` is given the step's number, counted from 0 with those that do
    /// not count, and gives its loss, which is read back at a block's end.
    ///
    /// # Errors
    /// Those of the step, and of candle.
    pub fn time<E: From<candle_core::Error>>(
        self,
        device: &Device,
        batch: usize,
        mut step: impl FnMut(usize) -> Result<Tensor, E>,
    ) -> Result<StepTimes, E> {
        for index in 0..self.warm_up {
            step(index)?;
        }
        device.synchronize()?;
        let mut times = Vec::with_capacity(self.blocks);
        for block in 0..self.blocks {
            let first = self.warm_up + block * self.block;
            let start = Instant::now();
            let mut loss = step(first)?;
            for index in first + 1..first + self.block {
                loss = step(index)?;
            }
            loss.to_scalar::<f32>()?;
            device.synchronize()?;
            times.push(start.elapsed().as_secs_f64() * 1e3 / self.block as f64);
        }
        let spread = Spread::of(times);
        Ok(StepTimes {
            ms_per_step: spread.median,
            ms_min: spread.min,
            ms_q1: spread.q1,
            ms_q3: spread.q3,
            images_per_second: batch as f64 / spread.median * 1e3,
        })
    }
}

/// Where times lie: smallest, quartiles and median, of the numbers themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The first quartile.
    pub q1: f64,
    /// The median; of two in the middle the larger.
    pub median: f64,
    /// The third quartile.
    pub q3: f64,
}

impl Spread {
    /// Of numbers in any order; NaN if there are none.
    #[must_use]
    pub fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let at = |quarter: usize| times.get(times.len() * quarter / 4).copied().unwrap_or(f64::NAN);
        Self {
            min: at(0),
            q1: at(1),
            median: at(2),
            q3: at(3),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every step is asked for once, in order, and only those of blocks count.
    #[test]
    fn warm_up_and_blocks_are_one_row_of_steps() {
        let loss = Tensor::new(0.5f32, &Device::Cpu).unwrap();
        let clock = Clock {
            warm_up: 3,
            block: 4,
            blocks: 2,
        };
        let mut asked = Vec::new();
        let times = clock
            .time(&Device::Cpu, 6, |index| {
                asked.push(index);
                Ok::<_, candle_core::Error>(loss.clone())
            })
            .unwrap();
        assert_eq!(asked, (0..11).collect::<Vec<_>>());
        assert_eq!([clock.steps(), clock.all_steps()], [8, 11]);
        assert!((times.images_per_second * times.ms_per_step / 6e3 - 1.0).abs() < 1e-9);
        assert_eq!(Clock::of(&Device::Cpu, 5).all_steps(), 5);
        assert_eq!(Clock::of(&Device::Cpu, 5).block(), None);
    }

    #[test]
    fn quartiles_are_among_the_numbers() {
        let spread = Spread::of(vec![4.0, 1.0, 3.0, 2.0, 5.0]);
        assert_eq!([spread.min, spread.q1, spread.median, spread.q3], [1.0, 2.0, 3.0, 4.0]);
        let spread = Spread::of(vec![7.0]);
        assert_eq!([spread.min, spread.q1, spread.median, spread.q3], [7.0; 4]);
        assert!(Spread::of(Vec::new()).median.is_nan());
    }
}
