use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use anyhow::{bail, ensure};
use candle_core::Device;
use clap::Args;
use htl_datasets::{DataFolder, Sample, Split};
use htl_inference::{
    CurveParams, PopulationPrediction, consensus_pair, contrast_within, forgetting_curves, recalibration_images,
    stored_mask,
};
use htl_metrics::Mask;
use htl_mining::{
    Comparison, Damage, Encoding, ForgettingCurves, MapKind, MiningError, ScoreParams, ScoreTable, ScoreValidParams,
    SeedHalves, Selection, TruthError, adaptive, class_scores, column, dynamics_scores, scores, top, write_reliability,
};
use htl_pruning::Criterion;
use htl_vocabulary::{DynamicsRow, read_dynamics};

use super::telling::Telling;
use super::{choices, parse_split};
use crate::progress::Progress;

mod words;

/// `htl mine`.
#[derive(Args)]
pub struct Mine {
    /// Dense checkpoints, one per seed
    #[arg(long, required = true, num_args = 1..)]
    dense: Vec<PathBuf>,
    /// Sparse checkpoints, one per seed, in the order of the dense ones
    #[arg(long, num_args = 1.., required_unless_present = "curve")]
    sparse: Vec<PathBuf>,
    /// Checkpoints with the fine-tuning of the sparse ones at sparsity 0: what pruning adds beyond more training
    #[arg(long, num_args = 1..)]
    sham: Vec<PathBuf>,
    /// Forgetting curves: prune the dense networks at every sparsity, train nothing, and see what is lost
    #[arg(long, value_name = "DAMAGES", num_args = 0..=1, default_missing_value = "all")]
    curve: Option<Curve>,
    /// Which weights go first along the curves
    #[arg(long, default_value = Criterion::GLOBAL_MAGNITUDE.name, value_parser = choices::criterion(), requires = "curve")]
    curve_method: &'static Criterion,
    /// Sparsities of the curves, ascending; 0 to 0.95 in steps of 0.05 if left out
    #[arg(long, value_delimiter = ',', requires = "curve")]
    sparsities: Vec<f64>,
    /// Histories of trainings (dynamics.csv of `htl train --dynamics`), one per seed, in the order of the dense checkpoints
    #[arg(long, value_name = "FILE", num_args = 1..)]
    dynamics: Vec<PathBuf>,
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
    /// Share of the images in the HTL set (of each half of the seeds, with --select stable), in (0, 1]; with --select adaptive
    /// the tolerated share of false discoveries
    #[arg(long, default_value_t = 0.2)]
    top: f64,
    /// The score that selects; forgetting_raw with --curve, else disagreement
    #[arg(long, value_parser = choices::score())]
    by: Option<String>,
    /// Puts equal scores in order
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Whether masks may be read for the columns that need them; the selection never uses them
    #[arg(long, default_value = "masks")]
    labels: Labels,
    /// The score table, CSV. Beside it: NAME.reliability.csv, NAME.selection.json, and NAME.curve.csv with --curve
    #[arg(long)]
    out: PathBuf,
    /// Also the consensus maps of the dense and the sparse population, safetensors
    #[arg(long, requires = "sparse")]
    maps: Option<PathBuf>,
    #[command(flatten)]
    telling: Telling,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Curve {
    /// Pruned by magnitude, normalisation statistics kept: enough to select
    Raw,
    /// Also with the statistics re-estimated on training images
    Pruned,
    /// Also two shams of the same dose, random pruning and weight noise
    All,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Select {
    /// The hardest share
    Top,
    /// In the hardest share of at least 80 % of the halves of the seeds
    Stable,
    /// Knockoff+ against the sham; needs four dense seeds
    Adaptive,
    /// Nobody: scores only
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Labels {
    /// Errors against the masks beside the label-free scores, where masks are there
    Masks,
    /// Label-free scores only
    Ignore,
}

/// Share of the halves in which a stable image is among the hardest.
const STABLE_SHARE: f64 = 0.8;

/// Ways of halving the seeds that reliability is averaged over, at most.
const MOST_SPLITS: usize = 30;

/// What all networks say of the images.
struct Judged {
    dense: PopulationPrediction,
    sparse: Option<PopulationPrediction>,
    sham: Option<PopulationPrediction>,
    curves: Option<ForgettingCurves>,
    /// Histories of trainings.
    dynamics: Vec<Vec<DynamicsRow>>,
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
        let params = ScoreParams::default().check()?;
        let judged = self.judge(&data, &samples, &params, device)?;
        let mut table = judged
            .table(&params, self.labels, &samples)?
            .labelled(&self.setting, self.fold);

        let halves = judged.halves(&params)?;
        let mut comes_out_again = String::new();
        if let Some(halves) = &halves {
            let rows = halves.reliability()?;
            write_reliability(&self.beside("reliability.csv"), &rows, &self.setting, self.fold)?;
            comes_out_again = words::reliability(&rows, self.by());
        }
        if let Some(curves) = &judged.curves {
            curves.write(self.beside("curve.csv"))?;
        }
        let selected = self.select(&mut table, &judged, halves.as_ref(), &params);
        if let Ok(Some(selection)) = &selected {
            table.mark(selection)?;
        }
        // Scores are kept even if nothing can be selected by them; what an earlier table was selected by goes with it.
        std::fs::remove_file(self.beside("selection.json")).ok();
        table.write(&self.out)?;
        if let Some(selection) = selected? {
            let stability = match &halves {
                Some(halves) => halves.stability(self.by(), self.top, self.seed)?,
                None => None,
            };
            let record = words::Record::of(&selection, &table, stability);
            record.write(&self.beside("selection.json"))?;
            self.telling.tell(&record, || comes_out_again + &record.words())?;
        } else {
            let scored = serde_json::json!({"images": table.len()});
            self.telling
                .tell(&scored, || format!("{comes_out_again}{} images scored", table.len()))?;
        }
        if let (Some(path), Some(sparse)) = (&self.maps, &judged.sparse) {
            consensus_pair(&judged.dense.maps, &sparse.maps)?.save(path, Encoding::U8)?;
        }
        Ok(())
    }

    /// The score that selects.
    fn by(&self) -> &str {
        match (&self.by, self.curve) {
            (Some(by), _) => by,
            (None, Some(_)) => column::FORGETTING_RAW,
            (None, None) => column::DISAGREEMENT,
        }
    }

    /// A file beside the score table, of its name and another ending.
    fn beside(&self, ending: &str) -> PathBuf {
        self.out.with_extension(ending)
    }

    fn select(
        &self,
        table: &mut ScoreTable,
        judged: &Judged,
        halves: Option<&SeedHalves>,
        params: &ScoreValidParams,
    ) -> anyhow::Result<Option<Selection>> {
        Ok(Some(match self.select {
            Select::None => return Ok(None),
            Select::Top => top(table, self.by(), self.top, self.seed)?,
            Select::Stable => {
                let Some(halves) = halves else {
                    bail!("--select stable needs at least two seeds of every population, to be split into halves");
                };
                halves.stable(self.by(), self.top, STABLE_SHARE, self.seed)?
            }
            Select::Adaptive => adaptive(table, &judged.comparison(), params, self.top.min(0.99), self.seed)?,
        }))
    }

    fn judge(
        &self,
        data: &DataFolder,
        samples: &[&Sample],
        params: &ScoreValidParams,
        device: &Device,
    ) -> anyhow::Result<Judged> {
        let total = self.dense.len() + self.sparse.len() + self.sham.len();
        let mut done = 0;
        let mut progress = Progress::new("mine");
        let mut predict = |paths: &[PathBuf]| -> anyhow::Result<Option<PopulationPrediction>> {
            if paths.is_empty() {
                return Ok(None);
            }
            let of_these = &mut |through| progress.set(done + through, total);
            let prediction = PopulationPrediction::of_checkpoints(paths, samples, device, of_these)?;
            done += paths.len();
            Ok(Some(prediction))
        };
        let Some(dense) = predict(&self.dense)? else {
            bail!("--dense: give at least one checkpoint")
        };
        let (sparse, sham) = (predict(&self.sparse)?, predict(&self.sham)?);
        drop(progress);
        let curves = match self.curve {
            None => None,
            Some(damages) => Some(self.curves(damages, data, samples, params, device)?),
        };
        Ok(Judged {
            dense,
            sparse,
            sham,
            curves,
            dynamics: self.histories(samples)?,
        })
    }

    fn histories(&self, samples: &[&Sample]) -> anyhow::Result<Vec<Vec<DynamicsRow>>> {
        let read = |path: &PathBuf| -> anyhow::Result<Vec<DynamicsRow>> {
            let rows = read_dynamics(path)?;
            let judged: BTreeSet<&str> = rows.iter().map(|row| row.image_id.as_str()).collect();
            ensure!(
                samples.iter().any(|sample| judged.contains(sample.image_id.as_str())),
                "{}: it has judged none of the images to score: histories are of training images",
                path.display()
            );
            Ok(rows)
        };
        self.dynamics.iter().map(read).collect()
    }

    fn curves(
        &self,
        damages: Curve,
        data: &DataFolder,
        samples: &[&Sample],
        params: &ScoreValidParams,
        device: &Device,
    ) -> anyhow::Result<ForgettingCurves> {
        let usual = CurveParams::default();
        let curve = CurveParams {
            criterion: self.curve_method,
            sparsities: if self.sparsities.is_empty() {
                usual.sparsities
            } else {
                self.sparsities.clone()
            },
            damages: match damages {
                Curve::Raw => vec![Damage::PrunedRaw],
                Curve::Pruned => vec![Damage::Pruned, Damage::PrunedRaw],
                Curve::All => usual.damages,
            },
            seed: self.seed,
        };
        let mut progress = Progress::new("prune");
        Ok(forgetting_curves(
            &self.dense,
            samples,
            &recalibration_images(data, samples),
            &curve,
            params,
            device,
            &mut |done, total| progress.set(done, total),
        )?)
    }

    fn samples<'a>(&self, data: &'a DataFolder) -> anyhow::Result<Vec<&'a Sample>> {
        let only = self.ids.as_deref().map(|path| ids_of(data, path)).transpose()?;
        let without = self.exclude.as_deref().map(|path| ids_of(data, path)).transpose()?;
        let in_split = data.split(self.split);
        if let (Some(only), Some(path)) = (&only, &self.ids) {
            let found = in_split.iter().filter(|sample| only.contains(sample.image_id.as_str()));
            let elsewhere = only.len() - found.count();
            if elsewhere > 0 {
                let (all, split) = (only.len(), self.split);
                tracing::warn!(
                    "{}: {elsewhere} of {all} images are not in the {split} split",
                    path.display()
                );
            }
        }
        let wanted = |id: &str| {
            only.as_ref().is_none_or(|ids| ids.contains(id)) && without.as_ref().is_none_or(|ids| !ids.contains(id))
        };
        let samples: Vec<&Sample> = in_split.into_iter().filter(|s| wanted(&s.image_id)).collect();
        if samples.is_empty() {
            bail!(
                "{}: --split, --ids and --exclude leave no image to score",
                self.data.display()
            );
        }
        Ok(samples)
    }
}

/// The ids of the images that a list names.
fn ids_of<'a>(data: &'a DataFolder, list: &Path) -> anyhow::Result<BTreeSet<&'a str>> {
    let samples = data.listed(list)?.into_iter();
    Ok(samples.map(|sample| sample.image_id.as_str()).collect())
}

impl Judged {
    fn comparison(&self) -> Comparison<'_> {
        Comparison {
            sparse: self.sparse.as_ref().map(|sparse| &sparse.maps),
            sham: self.sham.as_ref().map(|sham| &sham.maps),
            curves: self.curves.as_ref(),
            ..Comparison::of_dense(&self.dense.maps)
        }
    }

    fn table(&self, params: &ScoreValidParams, labels: Labels, samples: &[&Sample]) -> anyhow::Result<ScoreTable> {
        let with_masks: HashMap<&str, &Sample> = samples
            .iter()
            .filter(|sample| sample.mask.is_some())
            .map(|sample| (sample.image_id.as_str(), *sample))
            .collect();
        let truth = |id: &str| -> Result<_, TruthError> {
            let mask = with_masks.get(id).map(|sample| stored_mask(sample));
            mask.transpose().map_err(Into::into)
        };
        let mut comparison = self.comparison();
        // Class maps are mined label-free: their masks are nobody's labels in that setting.
        if labels == Labels::Masks && self.dense.maps.kind() == MapKind::Probability {
            comparison = comparison.with_truth(&truth);
        }
        let photographs: HashMap<&str, &Sample> = samples.iter().map(|s| (s.image_id.as_str(), *s)).collect();
        let contrast = |id: &str, mask: &Mask| -> Result<_, TruthError> {
            let measured = photographs.get(id).map(|sample| contrast_within(sample, mask));
            Ok(measured.transpose()?.flatten())
        };
        comparison = comparison.with_contrast(&contrast);
        Ok(self.with_further(scores(&comparison, params)?)?)
    }

    /// Adds the scores of class predictions and of the trainings' histories, where there are any.
    fn with_further(&self, mut table: ScoreTable) -> Result<ScoreTable, MiningError> {
        if let Some(dense) = &self.dense.classes {
            let [sparse, sham] = [&self.sparse, &self.sham].map(|other| other.as_ref()?.classes.as_ref());
            table.join(&class_scores(dense, sparse, sham, self.curves.as_ref())?, "")?;
        }
        if !self.dynamics.is_empty() {
            table.join(&dynamics_scores(&self.dynamics)?, "")?;
        }
        Ok(table)
    }

    /// Label-free scores by halves of the seeds; `None` of a single seed, or where populations have different numbers of them.
    fn halves(&self, params: &ScoreValidParams) -> anyhow::Result<Option<SeedHalves>> {
        let seeds = self.dense.maps.seeds();
        let others = [&self.sparse, &self.sham];
        let alike = others.into_iter().flatten().all(|other| other.maps.seeds() == seeds);
        if seeds < 2 || !alike {
            return Ok(None);
        }
        let halves = SeedHalves::of(seeds, MOST_SPLITS, |chosen| {
            let some = |other: &PopulationPrediction| -> Result<PopulationPrediction, MiningError> {
                Ok(PopulationPrediction {
                    maps: other.maps.with_seeds(chosen)?,
                    classes: other
                        .classes
                        .as_ref()
                        .map(|classes| classes.with_seeds(chosen))
                        .transpose()?,
                })
            };
            let half = Self {
                dense: some(&self.dense)?,
                sparse: self.sparse.as_ref().map(some).transpose()?,
                sham: self.sham.as_ref().map(some).transpose()?,
                curves: self
                    .curves
                    .as_ref()
                    .map(|curves| curves.with_seeds(chosen))
                    .transpose()?,
                dynamics: match self.dynamics.len() == seeds {
                    true => chosen.iter().map(|&seed| self.dynamics[seed].clone()).collect(),
                    false => Vec::new(),
                },
            };
            half.with_further(scores(&half.comparison(), params)?)
        })?;
        Ok(Some(halves))
    }
}
