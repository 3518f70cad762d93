use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use anyhow::bail;
use candle_core::Device;
use clap::{
    Args,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use htl_datasets::{DataFolder, Sample, Split};
use htl_inference::{Evaluation, Predictor, Summary, evaluate_trivial, summary, with_masks};
use htl_metrics::{MapCut, Metric, PerImage};
use htl_mining::MapKind;
use htl_vocabulary::{
    file,
    results::PRIMARY_METRIC,
    trivial::{self, TRIVIAL, Trivial},
    write_whole,
};

use super::parse_split;
use super::predictor_options::{MaskOptions, TileOptions, predictor_params};
use super::telling::Telling;

/// `htl evaluate`.
#[derive(Args)]
pub struct Evaluate {
    /// The network, or several whose maps are averaged
    #[arg(long, required_unless_present = "predictor", num_args = 1..)]
    checkpoint: Vec<PathBuf>,
    #[command(flatten)]
    masks: MaskOptions,
    #[command(flatten)]
    tiles: TileOptions,
    /// A predictor that learns nothing, instead of a network
    #[arg(long, conflicts_with_all = ["checkpoint", "views", "largest_component", "tiles"], value_parser = trivial_predictors())]
    predictor: Option<&'static Trivial>,
    /// The data folder
    #[arg(long)]
    data: PathBuf,
    /// train, val or test
    #[arg(long, default_value = "test", value_parser = parse_split)]
    split: Split,
    /// Only the images of this list: CSV with a column image_id
    #[arg(long, value_name = "FILE")]
    ids: Option<PathBuf>,
    /// fixed: probabilities above one half, class maps above their 75 % quantile. oracle: class maps above the quantile
    /// that is best on the val masks, an upper bound that no result may use
    #[arg(long, default_value = "fixed")]
    threshold: Threshold,
    /// A row per image, CSV. The means are written beside it: summary.json beside per_image.csv, NAME.summary.json beside
    /// NAME.csv
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    telling: Telling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Threshold {
    Fixed,
    Oracle,
}

fn trivial_predictors() -> impl TypedValueParser<Value = &'static Trivial> {
    let values = TRIVIAL.iter().map(|row| PossibleValue::new(row.key).help(row.label));
    PossibleValuesParser::new(values.collect::<Vec<_>>()).try_map(|key| trivial::named(&key).ok_or("unknown predictor"))
}

/// The summary of a table: one of its own, so that two tables in one folder do not overwrite each other's.
fn summary_beside(table: &Path) -> PathBuf {
    match table.file_name() {
        Some(name) if name == file::PER_IMAGE => table.with_file_name(file::SUMMARY),
        _ => table.with_extension(file::SUMMARY),
    }
}

/// What a person wants to know first.
fn words(summary: &Summary, images: usize, out: &Path) -> String {
    let mut words = format!("{images} images in {}", out.display());
    for metric in [PRIMARY_METRIC, "threshold_jaccard", "box_iou"]
        .iter()
        .filter_map(|key| Metric::named(key))
    {
        if let Some(mean) = summary.numbers.get(metric.key) {
            words += &format!("; {} {mean:.4}", metric.key);
        }
    }
    if let Some(worst) = &summary.worst_group {
        words += &format!("; worst group: {} {}, {:.4}", worst.attribute, worst.level, worst.mean);
    }
    words
}

impl Evaluate {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        let data = DataFolder::open(&self.data)?;
        let samples = self.samples(&data)?;
        let (table, summary) = match self.predictor {
            Some(predictor) => {
                let table = evaluate_trivial(predictor, &data, &samples)?;
                let summary = summary(&table)?;
                (table, summary)
            }
            None => self.evaluate_networks(&data, &samples, device)?,
        };
        write_whole(&self.out, table.to_csv()?)?;
        write_whole(&summary_beside(&self.out), serde_json::to_vec_pretty(&summary)?)?;
        self.telling
            .tell(&summary, || words(&summary, table.rows.len(), &self.out))
    }

    /// The images with a mask that results are asked about.
    fn samples<'a>(&self, data: &'a DataFolder) -> anyhow::Result<Vec<&'a Sample>> {
        let samples = with_masks(data, self.split)?;
        let (masks, all) = (samples.len(), data.split(self.split).len());
        let Some(path) = &self.ids else {
            if masks < all {
                tracing::warn!(
                    "{masks} of {all} {} images have a mask: the others are not evaluated",
                    self.split
                );
            }
            return Ok(samples);
        };
        let listed: BTreeSet<&str> = data
            .listed(path)?
            .iter()
            .map(|sample| sample.image_id.as_str())
            .collect();
        let known: BTreeSet<&str> = samples.iter().map(|sample| sample.image_id.as_str()).collect();
        let others: Vec<&str> = listed.difference(&known).copied().collect();
        if let Some(first) = others.first() {
            bail!(
                "{} lists {} images that have no mask or are not in the {} split of {}, such as `{first}`",
                path.display(),
                others.len(),
                self.split,
                data.root().display()
            );
        }
        if listed.is_empty() {
            bail!("{} lists no image", path.display());
        }
        Ok(samples
            .into_iter()
            .filter(|sample| listed.contains(sample.image_id.as_str()))
            .collect())
    }

    fn evaluate_networks(
        &self,
        data: &DataFolder,
        samples: &[&Sample],
        device: &Device,
    ) -> anyhow::Result<(PerImage, Summary)> {
        let params = predictor_params(&self.masks, &self.tiles)?;
        let predictor = params.open(&self.checkpoint, device)?;
        let cut = match (self.threshold, predictor.map_kind()) {
            (Threshold::Fixed, _) => predictor.cut(),
            (Threshold::Oracle, MapKind::Probability) => {
                let given = self.checkpoint.iter().map(|path| path.display().to_string());
                bail!(
                    "--threshold oracle is for class maps; {} is a localizer",
                    given.collect::<Vec<_>>().join(", ")
                )
            }
            (Threshold::Oracle, MapKind::ClassActivation) => {
                let val = Evaluation::of(&predictor, &with_masks(data, Split::Val)?)?;
                MapCut::Quantile(val.best_quantile()?)
            }
        };
        let evaluation = Evaluation::of(&predictor, samples)?;
        let table = evaluation.per_image(cut, data)?;
        let mut summary = summary(&table)?;
        summary.numbers.extend(evaluation.threshold_free()?);
        if let MapCut::Quantile(quantile) = cut {
            summary.numbers.insert("map_quantile".into(), quantile);
        }
        summary.predictor = Some(params.record(&self.checkpoint)?);
        Ok((table, summary))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_summaries_of_their_own() {
        let beside = |table: &str| summary_beside(Path::new(table)).to_string_lossy().into_owned();
        assert_eq!(beside("out/per_image.csv"), "out/summary.json");
        assert_eq!(beside("out/dense.csv"), "out/dense.summary.json");
        assert_eq!(beside("out/sparse-0.8.csv"), "out/sparse-0.8.summary.json");
        assert_eq!(beside("results"), "results.summary.json");
    }
}
