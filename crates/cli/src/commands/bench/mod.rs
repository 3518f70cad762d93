//! `htl bench`: one file per measurement.

mod end_to_end;
mod floor;
mod operations;
mod parts;
mod train_step;

use clap::Subcommand;

use super::print;
use crate::device;

/// `htl bench`.
#[derive(Subcommand)]
pub enum Bench {
    /// One optimiser step of a network on random data, loss read back
    TrainStep(train_step::TrainStep),
    /// Single operations, forward and backward
    Operations(operations::Operations),
    /// What this machine can do at best: multiplications and copies per second
    Floor(floor::Floor),
}

impl Bench {
    pub fn run(self, device: device::Choice) -> anyhow::Result<()> {
        match self {
            Self::TrainStep(step) => step.run(&device.open()?),
            Self::Operations(operations) => {
                device.need_cpu("htl bench operations")?;
                operations.run()
            }
            Self::Floor(floor) => {
                device.need_cpu("htl bench floor")?;
                floor.run()
            }
        }
    }
}

/// Where times lie: smallest, quartiles and median, of the numbers themselves.
struct Spread {
    min: f64,
    q1: f64,
    median: f64,
    q3: f64,
}

impl Spread {
    /// Of at least one number, in any order.
    fn of(mut times: Vec<f64>) -> Self {
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

    #[test]
    fn quartiles_are_among_the_numbers() {
        let spread = Spread::of(vec![4.0, 1.0, 3.0, 2.0, 5.0]);
        assert_eq!([spread.min, spread.q1, spread.median, spread.q3], [1.0, 2.0, 3.0, 4.0]);
        let spread = Spread::of(vec![7.0]);
        assert_eq!([spread.min, spread.q1, spread.median, spread.q3], [7.0; 4]);
    }
}
