use std::path::PathBuf;

use clap::Args;
use htl_datasets::DataFolder;
use htl_inference::judge_pseudo_masks;
use htl_mining::{Encoding, Population, column::TRUE_ERROR};

use super::print;

/// `htl truth`.
#[derive(Args)]
pub struct Truth {
    /// Consensus maps of `htl mine --maps`, whose masks are judged
    #[arg(long)]
    pseudo: PathBuf,
    /// The data folder with the true masks
    #[arg(long)]
    data: PathBuf,
    /// The score table to write, with the column true_error: 1 - IoU of an image's pseudo-mask and its true one
    #[arg(long)]
    out: PathBuf,
    /// Maps to write, with the true masks in the place of pruned networks: trained on what they agree on, a network sees no wrong pixel
    #[arg(long)]
    maps: PathBuf,
}

impl Truth {
    pub fn run(self) -> anyhow::Result<()> {
        let data = DataFolder::open(&self.data)?;
        let (table, maps) = judge_pseudo_masks(&data, &Population::load(&self.pseudo)?)?;
        table.write(&self.out)?;
        maps.save(&self.maps, Encoding::U8)?;
        let errors: Vec<f64> = table.rows().iter().filter_map(|row| row.scores[0]).collect();
        print(&format!(
            "{TRUE_ERROR} of {} pseudo-masks: {:.4} on average",
            errors.len(),
            errors.iter().sum::<f64>() / errors.len().max(1) as f64
        ))
    }
}
