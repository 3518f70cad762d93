//! One optimiser step: forward, loss, backward, AdamW; the loss read back after each, on a GPU after each block of them.

use std::time::Instant;

use anyhow::ensure;
use candle_core::{DType, Device, Tensor};
use clap::{Args, ValueEnum};
use htl_models::{MobileNetV2, Mode, Parameters, UNet, UNetConfig};
use htl_ops::{
    Precision,
    optim::{AdamW, AdamWParams},
};
use serde::Serialize;

use super::{Spread, end_to_end, parts, print};

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
    /// f32, tf32 or bf16; the last two need CUDA
    #[arg(long, default_value = "f32", value_parser = parse_precision)]
    dtype: Precision,
    /// Also steps of the U-Net fed with augmented batches as a training makes them
    #[arg(long)]
    end_to_end: bool,
    /// Also each operation of the U-Net's step alone, beside the least time this device could take
    #[arg(long)]
    by_operation: bool,
}

fn parse_precision(text: &str) -> Result<Precision, String> {
    [Precision::F32, Precision::Tf32, Precision::Bf16]
        .into_iter()
        .find(|precision| precision.to_string() == text)
        .ok_or_else(|| format!("unknown type `{text}`: choose f32, tf32 or bf16"))
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
    dtype: Precision,
    threads: usize,
    /// Those whose time counts.
    steps: usize,
    /// Of a GPU the steps that are timed together; its times are means of such blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<usize>,
    #[serde(flatten)]
    times: Times,
    /// On the CPU the peak of the process's resident memory above what it held before the network was built, on CUDA that
    /// of the device's memory in use; null on Metal.
    peak_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_to_end: Option<EndToEnd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by_operation: Option<parts::Parts>,
}

#[derive(Serialize)]
struct Times {
    /// The median.
    ms_per_step: f64,
    ms_min: f64,
    ms_q1: f64,
    ms_q3: f64,
    images_per_second: f64,
}

/// Steps fed by the batch pipeline.
#[derive(Serialize)]
struct EndToEnd {
    #[serde(flatten)]
    times: Times,
    /// Median time over that of the step alone; 1 if making batches costs nothing.
    over_step_alone: f64,
    /// Making one batch on the host, nothing else running.
    batch_ms: f64,
}

/// How steps are timed on a device.
#[derive(Clone, Copy)]
struct Clock {
    /// Steps that do not count: a GPU's libraries try out algorithms.
    warm_up: usize,
    /// Steps between two looks at the clock: the host waits for a GPU once in a block, and not in a step.
    block: usize,
    blocks: usize,
}

impl Clock {
    fn of(device: &Device, steps: usize) -> Self {
        if device.is_cpu() {
            return Self {
                warm_up: 0,
                block: 1,
                blocks: steps,
            };
        }
        let block = steps.min(10);
        Self {
            warm_up: 15,
            block,
            blocks: steps.div_ceil(block),
        }
    }

    fn steps(self) -> usize {
        self.blocks * self.block
    }

    /// Milliseconds per step. `step` gives its loss, which is read back at a block's end.
    fn time(
        self,
        device: &Device,
        batch: usize,
        mut step: impl FnMut(usize) -> anyhow::Result<Tensor>,
    ) -> anyhow::Result<Times> {
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
        Ok(Times {
            ms_per_step: spread.median,
            ms_min: spread.min,
            ms_q1: spread.q1,
            ms_q3: spread.q3,
            images_per_second: batch as f64 / spread.median * 1e3,
        })
    }
}

impl TrainStep {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        let name = crate::device::name(device);
        ensure!(
            self.dtype == Precision::F32 || device.is_cuda(),
            "--dtype {} needs --device cuda, but the device is {name}",
            self.dtype
        );
        ensure!(
            self.batch >= 1 && self.steps >= 1,
            "--batch and --steps must be at least 1"
        );
        ensure!(self.size >= 1, "--size must be at least 1");
        let is_unet = matches!(self.network, Choice::Unet);
        ensure!(is_unet || !self.end_to_end, "--end-to-end is for --network unet");
        ensure!(is_unet || !self.by_operation, "--by-operation is for --network unet");
        let idle = peak_resident_bytes();
        let network = self.build(device)?;
        let mut optimizer = AdamW::new(network.parameters().trainable().to_vec(), AdamWParams::default())?;
        // Drawn by the CPU, for one distribution on all devices.
        let x = Tensor::randn(0f32, 1.0, (self.batch, 3, self.size, self.size), &Device::Cpu)?.to_device(device)?;
        let y = Tensor::rand(0f32, 1.0, (self.batch, 1, self.size, self.size), &Device::Cpu)?
            .round()?
            .to_device(device)?;
        let mut step = |x: &Tensor, y: &Tensor| -> anyhow::Result<Tensor> {
            let loss = network.loss(x, y)?;
            optimizer.step(&htl_ops::backward(&loss)?, 1e-3)?;
            Ok(loss.detach())
        };
        let clock = Clock::of(device, self.steps);
        let times = clock.time(device, self.batch, |_| step(&x, &y))?;
        let peak_bytes = if device.is_cpu() {
            Some(peak_resident_bytes().saturating_sub(idle))
        } else {
            crate::device::peak_bytes(device)
        };
        let end_to_end = if self.end_to_end {
            let steps = clock.warm_up + clock.steps();
            let mut batches = end_to_end::batches(self.size, self.batch, steps, device)?;
            let fed = clock.time(device, self.batch, |index| {
                let batch = batches.take(index)?;
                step(&batch.images, &batch.targets)
            })?;
            drop(batches);
            Some(EndToEnd {
                over_step_alone: fed.ms_per_step / times.ms_per_step,
                times: fed,
                batch_ms: end_to_end::batch_ms(self.size, self.batch)?,
            })
        } else {
            None
        };
        let by_operation = match &network {
            Network::UNet(network) if self.by_operation => {
                let sizes = parts::Sizes {
                    batch: self.batch,
                    size: self.size,
                    width: self.width,
                    steps: self.steps,
                };
                Some(parts::measure(network, device, self.dtype, sizes)?)
            }
            _ => None,
        };
        let row = Row {
            network: self.network,
            device: name,
            batch: self.batch,
            size: self.size,
            width: is_unet.then_some(self.width),
            dtype: self.dtype,
            threads: rayon::current_num_threads(),
            steps: clock.steps(),
            block: (clock.block > 1).then_some(clock.block),
            times,
            peak_bytes,
            end_to_end,
            by_operation,
        };
        print(&serde_json::to_string(&row)?)
    }

    fn build(&self, device: &Device) -> anyhow::Result<Network> {
        Ok(match self.network {
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
                let mut network = UNet::new(&config, 0, DType::F32, device)?;
                network.set_precision(self.dtype);
                Network::UNet(network)
            }
            Choice::MobileNetV2 => {
                let mut network = MobileNetV2::new(0, DType::F32, device)?;
                network.set_precision(self.dtype);
                Network::MobileNetV2(network)
            }
        })
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
                Ok(loss.clone())
            })
            .unwrap();
        assert_eq!(asked, (0..11).collect::<Vec<_>>());
        assert_eq!(clock.steps(), 8);
        assert!((times.images_per_second * times.ms_per_step / 6e3 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn types_are_known_by_their_words() {
        assert_eq!(parse_precision("bf16"), Ok(Precision::Bf16));
        assert!(parse_precision("f16").unwrap_err().contains("tf32"));
    }
}
