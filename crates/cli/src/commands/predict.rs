use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use candle_core::Device;
use clap::Args;
use htl_inference::{NetworkPredictor, map_of};
use htl_models::{Checkpoint, Network, Preprocessing};
use htl_report::{Colour, overlay};

use super::write_atomically;
use crate::progress::Progress;

/// `htl predict`.
#[derive(Args)]
pub struct Predict {
    /// The localizer
    #[arg(long)]
    checkpoint: PathBuf,
    /// Images, JPEG or PNG
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The folder for NAME_mask.png and NAME_overlay.png
    #[arg(long)]
    out: PathBuf,
}

impl Predict {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        let (meta, network) = Checkpoint::load(&self.checkpoint, device)?;
        ensure!(
            matches!(network, Network::UNet(_)),
            "{} is a classifier; predict needs a localizer",
            self.checkpoint.display()
        );
        let mut seen = std::collections::BTreeMap::new();
        for path in &self.images {
            if let Some(other) = seen.insert(stem(path), path) {
                anyhow::bail!("{} and {} would write the same files", other.display(), path.display());
            }
        }
        let mut progress = Progress::new("predict");
        for (index, path) in self.images.iter().enumerate() {
            self.predict(path, &meta.preprocessing, &network, device)?;
            progress.set(index + 1, self.images.len());
        }
        Ok(())
    }

    fn predict(
        &self,
        path: &Path,
        preprocessing: &Preprocessing,
        network: &Network,
        device: &Device,
    ) -> anyhow::Result<()> {
        let rgb = htl_datasets::read_rgb(path)?;
        let (width, height) = (rgb.width() as usize, rgb.height() as usize);
        let predictor = NetworkPredictor::new(network, preprocessing.clone(), device);
        let map = map_of(&predictor, &path.display().to_string(), &rgb)?;
        let size = preprocessing.size;
        let probabilities = htl_metrics::resize_bilinear(&map, (size, size), (height, width))?;
        let mask: Vec<u8> = probabilities.iter().map(|p| if *p > 0.5 { 255 } else { 0 }).collect();
        let drawn = overlay(rgb.as_raw(), height, width, &[(&mask, Colour::DENSE)], 1)?;
        let mut png = Vec::new();
        image::GrayImage::from_raw(rgb.width(), rgb.height(), mask)
            .context("mask of another size")?
            .write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png)?;
        write_atomically(&self.out.join(format!("{}_mask.png", stem(path))), &png)?;
        write_atomically(&self.out.join(format!("{}_overlay.png", stem(path))), &drawn)
    }
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default()
}
