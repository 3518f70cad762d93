//! One optimiser step of the reference U-Net, and where its time goes.

use anyhow::ensure;
use candle_core::{Device, Tensor};
use clap::Args;
use htl_device::{Clock, PeakMemory, StepTimes};
use htl_models::{Architecture, Mode, Network};
use htl_ops::{
    Precision,
    optim::{AdamW, AdamWParams},
};
use serde::Serialize;

use super::{end_to_end, parts};

/// `htl-bench train-step`: forward, loss, backward, AdamW; the loss is read back after each step, on a GPU after each block of
/// them. `htl bench train-step` measures the step alone, of any network.
#[derive(Args)]
pub struct TrainStep {
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Side of the images in pixels; a multiple of 8
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Channels of the U-Net's first block
    #[arg(long, default_value_t = 16)]
    width: usize,
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// f32, tf32 or bf16; the last two need CUDA
    #[arg(long, default_value = "f32")]
    dtype: Precision,
    /// Also steps of the U-Net fed with augmented batches as a training makes them
    #[arg(long)]
    end_to_end: bool,
    /// Also each operation of the U-Net's step alone, beside the least time this device could take
    #[arg(long)]
    by_operation: bool,
}

#[derive(Serialize)]
struct Row {
    network: &'static str,
    device: &'static str,
    batch: usize,
    size: usize,
    /// Of the U-Net's first block.
    width: usize,
    dtype: Precision,
    threads: usize,
    /// Those whose time counts.
    steps: usize,
    /// On a GPU, the steps that are timed together; its times are means of such blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    block: Option<usize>,
    #[serde(flatten)]
    times: StepTimes,
    /// See [`PeakMemory`].
    peak_bytes: Option<u64>,
    #[serde(flatten)]
    more: More,
}

/// What only the U-Net's step is asked for.
#[derive(Default, Serialize)]
struct More {
    #[serde(skip_serializing_if = "Option::is_none")]
    end_to_end: Option<EndToEnd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by_operation: Option<parts::Parts>,
}

/// Steps fed by the batch pipeline.
#[derive(Serialize)]
struct EndToEnd {
    #[serde(flatten)]
    times: StepTimes,
    /// Median time over that of the step alone; 1 if making batches costs nothing.
    over_step_alone: f64,
    /// Making one batch on the host, nothing else running.
    batch_ms: f64,
}

/// A network being trained: images and targets in, the detached loss out.
struct Trained {
    network: Network,
    optimizer: AdamW,
}

impl Trained {
    fn new(network: Network) -> anyhow::Result<Self> {
        let optimizer = AdamW::new(network.parameters().trainable().to_vec(), AdamWParams::default())?;
        Ok(Self { network, optimizer })
    }

    fn step(&mut self, images: &Tensor, targets: &Tensor) -> anyhow::Result<Tensor> {
        let logits = self.network.forward(images, Mode::Train)?;
        let loss = htl_ops::bce_with_logits(&logits, targets, None)?.mean_all()?;
        self.optimizer.step(&htl_ops::backward(&loss)?, 1e-3)?;
        Ok(loss.detach())
    }
}

impl TrainStep {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        let name = htl_device::name(device);
        ensure!(
            self.dtype == Precision::F32 || device.is_cuda(),
            "--dtype {} needs --device cuda, but the device is {name}",
            self.dtype
        );
        ensure!(
            self.batch >= 1 && self.steps >= 1 && self.size >= 1,
            "--batch, --steps and --size must be at least 1"
        );
        ensure!(
            self.size.is_multiple_of(8),
            "--size must be a multiple of 8, found {}",
            self.size
        );
        let peak = PeakMemory::watch(device);
        let architecture = Architecture::unet(self.width)?;
        let mut network = Network::build(&architecture, 0, device)?;
        network.set_precision(self.dtype);
        let mut trained = Trained::new(network)?;
        let mut row = self.measured(&mut trained, device, &peak)?;
        if self.end_to_end {
            let clock = Clock::of(device, self.steps);
            let mut batches = end_to_end::batches(self.size, self.batch, clock.all_steps(), device)?;
            let fed = clock.time(device, self.batch, |index| {
                let batch = batches.take(index)?;
                trained.step(&batch.images, &batch.targets)
            })?;
            drop(batches);
            row.more.end_to_end = Some(EndToEnd {
                over_step_alone: fed.ms_per_step / row.times.ms_per_step,
                times: fed,
                batch_ms: end_to_end::batch_ms(self.size, self.batch)?,
            });
        }
        if self.by_operation {
            let sizes = parts::Sizes {
                batch: self.batch,
                size: self.size,
                width: self.width,
                steps: self.steps,
            };
            row.more.by_operation = Some(parts::measure(&trained.network, device, self.dtype, sizes)?);
        }
        println!("{}", serde_json::to_string(&row)?);
        Ok(())
    }

    /// Steps on random images and masks.
    fn measured(&self, trained: &mut Trained, device: &Device, peak: &PeakMemory) -> anyhow::Result<Row> {
        // Drawn by the CPU, for one distribution on all devices.
        let images =
            Tensor::randn(0f32, 1.0, (self.batch, 3, self.size, self.size), &Device::Cpu)?.to_device(device)?;
        let masks = Tensor::rand(0f32, 1.0, (self.batch, 1, self.size, self.size), &Device::Cpu)?
            .round()?
            .to_device(device)?;
        let clock = Clock::of(device, self.steps);
        let times = clock.time(device, self.batch, |_| trained.step(&images, &masks))?;
        Ok(Row {
            network: "unet",
            device: htl_device::name(device),
            batch: self.batch,
            size: self.size,
            width: self.width,
            dtype: self.dtype,
            threads: rayon::current_num_threads(),
            steps: clock.steps(),
            block: clock.block(),
            times,
            peak_bytes: peak.bytes(),
            more: More::default(),
        })
    }
}
