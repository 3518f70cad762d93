use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use candle_core::Device;
use clap::Args;
use htl_inference::{Predictor, map_of, open_predictor};
use htl_metrics::resize_bilinear;
use htl_mining::MapKind;
use htl_report::{Colour, overlay};
use htl_vocabulary::write_whole;

use super::view_use;
use crate::progress::Progress;

/// `htl predict`.
#[derive(Args)]
pub struct Predict {
    /// The localizer; given several times, the maps of several are averaged
    #[arg(long, required = true)]
    checkpoint: Vec<PathBuf>,
    /// Average the maps of all eight flips and rotations of an image
    #[arg(long)]
    views: bool,
    /// Images, JPEG or PNG
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// The folder for NAME_mask.png and NAME_overlay.png
    #[arg(long)]
    out: PathBuf,
}

impl Predict {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        let predictor = open_predictor(&self.checkpoint, view_use(self.views), device)?;
        if predictor.map_kind() != MapKind::Probability {
            let given = self.checkpoint.iter().map(|path| path.display().to_string());
            bail!(
                "{} is a classifier; predict needs a localizer",
                given.collect::<Vec<_>>().join(", ")
            );
        }
        let mut seen = BTreeMap::new();
        for path in &self.images {
            if let Some(other) = seen.insert(stem(path), path) {
                bail!("{} and {} would write the same files", other.display(), path.display());
            }
        }
        let mut progress = Progress::new("predict");
        for (index, path) in self.images.iter().enumerate() {
            self.predict(path, &predictor)?;
            progress.set(index + 1, self.images.len());
        }
        Ok(())
    }

    fn predict(&self, path: &Path, predictor: &dyn Predictor) -> anyhow::Result<()> {
        let rgb = htl_datasets::read_rgb(path)?;
        let (width, height) = (rgb.width() as usize, rgb.height() as usize);
        let map = map_of(predictor, &path.display().to_string(), &rgb)?;
        let size = predictor.preprocessing().size;
        let map = resize_bilinear(&map, (size, size), (height, width))?;
        let mask = predictor.cut().mask(height, width, &map)?;
        let mask: Vec<u8> = mask.pixels().iter().map(|pixel| pixel * 255).collect();
        let drawn = overlay(rgb.as_raw(), height, width, &[(&mask, Colour::DENSE)], 1)?;
        let mut png = Vec::new();
        image::GrayImage::from_raw(rgb.width(), rgb.height(), mask)
            .context("mask of another size")?
            .write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png)?;
        write_whole(&self.out.join(format!("{}_mask.png", stem(path))), png)?;
        write_whole(&self.out.join(format!("{}_overlay.png", stem(path))), drawn)?;
        Ok(())
    }
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default()
}
