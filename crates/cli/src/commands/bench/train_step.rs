//! One optimiser step: forward, loss, backward, AdamW, loss read back.

use std::time::Instant;

use anyhow::{bail, ensure};
use candle_core::{DType, Device, Tensor};
use clap::{Args, ValueEnum};
use htl_models::{MobileNetV2, Mode, Parameters, UNet, UNetConfig};
use htl_ops::optim::{AdamW, AdamWParams};
use serde::Serialize;

use super::{Spread, print};

/// `htl bench train-step`.
#[derive(Args)]
pub struct TrainStep {
    /// unet (loss: binary cross entropy) or mobilenet-v2 (its features; loss: mean of their squares)
    #[arg(long, default_value = "unet", hide_possible_values = true)]
    network: Choice,
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Side of the images in pixels
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Channels of the U-Net's first block
    #[arg(long, default_value_t = 16)]
    width: usize,
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// f32; bf16 needs CUDA
    #[arg(long, default_value = "f32")]
    dtype: String,
}

#[derive(Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Choice {
    Unet,
    #[value(name = "mobilenet-v2")]
    #[serde(rename = "mobilenet-v2")]
    MobileNetV2,
}

enum Network {
    UNet(UNet),
    MobileNetV2(MobileNetV2),
}

impl Network {
    fn parameters(&self) -> &Parameters {
        match self {
            Self::UNet(network) => network.parameters(),
            Self::MobileNetV2(network) => network.parameters(),
        }
    }

    /// The loss of one pass; `target` is for the U-Net.
    fn loss(&self, images: &Tensor, target: &Tensor) -> anyhow::Result<Tensor> {
        Ok(match self {
            Self::UNet(network) => {
                htl_ops::bce_with_logits(&network.forward(images, Mode::Train)?, target, None)?.mean_all()?
            }
            Self::MobileNetV2(network) => network.forward(images, Mode::Train)?.sqr()?.mean_all()?,
        })
    }
}

#[derive(Serialize)]
struct Row {
    network: Choice,
    device: &'static str,
    batch: usize,
    size: usize,
    /// Of the U-Net's first block.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<usize>,
    dtype: String,
    threads: usize,
    steps: usize,
    /// The median.
    ms_per_step: f64,
    ms_min: f64,
    ms_q1: f64,
    ms_q3: f64,
    images_per_second: f64,
    /// Peak resident memory of the process above what it held before the network was built.
    peak_bytes: u64,
}

impl TrainStep {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        if self.dtype != "f32" {
            bail!("--dtype {}: this build trains in f32 only", self.dtype);
        }
        ensure!(
            self.batch >= 1 && self.steps >= 1,
            "--batch and --steps must be at least 1"
        );
        ensure!(self.size >= 1, "--size must be at least 1");
        let idle = peak_resident_bytes();
        let network = match self.network {
            Choice::Unet => {
                ensure!(
                    self.size.is_multiple_of(8),
                    "--size must be a multiple of 8, found {}",
                    self.size
                );
                let config = UNetConfig {
                    width: self.width,
                    ..UNetConfig::default()
                };
                Network::UNet(UNet::new(&config, 0, DType::F32, device)?)
            }
            Choice::MobileNetV2 => Network::MobileNetV2(MobileNetV2::new(0, DType::F32, device)?),
        };
        let mut optimizer = AdamW::new(network.parameters().trainable().to_vec(), AdamWParams::default())?;
        let x = Tensor::randn(0f32, 1.0, (self.batch, 3, self.size, self.size), device)?;
        let y = Tensor::rand(0f32, 1.0, (self.batch, 1, self.size, self.size), device)?.round()?;
        let mut times = Vec::with_capacity(self.steps);
        for _ in 0..self.steps {
            let start = Instant::now();
            let loss = network.loss(&x, &y)?;
            optimizer.step(&loss.backward()?, 1e-3)?;
            loss.to_scalar::<f32>()?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        let spread = Spread::of(times);
        let row = Row {
            network: self.network,
            device: crate::device::name(device),
            batch: self.batch,
            size: self.size,
            width: matches!(self.network, Choice::Unet).then_some(self.width),
            dtype: self.dtype,
            threads: rayon::current_num_threads(),
            steps: self.steps,
            ms_per_step: spread.median,
            ms_min: spread.min,
            ms_q1: spread.q1,
            ms_q3: spread.q3,
            images_per_second: self.batch as f64 / spread.median * 1e3,
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
