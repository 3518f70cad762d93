use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use candle_core::Device;
use clap::Args;
use htl_datasets::{DataFolder, ImageSet, MaskUse, Sample, Split};
use htl_metrics::{
    Better, BoxAccuracy, Calibration, CentredDisc, ImageScores, Mask, MeanScores, MetricByGroup, PixelPrecision,
    Proposals, ScoreMap, otsu_darkness, resize_bilinear, whole_image,
};
use htl_models::{Checkpoint, Network};
use htl_trainers::{localization_maps, stored_masks};

use super::{parse_split, write_atomically};
use crate::per_image::{GROUP_COLUMNS, Row, groups_of, set_terciles, to_csv};

/// Share of a class activation map's pixels outside its mask, fixed before any mask was looked at.
pub const MAP_QUANTILE: f64 = 0.75;

/// Smallest group that may be called the worst.
const LEAST_GROUP: usize = 10;

/// `htl evaluate`.
#[derive(Args)]
pub struct Evaluate {
    /// The network
    #[arg(long, required_unless_present = "predictor")]
    checkpoint: Option<PathBuf>,
    /// A predictor that learns nothing, instead of a network
    #[arg(long, conflicts_with = "checkpoint")]
    predictor: Option<Predictor>,
    /// The data folder
    #[arg(long)]
    data: PathBuf,
    /// train, val or test
    #[arg(long, default_value = "test", value_parser = parse_split)]
    split: Split,
    /// fixed: probabilities above one half, class maps above their 75 % quantile. oracle: class maps above the quantile
    /// that is best on the val masks, an upper bound that no result may use
    #[arg(long, default_value = "fixed")]
    threshold: Threshold,
    /// A row per image, CSV; summary.json is written beside it
    #[arg(long)]
    out: PathBuf,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Predictor {
    WholeImage,
    CentredDisc,
    Otsu,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Threshold {
    Fixed,
    Oracle,
}

/// Where a map becomes a mask.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// Above this value.
    Value(f32),
    /// Above this quantile of the map's own values.
    Quantile(f64),
}

impl Evaluate {
    pub fn run(self, device: &Device) -> anyhow::Result<()> {
        let data = DataFolder::open(&self.data)?;
        let samples = with_masks(&data, self.split)?;
        let (mut rows, mut summary) = match (&self.checkpoint, self.predictor) {
            (Some(path), _) => self.evaluate_network(path, &data, &samples, device)?,
            (None, Some(predictor)) => (evaluate_predictor(predictor, &data, &samples)?, BTreeMap::new()),
            (None, None) => bail!("give --checkpoint or --predictor"),
        };
        set_terciles(&mut rows);
        summary.extend(means(&rows)?);
        write_atomically(&self.out, &to_csv(&rows)?)?;
        write_atomically(
            &self.out.with_file_name("summary.json"),
            &serde_json::to_vec_pretty(&summary)?,
        )
    }

    fn evaluate_network(
        &self,
        path: &Path,
        data: &DataFolder,
        samples: &[&Sample],
        device: &Device,
    ) -> anyhow::Result<(Vec<Row>, BTreeMap<String, f64>)> {
        let (meta, network) = Checkpoint::load(path, device)?;
        let is_localizer = matches!(network, Network::UNet(_));
        let judged = Judged::new(&meta, &network, samples, device)?;
        let cut = match (is_localizer, self.threshold) {
            (true, Threshold::Oracle) => bail!(
                "--threshold oracle is for class maps; {} is a localizer",
                path.display()
            ),
            (true, Threshold::Fixed) => Cut::Value(0.5),
            (false, Threshold::Fixed) => Cut::Quantile(MAP_QUANTILE),
            (false, Threshold::Oracle) => {
                let val = Judged::new(&meta, &network, &with_masks(data, Split::Val)?, device)?;
                Cut::Quantile(val.best_quantile()?)
            }
        };
        let rows = judged.rows(cut, data)?;
        let mut summary = judged.threshold_free(is_localizer)?;
        if let Cut::Quantile(quantile) = cut {
            summary.insert("map_quantile".into(), quantile);
        }
        Ok((rows, summary))
    }
}

/// The samples of a split that have a mask to be judged by.
fn with_masks(data: &DataFolder, split: Split) -> anyhow::Result<Vec<&Sample>> {
    let samples: Vec<&Sample> = data.split(split).into_iter().filter(|s| s.mask.is_some()).collect();
    if samples.is_empty() {
        bail!(
            "{}: no image of the split `{split}` has a mask to evaluate against",
            data.root().display()
        );
    }
    Ok(samples)
}

/// Maps of a network at the stored sizes of the truth.
struct Judged {
    ids: Vec<String>,
    maps: Vec<Vec<f32>>,
    truths: Vec<Mask>,
}

impl Judged {
    fn new(meta: &Checkpoint, network: &Network, samples: &[&Sample], device: &Device) -> anyhow::Result<Self> {
        let size = meta.preprocessing.size;
        let images = ImageSet::load(samples, size, MaskUse::Required)?;
        let truths = stored_masks(&images)?;
        let maps = localization_maps(network, &images, &meta.preprocessing, device)?;
        let maps = truths
            .iter()
            .enumerate()
            .map(|(index, truth)| {
                let map: Vec<f32> = maps.get(index)?.flatten_all()?.to_vec1()?;
                Ok(resize_bilinear(&map, (size, size), (truth.height(), truth.width()))?)
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            ids: images.ids().into_iter().map(str::to_owned).collect(),
            maps,
            truths,
        })
    }

    fn masks(&self, cut: Cut) -> anyhow::Result<Vec<Mask>> {
        let mask = |(map, truth): (&Vec<f32>, &Mask)| {
            let threshold = match cut {
                Cut::Value(value) => value,
                Cut::Quantile(quantile) => quantile_of(map, quantile),
            };
            let pixels = map.iter().map(|p| u8::from(*p > threshold)).collect();
            Ok(Mask::new(truth.height(), truth.width(), pixels)?)
        };
        self.maps.iter().zip(&self.truths).map(mask).collect()
    }

    fn rows(&self, cut: Cut, data: &DataFolder) -> anyhow::Result<Vec<Row>> {
        let masks = self.masks(cut)?;
        let predictions = self.ids.iter().zip(&masks).zip(&self.truths);
        predictions
            .map(|((id, mask), truth)| row(id, mask, truth, data))
            .collect()
    }

    /// The quantile with the best mean Jaccard on these images.
    fn best_quantile(&self) -> anyhow::Result<f64> {
        let mut best = (f64::MIN, MAP_QUANTILE);
        for percent in (40..=98).step_by(2) {
            let quantile = f64::from(percent) / 100.0;
            let mut sum = 0.0;
            for (mask, truth) in self.masks(Cut::Quantile(quantile))?.iter().zip(&self.truths) {
                sum += htl_metrics::Confusion::of(mask, truth)?.jaccard();
            }
            if sum > best.0 {
                best = (sum, quantile);
            }
        }
        Ok(best.1)
    }

    /// Metrics of the maps themselves; calibration only where maps are probabilities.
    fn threshold_free(&self, is_localizer: bool) -> anyhow::Result<BTreeMap<String, f64>> {
        let mut boxes = BoxAccuracy::new(Proposals::LargestContour);
        let mut precision = PixelPrecision::new();
        let mut calibration = Calibration::new();
        for (map, truth) in self.maps.iter().zip(&self.truths) {
            let Some(bounds) = truth.largest_component_box() else {
                continue;
            };
            let scores = ScoreMap::unit(truth.height(), truth.width(), map.clone())?;
            boxes.add(&scores, &[bounds])?;
            precision.add(&scores, truth)?;
            calibration.add(map, truth)?;
        }
        let mut summary = BTreeMap::from([
            ("max_box_acc_v2".to_owned(), boxes.max_box_acc_v2()?),
            ("px_ap".to_owned(), precision.px_ap()?),
        ]);
        if is_localizer {
            summary.insert("calibration_error".into(), calibration.expected_error()?);
            summary.insert("brier".into(), calibration.brier()?);
        }
        Ok(summary)
    }
}

/// The value below which a share of the values lies.
fn quantile_of(values: &[f32], quantile: f64) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let index = (quantile * sorted.len() as f64) as usize;
    sorted
        .get(index.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0.0)
}

fn row(id: &str, mask: &Mask, truth: &Mask, data: &DataFolder) -> anyhow::Result<Row> {
    let scores = ImageScores::of(id, mask, truth).with_context(|| format!("image {id}"))?;
    Ok(Row {
        scores,
        groups: groups_of(data.get(id)),
    })
}

fn evaluate_predictor(predictor: Predictor, data: &DataFolder, samples: &[&Sample]) -> anyhow::Result<Vec<Row>> {
    let stored = |sample: &Sample| -> anyhow::Result<Mask> {
        let path = sample
            .mask
            .as_deref()
            .with_context(|| format!("image {}: no mask", sample.image_id))?;
        let mask = htl_datasets::read_mask(path)?;
        Ok(Mask::from_luma(
            mask.height() as usize,
            mask.width() as usize,
            mask.as_raw(),
        )?)
    };
    let disc = match predictor {
        Predictor::CentredDisc => {
            let train = with_masks(data, Split::Train)?
                .into_iter()
                .map(stored)
                .collect::<anyhow::Result<Vec<_>>>()?;
            Some(CentredDisc::fit(&train)?)
        }
        Predictor::WholeImage | Predictor::Otsu => None,
    };
    samples
        .iter()
        .map(|sample| {
            let truth = stored(sample)?;
            let (height, width) = (truth.height(), truth.width());
            let mask = match (&disc, predictor) {
                (Some(disc), _) => disc.predict(height, width)?,
                (None, Predictor::Otsu) => {
                    let rgb = htl_datasets::read_rgb(&sample.image)?;
                    let planar: Vec<f32> = (0..3)
                        .flat_map(|c| rgb.pixels().map(move |p| f32::from(p.0[c]) / 255.0))
                        .collect();
                    otsu_darkness(height, width, &planar).with_context(|| sample.image.display().to_string())?
                }
                (None, _) => whole_image(height, width)?,
            };
            row(&sample.image_id, &mask, &truth, data)
        })
        .collect()
}

/// Means over the images, pooled metrics, and the worst group of at least ten images.
fn means(rows: &[Row]) -> anyhow::Result<BTreeMap<String, f64>> {
    let scores: Vec<ImageScores> = rows.iter().map(|r| r.scores.clone()).collect();
    let mut summary = BTreeMap::new();
    if let serde_json::Value::Object(fields) = serde_json::to_value(MeanScores::of(&scores)?)? {
        summary.extend(
            fields
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.as_f64()?))),
        );
    }
    let values: Vec<f64> = scores.iter().map(|s| s.jaccard).collect();
    let worst = (0..GROUP_COLUMNS.len())
        .filter_map(|column| {
            let level = |row: &Row| Some(row.groups[column].clone()).filter(|level| !level.is_empty());
            let levels: Vec<Option<String>> = rows.iter().map(level).collect();
            let by_group = MetricByGroup::of(&values, &levels).ok()?;
            by_group.worst(LEAST_GROUP, Better::Higher).map(|group| group.mean)
        })
        .min_by(f64::total_cmp);
    if let Some(worst) = worst {
        summary.insert("worst_group_jaccard".into(), worst);
    }
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantile_leaves_the_stated_share_above() {
        let values: Vec<f32> = (0..100).map(|v| v as f32).collect();
        let threshold = quantile_of(&values, 0.75);
        assert_eq!(values.iter().filter(|v| **v > threshold).count(), 24);
        assert_eq!(quantile_of(&[], 0.5), 0.0);
    }
}
