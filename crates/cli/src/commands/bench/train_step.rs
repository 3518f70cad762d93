use std::time::Instant;

use anyhow::{bail, ensure};
use candle_core::{Device, Tensor};
use clap::{Args, Subcommand};
use htl_models::{Architecture, Mode, Network, UNetConfig};
use htl_ops::optim::{AdamW, AdamWParams};
use serde::Serialize;

use super::print;

/// `htl bench`.
#[derive(Subcommand)]
pub enum Bench {
    /// One optimiser step of the reference U-Net on random data, loss read back
    TrainStep(TrainStep),
}

/// `htl bench train-step`.
#[derive(Args)]
pub struct TrainStep {
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Side of the images in pixels
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Channels of the first block
    #[arg(long, default_value_t = 16)]
    width: usize,
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// f32; bf16 needs CUDA
    #[arg(long, default_value = "f32")]
    dtype: String,
}

#[derive(Serialize)]
struct Row {
    device: &'static str,
    batch: usize,
    size: usize,
    width: usize,
    dtype: String,
    threads: usize,
    steps: usize,
    ms_per_step: f64,
    images_per_second: f64,
    /// Peak resident memory of the process above what it held before the network was built.
    peak_bytes: u64,
}

impl Bench {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        match self {
            Self::TrainStep(step) => step.run(device),
        }
    }
}

impl TrainStep {
    fn run(self, device: &Device) -> anyhow::Result<()> {
        if self.dtype != "f32" {
            bail!("--dtype {}: this build trains in f32 only", self.dtype);
        }
        ensure!(
            self.batch >= 1 && self.steps >= 1,
            "--batch and --steps must be at least 1"
        );
        ensure!(
            self.size >= 8 && self.size.is_multiple_of(8),
            "--size must be a multiple of 8, found {}",
            self.size
        );
        let idle = peak_resident_bytes();
        let network = Network::build(
            &Architecture::UNet(UNetConfig {
                width: self.width,
                ..UNetConfig::default()
            }),
            0,
            device,
        )?;
        let mut optimizer = AdamW::new(network.parameters().trainable().to_vec(), AdamWParams::default())?;
        let x = Tensor::randn(0f32, 1.0, (self.batch, 3, self.size, self.size), device)?;
        let y = Tensor::rand(0f32, 1.0, (self.batch, 1, self.size, self.size), device)?.round()?;
        let mut times = Vec::with_capacity(self.steps);
        for _ in 0..self.steps {
            let start = Instant::now();
            let loss = htl_ops::bce_with_logits(&network.forward(&x, Mode::Train)?, &y, None)?.mean_all()?;
            optimizer.step(&loss.backward()?, 1e-3)?;
            loss.to_scalar::<f32>()?;
            times.push(start.elapsed().as_secs_f64());
        }
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let row = Row {
            device: crate::device::name(device),
            batch: self.batch,
            size: self.size,
            width: self.width,
            dtype: self.dtype,
            threads: rayon::current_num_threads(),
            steps: self.steps,
            ms_per_step: median * 1e3,
            images_per_second: self.batch as f64 / median,
            peak_bytes: peak_resident_bytes().saturating_sub(idle),
        };
        print(&serde_json::to_string(&row)?)?;
        Ok(())
    }
}

/// Peak resident memory of this process, 0 where the system does not say.
fn peak_resident_bytes() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|l| l.starts_with("VmHWM:"))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok()
        })
        .map_or(0, |kib| kib * 1024)
}
