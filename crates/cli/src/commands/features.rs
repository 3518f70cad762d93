use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::bail;
use candle_core::Device;
use clap::Args;
use htl_datasets::{DataFolder, ImageSet, MaskUse, Sample, Split};
use htl_inference::{NetworkPredictor, colour_features, deep_features};

use super::{parse_split, print};

/// `htl features`.
#[derive(Args)]
pub struct Features {
    /// The network whose encoder looks at the images; their own colours if left out
    #[arg(long)]
    checkpoint: Option<PathBuf>,
    /// The data folder
    #[arg(long)]
    data: PathBuf,
    /// train, val or test
    #[arg(long, default_value = "train", value_parser = parse_split)]
    split: Split,
    /// All but these images (CSV with a column image_id)
    #[arg(long)]
    exclude: Option<PathBuf>,
    /// A vector per image, CSV, for `htl query`
    #[arg(long)]
    out: PathBuf,
}

/// Side of the images that colours are read from.
const COLOURS: usize = 64;

impl Features {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        let data = DataFolder::open(&self.data)?;
        let without = self.exclude.as_deref().map(|path| data.listed(path)).transpose()?;
        let without: BTreeSet<&str> = without
            .iter()
            .flatten()
            .map(|sample| sample.image_id.as_str())
            .collect();
        let split = data.split(self.split).into_iter();
        let samples: Vec<&Sample> = split
            .filter(|sample| !without.contains(sample.image_id.as_str()))
            .collect();
        if samples.is_empty() {
            bail!("{}: --split and --exclude leave no image", self.data.display());
        }
        let images = |size: usize| ImageSet::load(&samples, size, MaskUse::Ignore);
        let table = match &self.checkpoint {
            Some(path) => {
                let predictor = NetworkPredictor::load(path, device)?;
                deep_features(&predictor, &images(predictor.preprocessing().size)?)?
            }
            None => colour_features(&images(COLOURS)?)?,
        };
        table.write(&self.out)?;
        print(&format!(
            "features of {} images in {}",
            samples.len(),
            self.out.display()
        ))
    }
}
