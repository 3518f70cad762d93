use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, ensure};
use candle_core::{Device, Tensor};
use clap::Args;
use htl_models::{Checkpoint, Mode, Network};
use serde::Serialize;

use crate::commands::print;

/// `htl bench forward`: networks take turns, so that what else the machine does meets them alike.
#[derive(Args)]
pub struct Forward {
    /// Networks to compare, such as one before and after pruning
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Side of the images in pixels
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Passes of each network, after one that does not count
    #[arg(long, default_value_t = 20)]
    rounds: usize,
}

#[derive(Serialize)]
struct Row {
    checkpoint: PathBuf,
    network: String,
    device: &'static str,
    batch: usize,
    size: usize,
    threads: usize,
    rounds: usize,
    parameters: usize,
    /// For one image.
    multiply_adds: u64,
    /// The median.
    ms: f64,
    ms_q1: f64,
    ms_q3: f64,
    /// The median over rounds of this network's time over the first one's in the same round.
    relative: f64,
}

impl Forward {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        ensure!(
            self.batch >= 1 && self.rounds >= 1,
            "--batch and --rounds must be at least 1"
        );
        let networks: Vec<Network> = self
            .checkpoint
            .iter()
            .map(|path| Ok(Checkpoint::load(path, device)?.1))
            .collect::<anyhow::Result<_>>()?;
        let mut times = vec![Vec::with_capacity(self.rounds); networks.len()];
        let mut images = Vec::new();
        for network in &networks {
            let shape = (self.batch, network.architecture().in_channels(), self.size, self.size);
            images.push(Tensor::randn(0f32, 1.0, shape, &Device::Cpu)?.to_device(device)?);
        }
        for round in 0..=self.rounds {
            for ((network, images), times) in networks.iter().zip(&images).zip(&mut times) {
                device.synchronize()?;
                let start = Instant::now();
                network.outputs(images, Mode::Evaluate)?;
                device.synchronize()?;
                if round > 0 {
                    times.push(start.elapsed().as_secs_f64() * 1e3);
                }
            }
        }
        let first = times.first().cloned().context("--checkpoint names no file")?;
        for ((path, network), times) in self.checkpoint.into_iter().zip(&networks).zip(times) {
            let relative = times.iter().zip(&first).map(|(time, first)| time / first).collect();
            let row = Row {
                checkpoint: path,
                network: network.architecture().to_string(),
                device: htl_device::name(device),
                batch: self.batch,
                size: self.size,
                threads: rayon::current_num_threads(),
                rounds: self.rounds,
                parameters: network.parameters().trainable_count(),
                multiply_adds: network.graph().cost(self.size).multiply_adds,
                ms: quantile(times.clone(), 0.5),
                ms_q1: quantile(times.clone(), 0.25),
                ms_q3: quantile(times, 0.75),
                relative: quantile(relative, 0.5),
            };
            print(&serde_json::to_string(&row)?)?;
        }
        Ok(())
    }
}

/// The value at this share of sorted values, between two of them in proportion.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = share * (values.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    values[low] + (values[high] - values[low]) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between() {
        assert_eq!(quantile(vec![3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(vec![4.0, 1.0], 0.25), 1.75);
        assert_eq!(quantile(vec![4.0], 0.75), 4.0);
    }
}
