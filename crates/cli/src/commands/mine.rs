use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use anyhow::{bail, ensure};
use candle_core::Device;
use clap::Args;
use htl_datasets::{DataFolder, Sample, Split, read_ids};
use htl_inference::{PopulationPrediction, consensus_pair, masks_at};
use htl_mining::{
    AdaptiveParams, Comparison, Encoding, MapKind, ScoreParams, adaptive, class_scores, column, scores, top,
};

use super::{choices, parse_split};
use crate::progress::Progress;

/// `htl mine`.
#[derive(Args)]
pub struct Mine {
    /// Dense checkpoints, one per seed
    #[arg(long, required = true, num_args = 1..)]
    dense: Vec<PathBuf>,
    /// Sparse checkpoints, one per seed
    #[arg(long, required = true, num_args = 1..)]
    sparse: Vec<PathBuf>,
    /// Checkpoints with the fine-tuning of the sparse ones at sparsity 0: what pruning adds beyond more training
    #[arg(long, num_args = 1..)]
    sham: Vec<PathBuf>,
    /// The data folder
    #[arg(long)]
    data: PathBuf,
    /// train, val or test
    #[arg(long, default_value = "train", value_parser = parse_split)]
    split: Split,
    /// Only these images (CSV with a column image_id)
    #[arg(long)]
    ids: Option<PathBuf>,
    /// All but these images (CSV with a column image_id)
    #[arg(long)]
    exclude: Option<PathBuf>,
    /// Number of the fold whose networks did not see these images
    #[arg(long)]
    fold: Option<u32>,
    /// Name of the setting, for the table
    #[arg(long, default_value = "")]
    setting: String,
    /// How the HTL set is chosen
    #[arg(long, default_value = "top")]
    select: Select,
    /// Share of the images in the HTL set, in (0, 1]; with --select adaptive the tolerated share of false discoveries
    #[arg(long, default_value_t = 0.2)]
    top: f64,
    /// The score that selects
    #[arg(long, default_value = column::DISAGREEMENT, value_parser = choices::score())]
    by: String,
    /// Whether masks may be read for the columns that need them; the selection never uses them
    #[arg(long, default_value = "masks")]
    labels: Labels,
    /// The score table, CSV
    #[arg(long)]
    out: PathBuf,
    /// Also the consensus maps of the dense and the sparse population, safetensors
    #[arg(long)]
    maps: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Select {
    /// The hardest share
    Top,
    /// Knockoff+ against the sham; needs four dense seeds
    Adaptive,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Labels {
    /// Errors against the masks beside the label-free scores, where masks are there
    Masks,
    /// Label-free scores only
    Ignore,
}

impl Mine {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        ensure!(
            self.top > 0.0 && self.top <= 1.0,
            "--top must be in (0, 1], found {}",
            self.top
        );
        let data = DataFolder::open(&self.data)?;
        let samples = self.samples(&data)?;
        let total = self.dense.len() + self.sparse.len() + self.sham.len();
        let mut done = 0;
        let mut progress = Progress::new("mine");
        let mut predict = |paths: &[PathBuf]| -> anyhow::Result<PopulationPrediction> {
            let of_these = &mut |through| progress.set(done + through, total);
            let prediction = PopulationPrediction::of_checkpoints(paths, &samples, device, of_these)?;
            done += paths.len();
            Ok(prediction)
        };
        let dense = predict(&self.dense)?;
        let sparse = predict(&self.sparse)?;
        let sham = if self.sham.is_empty() {
            None
        } else {
            Some(predict(&self.sham)?)
        };

        let truths = match self.labels {
            Labels::Masks => masks_at(&samples, dense.maps.size())?,
            Labels::Ignore => BTreeMap::new(),
        };
        let truth = |id: &str| truths.get(id).cloned();
        let mut comparison = Comparison::new(&dense.maps, &sparse.maps);
        if let Some(sham) = &sham {
            comparison = comparison.with_sham(&sham.maps);
        }
        // Class maps are mined label-free: their masks are nobody's labels in that setting.
        if !truths.is_empty() && dense.maps.kind() == MapKind::Probability {
            comparison = comparison.with_truth(&truth);
        }
        let params = ScoreParams::default().check()?;
        let mut table = scores(&comparison, &params)?.labelled(&self.setting, self.fold);
        if let (Some(d), Some(s)) = (&dense.classes, &sparse.classes) {
            let of_sham = sham.as_ref().and_then(|sham| sham.classes.as_ref());
            table.join(&class_scores(d, s, of_sham)?, "")?;
        }
        let selection = match self.select {
            Select::Top => top(&table, &self.by, self.top)?,
            Select::Adaptive => {
                let adaptive_params = AdaptiveParams {
                    q: self.top.min(0.99),
                    fallback_column: self.by.clone(),
                    fallback_fraction: self.top,
                };
                adaptive(&table, &comparison, &params, &adaptive_params)?
            }
        };
        eprintln!(
            "{} of {} images selected: {}",
            selection.len(),
            table.len(),
            selection.outcome
        );
        table.mark(&selection)?;
        table.write(&self.out)?;
        if let Some(path) = &self.maps {
            consensus_pair(&dense.maps, &sparse.maps)?.save(path, Encoding::U8)?;
        }
        Ok(())
    }

    fn samples<'a>(&self, data: &'a DataFolder) -> anyhow::Result<Vec<&'a Sample>> {
        let ids = |path: &Option<PathBuf>| -> anyhow::Result<Option<BTreeSet<String>>> {
            let ids = path.as_deref().map(read_ids).transpose()?;
            Ok(ids.map(|ids| ids.into_iter().collect()))
        };
        let only = ids(&self.ids)?;
        let without = ids(&self.exclude)?.unwrap_or_default();
        let wanted = |id: &String| only.as_ref().is_none_or(|ids| ids.contains(id)) && !without.contains(id);
        let samples: Vec<&Sample> = data
            .split(self.split)
            .into_iter()
            .filter(|s| wanted(&s.image_id))
            .collect();
        if samples.is_empty() {
            bail!(
                "{}: --split, --ids and --exclude leave no image to score",
                self.data.display()
            );
        }
        Ok(samples)
    }
}
