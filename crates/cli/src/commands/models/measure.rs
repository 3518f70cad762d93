use candle_core::{Device, Tensor};
use htl_device::Clock;
use htl_models::{Architecture, Mode, Network};
use htl_ops::optim::{AdamW, AdamWParams};
use serde::Serialize;

/// Images of a step, and their side in pixels.
pub const BATCH: usize = 8;
pub const SIDE: usize = 128;

/// Steps whose time counts.
const STEPS: usize = 3;

/// How fast a localizer is here.
#[derive(Serialize)]
pub struct Speed {
    device: &'static str,
    threads: usize,
    /// Forward, binary cross entropy, backward, AdamW; at the median of some steps.
    pub training_images_per_second: f64,
    /// Forward in evaluation, likewise.
    pub inference_images_per_second: f64,
}

impl Speed {
    pub fn of(architecture: &Architecture, device: &Device) -> anyhow::Result<Self> {
        let network = Network::build(architecture, 0, device)?;
        let mut optimizer = AdamW::new(network.parameters().trainable().to_vec(), AdamWParams::default())?;
        let shape = |channels| (BATCH, channels, SIDE, SIDE);
        // Drawn by the CPU, for one distribution on all devices.
        let images = Tensor::randn(0f32, 1.0, shape(architecture.in_channels()), &Device::Cpu)?.to_device(device)?;
        let masks = Tensor::rand(0f32, 1.0, shape(1), &Device::Cpu)?
            .round()?
            .to_device(device)?;
        let clock = Clock::of(device, STEPS);
        let inference = clock.time(device, BATCH, |_| -> anyhow::Result<Tensor> {
            Ok(network.forward(&images, Mode::Evaluate)?.mean_all()?)
        })?;
        let training = clock.time(device, BATCH, |_| -> anyhow::Result<Tensor> {
            let logits = network.forward(&images, Mode::Train)?;
            let loss = htl_ops::bce_with_logits(&logits, &masks, None)?.mean_all()?;
            optimizer.step(&htl_ops::backward(&loss)?, 1e-3)?;
            Ok(loss.detach())
        })?;
        Ok(Self {
            device: htl_device::name(device),
            threads: rayon::current_num_threads(),
            training_images_per_second: training.images_per_second,
            inference_images_per_second: inference.images_per_second,
        })
    }
}
