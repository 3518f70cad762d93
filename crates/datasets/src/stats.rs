use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use crate::{DataFolder, DatasetError, Split, image_size, read_mask_for};

/// What a data folder holds, per split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FolderStats {
    /// Number of images per split.
    pub images: BTreeMap<Split, usize>,
    /// Number of masks per split.
    pub masks: BTreeMap<Split, usize>,
    /// Field, then level (`unknown` for blank ones), then split: number of images. Ages are in bands of ten years.
    pub fields: BTreeMap<String, BTreeMap<String, BTreeMap<Split, usize>>>,
    /// Lesion area as a part of the frame, per split with masks.
    pub area: BTreeMap<Split, AreaStats>,
}

/// Quantiles of the lesion's part of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AreaStats {
    /// Smallest.
    pub min: f64,
    /// 5 % quantile.
    pub p05: f64,
    /// Median.
    pub median: f64,
    /// 95 % quantile.
    pub p95: f64,
    /// Largest.
    pub max: f64,
    /// Mean.
    pub mean: f64,
}

impl FolderStats {
    /// Counts a folder. Fields are sex, anatom_site, dx, age (bands `0-9`, `10-19`, ..., `80+`) and every other column
    /// of at most twenty levels.
    ///
    /// # Errors
    /// As [`read_mask_for`]: every mask is read for its area.
    pub fn of(folder: &DataFolder) -> Result<Self, DatasetError> {
        let mut stats = Self {
            images: BTreeMap::new(),
            masks: BTreeMap::new(),
            fields: BTreeMap::new(),
            area: BTreeMap::new(),
        };
        let columns: Vec<&String> = folder
            .columns()
            .iter()
            .filter(|column| !["image_id", "split"].contains(&column.as_str()))
            .collect();
        for sample in folder.samples() {
            *stats.images.entry(sample.split).or_default() += 1;
            *stats.masks.entry(sample.split).or_default() += usize::from(sample.mask.is_some());
            for column in &columns {
                let level = match (column.as_str(), sample.age_approx) {
                    ("age_approx", age) => age.map(age_band),
                    _ => sample.field(column),
                };
                let level = level.unwrap_or_else(|| "unknown".to_owned());
                let levels = stats.fields.entry((*column).clone()).or_default();
                *levels.entry(level).or_default().entry(sample.split).or_default() += 1;
            }
        }
        stats
            .fields
            .retain(|column, levels| crate::COLUMNS.contains(&column.as_str()) || levels.len() <= 20);

        let areas = folder
            .samples()
            .par_iter()
            .filter_map(|sample| Some((sample, sample.mask.as_ref()?)))
            .map(|(sample, path)| {
                let mask = read_mask_for(path, &sample.image, image_size(&sample.image)?)?;
                let white = mask.iter().filter(|value| **value > 128).count();
                Ok((sample.split, white as f64 / mask.len().max(1) as f64))
            })
            .collect::<Result<Vec<(Split, f64)>, DatasetError>>()?;
        for split in Split::ALL {
            let mut values: Vec<f64> = areas
                .iter()
                .filter(|(s, _)| *s == split)
                .map(|(_, area)| *area)
                .collect();
            values.sort_by(f64::total_cmp);
            if let Some(area) = AreaStats::of(&values) {
                stats.area.insert(split, area);
            }
        }
        Ok(stats)
    }
}

impl AreaStats {
    fn of(sorted: &[f64]) -> Option<Self> {
        let at = |part: f64| sorted.get((part * (sorted.len() - 1) as f64).round() as usize).copied();
        if sorted.is_empty() {
            return None;
        }
        Some(Self {
            min: at(0.)?,
            p05: at(0.05)?,
            median: at(0.5)?,
            p95: at(0.95)?,
            max: at(1.)?,
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
        })
    }
}

fn age_band(age: f64) -> String {
    let decade = (age / 10.).floor() as u32 * 10;
    if decade >= 80 {
        "80+".to_owned()
    } else {
        format!("{decade}-{}", decade + 9)
    }
}
