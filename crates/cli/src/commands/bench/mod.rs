//! `htl bench`: how fast this machine trains and predicts.

mod forward;
mod step;

use candle_core::Device;
use clap::Subcommand;

/// `htl bench`.
#[derive(Subcommand)]
pub enum Bench {
    /// One optimiser step of a localizer on random data, as one line of JSON
    TrainStep(step::Step),
    /// The same with forward passes in evaluation mode in the place of steps
    EvaluateStep(step::Step),
    /// Forward passes of one or several checkpoints in turn on random data, each as one line of JSON
    Forward(forward::Forward),
}

impl Bench {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        match self {
            Self::TrainStep(step) => step.train(device),
            Self::EvaluateStep(step) => step.evaluate(device),
            Self::Forward(forward) => forward.run(device),
        }
    }
}
