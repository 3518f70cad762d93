//! What maps cost beyond the network that they are of.

use std::time::Instant;

use anyhow::ensure;
use candle_core::{Device, Tensor};
use clap::Args;
use htl_device::Spread;
use htl_inference::{NetworkPredictor, localization_maps};
use htl_models::{Architecture, Mode, Network, Part, Preprocessing};
use serde::Serialize;

use super::end_to_end;

/// `htl-bench predict`: maps of a batch of images in memory, through `htl-inference` and by the network alone.
#[derive(Args)]
pub struct Predict {
    /// Images of a batch, at most 16: more are predicted in several
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Side of the images in pixels; a multiple of 32
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Passes of each whose time counts
    #[arg(long, default_value_t = 30)]
    passes: usize,
}

#[derive(Serialize)]
struct Report {
    device: &'static str,
    threads: usize,
    batch: usize,
    size: usize,
    passes: usize,
    networks: Vec<Row>,
}

/// Medians, in milliseconds.
#[derive(Serialize)]
struct Row {
    network: String,
    /// Normalised images in, logits out.
    network_ms: f64,
    /// Bytes in, maps out: normalised, sigmoid, checked, in memory of the host.
    inference_ms: f64,
    /// Speed of the second over that of the first: median over pairs that ran one after the other.
    share_of_network: f64,
}

/// Passes that do not count: caches and buffers warm up.
const WARM_UP: usize = 3;

impl Predict {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        ensure!(
            (1..=16).contains(&self.batch) && self.passes >= 1,
            "--batch must be from 1 to 16 and --passes at least 1"
        );
        ensure!(
            self.size >= 32 && self.size.is_multiple_of(32),
            "--size must be a multiple of 32, found {}",
            self.size
        );
        let encoder = Part::new("efficientnet-lite0");
        let architectures = [
            Architecture::unet(16)?,
            Architecture::localizer(encoder, Part::new("unet"))?,
        ];
        let report = Report {
            device: htl_device::name(device),
            threads: rayon::current_num_threads(),
            batch: self.batch,
            size: self.size,
            passes: self.passes,
            networks: architectures
                .iter()
                .map(|architecture| self.measure(architecture, device))
                .collect::<Result<_, _>>()?,
        };
        println!("{}", serde_json::to_string(&report)?);
        Ok(())
    }

    fn measure(&self, architecture: &Architecture, device: &Device) -> anyhow::Result<Row> {
        let images = end_to_end::images(self.size, self.batch)?;
        let preprocessing = Preprocessing {
            size: self.size,
            ..Preprocessing::default()
        };
        let mut pixels = Vec::new();
        for index in 0..images.len() {
            let image = images.image(index);
            let mut normalised = vec![0.0; image.len()];
            preprocessing.normalise_planes(&image, &mut normalised);
            pixels.extend(normalised);
        }
        let input = Tensor::from_vec(pixels, (self.batch, 3, self.size, self.size), device)?;
        let network = Network::build(architecture, 0, device)?;
        let predictor = NetworkPredictor::new(&network, preprocessing, device);
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..WARM_UP + self.passes {
            let start = Instant::now();
            let logits = network.forward(&input, Mode::Evaluate)?;
            device.synchronize()?;
            let alone = start.elapsed().as_secs_f64() * 1e3;
            drop(logits);
            let start = Instant::now();
            let maps = localization_maps(&predictor, &images)?;
            let all = start.elapsed().as_secs_f64() * 1e3;
            ensure!(maps.dims() == [self.batch, self.size, self.size], "{:?}", maps.dims());
            for (times, time) in times.iter_mut().zip([alone, all, alone / all]) {
                times.push(time);
            }
        }
        let [network_ms, inference_ms, share_of_network] =
            times.map(|times| Spread::of(times[WARM_UP..].to_vec()).median);
        Ok(Row {
            network: architecture.to_string(),
            network_ms,
            inference_ms,
            share_of_network,
        })
    }
}
