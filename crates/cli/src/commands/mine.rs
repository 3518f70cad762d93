use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use candle_core::{Device, Tensor};
use clap::Args;
use htl_datasets::{DataFolder, ImageSet, MaskUse, Sample, Split};
use htl_metrics::Mask;
use htl_mining::{
    AdaptiveParams, ClassPopulation, Comparison, Encoding, MapKind, Population, ScoreParams, adaptive, class_scores,
    column, scores, top,
};
use htl_models::{Architecture, Checkpoint, Network};
use htl_trainers::{class_logits, localization_maps, read_ids};

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

/// What one population says of the images.
struct Judgement {
    maps: Population,
    classes: Option<ClassPopulation>,
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
        let mut judge = |paths: &[PathBuf]| -> anyhow::Result<Judgement> {
            let judgement = judge(paths, &samples, device)?;
            done += paths.len();
            progress.set(done, total);
            Ok(judgement)
        };
        let dense = judge(&self.dense)?;
        let sparse = judge(&self.sparse)?;
        let sham = if self.sham.is_empty() {
            None
        } else {
            Some(judge(&self.sham)?)
        };

        let truths = match self.labels {
            Labels::Masks => truth_masks(&samples, dense.maps.size())?,
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
            write_consensus(&dense.maps, &sparse.maps, path)?;
        }
        Ok(())
    }

    fn samples<'a>(&self, data: &'a DataFolder) -> anyhow::Result<Vec<&'a Sample>> {
        let only: Option<BTreeSet<String>> = self.ids.as_deref().map(read_ids).transpose()?;
        let without = self.exclude.as_deref().map(read_ids).transpose()?.unwrap_or_default();
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

/// Maps, and for classifiers classes, of every checkpoint of a population.
fn judge(paths: &[PathBuf], samples: &[&Sample], device: &Device) -> anyhow::Result<Judgement> {
    let mut images: Option<ImageSet> = None;
    let mut expected: Option<Architecture> = None;
    let (mut maps, mut classes): (Vec<Tensor>, Vec<Vec<u32>>) = (Vec::new(), Vec::new());
    for path in paths {
        let (meta, network) = Checkpoint::load(path, device)?;
        let architecture = network.architecture();
        if let Some(first) = &expected {
            ensure!(
                *first == architecture,
                "{} is a {architecture}, but the population's first is a {first}",
                path.display()
            );
        }
        expected = Some(architecture);
        let size = meta.preprocessing.size;
        let images = match &mut images {
            Some(loaded) if loaded.size() == size => loaded,
            slot => slot.insert(ImageSet::load(samples, size, MaskUse::Ignore)?),
        };
        maps.push(localization_maps(&network, images, &meta.preprocessing, device)?);
        if matches!(network, Network::Classifier(_)) {
            classes.push(
                class_logits(&network, images, &meta.preprocessing, device)?
                    .argmax(1)?
                    .to_vec1()?,
            );
        }
    }
    let ids: Vec<String> = images.iter().flat_map(|i| i.ids()).map(str::to_owned).collect();
    let kind = if classes.is_empty() {
        MapKind::Probability
    } else {
        MapKind::ClassActivation
    };
    let classes = if classes.is_empty() {
        None
    } else {
        Some(ClassPopulation::new(ids.clone(), classes)?)
    };
    Ok(Judgement {
        maps: Population::of_kind(kind, ids, maps)?,
        classes,
    })
}

/// The masks of the images that have one, at the maps' size.
fn truth_masks(samples: &[&Sample], (height, width): (usize, usize)) -> anyhow::Result<BTreeMap<String, Mask>> {
    let (wide, tall) = (u32::try_from(width)?, u32::try_from(height)?);
    let with_mask = samples
        .iter()
        .filter_map(|sample| Some((sample, sample.mask.as_deref()?)));
    with_mask
        .map(|(sample, path)| {
            let resized = htl_datasets::resize_mask(&htl_datasets::read_mask(path)?, wide, tall);
            Ok((
                sample.image_id.clone(),
                Mask::from_luma(height, width, resized.as_raw())?,
            ))
        })
        .collect()
}

/// The consensus of each population as one map per image: map 0 dense, map 1 sparse.
fn write_consensus(dense: &Population, sparse: &Population, path: &Path) -> anyhow::Result<()> {
    let (height, width) = dense.size();
    let consensus = |population: &Population| -> anyhow::Result<Tensor> {
        let mut values = Vec::with_capacity(dense.len() * height * width);
        for id in dense.ids() {
            let position = population
                .position(id)
                .with_context(|| format!("image {id} is missing"))?;
            values.extend(population.consensus(position)?);
        }
        Ok(Tensor::from_vec(values, (dense.len(), height, width), &Device::Cpu)?)
    };
    let both = vec![consensus(dense)?, consensus(sparse)?];
    Population::of_kind(dense.kind(), dense.ids().to_vec(), both)?.save(path, Encoding::U8)?;
    Ok(())
}
