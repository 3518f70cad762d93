use anyhow::ensure;
use candle_core::{Device, Tensor};
use clap::Args;
use htl_device::{Clock, PeakMemory, StepTimes};
use htl_models::{Mode, Network};
use htl_ops::{
    Precision,
    optim::{AdamW, AdamWParams},
};
use htl_trainers::NetworkChoice;
use serde::Serialize;

use crate::commands::print;

/// `htl bench train-step`: forward, binary cross entropy, backward, AdamW; a number is read back after each step, on a GPU after
/// each block of them. `htl bench evaluate-step`: the forward pass.
#[derive(Args)]
pub struct Step {
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Side of the images in pixels
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Channels of the plain encoder and of the U-Net decoder at full size
    #[arg(long, default_value_t = 16)]
    width: usize,
    /// As `network.encoder` of a training: a name of `htl models list`, and settings behind it
    #[arg(long, default_value = "plain")]
    encoder: String,
    /// As `network.decoder` of a training
    #[arg(long, default_value = "unet")]
    decoder: String,
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// f32, tf32 or bf16; the last two need CUDA
    #[arg(long, default_value = "f32")]
    dtype: Precision,
}

#[derive(Serialize)]
struct Row {
    network: String,
    device: &'static str,
    batch: usize,
    size: usize,
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
}

impl Step {
    pub fn train(self, device: &Device) -> anyhow::Result<()> {
        self.measure(device, |network| {
            let parameters = network.parameters().trainable().to_vec();
            Ok(Some(AdamW::new(parameters, AdamWParams::default())?))
        })
    }

    pub fn evaluate(self, device: &Device) -> anyhow::Result<()> {
        self.measure(device, |_| Ok(None))
    }

    /// Steps of the optimiser that `begin` gives for a new network, or forward passes where it gives none.
    fn measure(
        self,
        device: &Device,
        begin: impl FnOnce(&Network) -> anyhow::Result<Option<AdamW>>,
    ) -> anyhow::Result<()> {
        let name = htl_device::name(device);
        ensure!(
            self.dtype == Precision::F32 || device.is_cuda(),
            "--dtype {} needs --device cuda, but the device is {name}",
            self.dtype
        );
        ensure!(
            self.batch >= 1 && self.steps >= 1,
            "--batch and --steps must be at least 1"
        );
        let peak = PeakMemory::watch(device);
        let choice = NetworkChoice {
            encoder: self.encoder,
            decoder: self.decoder,
            ..NetworkChoice::default()
        };
        let architecture = choice.localizer(self.width)?;
        let mut network = Network::build(&architecture, 0, device)?;
        network.set_precision(self.dtype);
        let mut optimizer = begin(&network)?;
        // Drawn by the CPU, for one distribution on all devices.
        let images =
            Tensor::randn(0f32, 1.0, (self.batch, 3, self.size, self.size), &Device::Cpu)?.to_device(device)?;
        let masks = Tensor::rand(0f32, 1.0, (self.batch, 1, self.size, self.size), &Device::Cpu)?
            .round()?
            .to_device(device)?;
        let clock = Clock::of(device, self.steps);
        let times = clock.time(device, self.batch, |_| -> anyhow::Result<Tensor> {
            let Some(optimizer) = &mut optimizer else {
                return Ok(network.forward(&images, Mode::Evaluate)?.mean_all()?.detach());
            };
            let logits = network.forward(&images, Mode::Train)?;
            let loss = htl_ops::bce_with_logits(&logits, &masks, None)?.mean_all()?;
            optimizer.step(&htl_ops::backward(&loss)?, 1e-3)?;
            Ok(loss.detach())
        })?;
        let row = Row {
            network: match choice == NetworkChoice::default() {
                true => "unet".to_owned(),
                false => architecture.to_string(),
            },
            device: name,
            batch: self.batch,
            size: self.size,
            width: self.width,
            dtype: self.dtype,
            threads: rayon::current_num_threads(),
            steps: clock.steps(),
            block: clock.block(),
            times,
            peak_bytes: peak.bytes(),
        };
        print(&serde_json::to_string(&row)?)
    }
}
