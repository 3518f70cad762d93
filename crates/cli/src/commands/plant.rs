use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use htl_datasets::{DataFolder, GroupRule, MaskNoise, PLANTED, Planting, Split};

use super::print;

/// `htl data plant`.
#[derive(Args)]
pub struct Plant {
    /// The data folder
    #[arg(long)]
    data: PathBuf,
    /// The group to make rare among the training images: lowest:area_fraction (its smallest third), highest:delta_e,
    /// sex=female, age_approx<30, age_approx>=75, touches_border>=1, or several joined by +
    #[arg(long, value_name = "GROUP", requires = "keep", conflicts_with = "noise")]
    rare: Option<GroupRule>,
    /// Share of the group that is kept, above 0 and at most 1
    #[arg(long, value_name = "SHARE")]
    keep: Option<f64>,
    /// The mistake to make in training masks
    #[arg(long, requires = "share", value_parser = kinds_of_noise())]
    noise: Option<MaskNoise>,
    /// Share of the masks that get it, above 0 and at most 1
    #[arg(long)]
    share: Option<f64>,
    /// Seed of the draw
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The new data folder
    #[arg(long)]
    out: PathBuf,
    /// A folder for the truth: planted.csv, the ids of what was planted, and the true masks of those that have others now
    #[arg(long)]
    truth: PathBuf,
}

fn kinds_of_noise() -> impl TypedValueParser<Value = MaskNoise> {
    PossibleValuesParser::new(MaskNoise::ALL.map(MaskNoise::name))
        .try_map(|name| MaskNoise::named(&name).ok_or("unknown noise"))
}

impl Plant {
    pub fn run(self) -> anyhow::Result<()> {
        for folder in [&self.out, &self.truth] {
            if folder.read_dir().is_ok_and(|mut inside| inside.next().is_some()) {
                bail!("{} is not empty: choose another folder", folder.display());
            }
        }
        let data = DataFolder::open(&self.data)?;
        let planting = match (&self.rare, self.keep, self.noise, self.share) {
            (Some(group), Some(keep), None, None) => Planting::rare_group(&data, group, keep, self.seed)?,
            (None, None, Some(noise), Some(share)) => Planting::noisy_masks(&data, noise, share, self.seed)?,
            _ => bail!("give --rare with --keep, or --noise with --share"),
        };
        planting.write(&data, &self.out, &self.truth)?;
        let left = data.split(Split::Train).len() - planting.removed().len();
        print(&format!(
            "{}: {left} training images, {} removed; {} planted, listed in {}",
            self.out.display(),
            planting.removed().len(),
            planting.planted().len(),
            self.truth.join(PLANTED).display()
        ))
    }
}
