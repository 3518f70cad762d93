//! Pictures: the hardest training images with both populations' masks, and test images with their predictions.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use candle_core::Device;
use htl_datasets::{DataFolder, RgbImage, Sample, Split};
use htl_inference::{NetworkPredictor, Predictor, map_of};
use htl_metrics::resize_bilinear;
use htl_mining::{Population, ScoreTable, column, default_score};
use htl_report::{Colour, GalleryItem, Panel, PanelMaker, Picture};
use htl_vocabulary::{RunFile, arm, file, setting};
use indexmap::IndexMap;

/// Pictures in each gallery.
const HARDEST: usize = 8;
const EXAMPLES: usize = 6;

/// Pictures are enlarged to about this many pixels.
const SIDE: usize = 256;

/// The hardest images by the score that selects, out of fold.
pub fn hardest(run: &RunFile, root: &Path, data: &DataFolder, panels: &PanelMaker) -> anyhow::Result<Vec<GalleryItem>> {
    let populations = run
        .analysis
        .maps
        .iter()
        .map(|path| Population::load(root.join(path)))
        .collect::<Result<Vec<_>, _>>()?;
    let table = ScoreTable::read(root.join(&run.analysis.scores))?;
    let of_folds = populations.iter().flat_map(Population::ids);
    let out_of_fold: BTreeMap<&String, IndexMap<String, f64>> = of_folds
        .filter_map(|id| {
            let row = table
                .rows()
                .iter()
                .find(|row| row.image_id == *id && row.fold.is_some())?;
            let scores = table.columns().iter().zip(&row.scores);
            Some((
                id,
                scores
                    .filter_map(|(name, score)| Some((name.clone(), (*score)?)))
                    .collect(),
            ))
        })
        .collect();
    let by = default_score(&table);
    let hardness = |scores: &IndexMap<String, f64>| scores.get(by).copied().unwrap_or(f64::MIN);
    let mut hardest: Vec<_> = out_of_fold.into_iter().collect();
    hardest.sort_by(|a, b| hardness(&b.1).total_cmp(&hardness(&a.1)).then(a.0.cmp(b.0)));
    let mut items = Vec::new();
    for (id, scores) in hardest.into_iter().take(HARDEST) {
        let Some(sample) = data.get(id) else { continue };
        let Some((population, position)) = populations.iter().find_map(|p| Some((p, p.position(id)?))) else {
            continue;
        };
        let planes = population.planes(position)?;
        let (height, width) = population.size();
        let photo = Photo::of(sample, panels)?;
        let mut shown = vec![photo.panel("image", None)?];
        if let Some(truth) = photo.truth(sample)? {
            shown.push(photo.panel("truth", Some((&truth, Colour::TRUTH)))?);
        }
        for ((title, colour), plane) in [("dense", Colour::DENSE), ("sparse", Colour::SPARSE)]
            .into_iter()
            .zip(&planes)
        {
            shown.push(photo.panel(title, Some((&photo.mask(plane, height, width)?, colour)))?);
        }
        let scores = [by, column::DISAGREEMENT, column::DENSE_SPREAD, column::DENSE_ERROR]
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), *scores.get(*name)?)))
            .collect();
        items.push(GalleryItem {
            image_id: id.clone(),
            caption: caption(sample),
            scores,
            panels: shown,
            ..GalleryItem::default()
        });
    }
    Ok(items)
}

/// Test images evenly spread over the sorted ids, with the predictions of the first seed's baseline and attended network.
pub fn examples(
    run: &RunFile,
    root: &Path,
    data: &DataFolder,
    device: &Device,
    panels: &PanelMaker,
) -> anyhow::Result<Vec<GalleryItem>> {
    let Some(files) = run.settings.get(setting::SUPERVISED.key) else {
        return Ok(Vec::new());
    };
    let mut predictors = Vec::new();
    for (arm, colour) in [(arm::BASELINE, Colour::DENSE), (arm::HTL, Colour::SPARSE)] {
        let Some(first) = files.arms.get(arm.key).and_then(|seeds| seeds.first()) else {
            continue;
        };
        let path = root.join(&first.folder).join(file::CHECKPOINT);
        predictors.push((arm, colour, NetworkPredictor::load(&path, device)?));
    }
    let test: Vec<&Sample> = data
        .split(Split::Test)
        .into_iter()
        .filter(|s| s.mask.is_some())
        .collect();
    let count = EXAMPLES.min(test.len());
    let mut items = Vec::new();
    for index in 0..count {
        let sample = test[index * test.len() / count];
        let photo = Photo::of(sample, panels)?;
        let mut shown = Vec::new();
        if let Some(truth) = photo.truth(sample)? {
            shown.push(photo.panel("truth", Some((&truth, Colour::TRUTH)))?);
        }
        for (arm, colour, predictor) in &predictors {
            let map = map_of(predictor, &sample.image_id, &photo.rgb)?;
            let size = predictor.preprocessing().size;
            shown.push(photo.panel(arm.label, Some((&photo.mask(&map, size, size)?, *colour)))?);
        }
        items.push(GalleryItem {
            image_id: sample.image_id.clone(),
            caption: caption(sample),
            panels: shown,
            ..GalleryItem::default()
        });
    }
    Ok(items)
}

/// An image of the data folder, to draw on.
struct Photo<'a> {
    rgb: RgbImage,
    panels: &'a PanelMaker,
}

impl<'a> Photo<'a> {
    fn of(sample: &Sample, panels: &'a PanelMaker) -> anyhow::Result<Self> {
        Ok(Self {
            rgb: htl_datasets::read_rgb(&sample.image)?,
            panels,
        })
    }

    fn size(&self) -> (usize, usize) {
        (self.rgb.height() as usize, self.rgb.width() as usize)
    }

    fn truth(&self, sample: &Sample) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(path) = &sample.mask else { return Ok(None) };
        Ok(Some(htl_datasets::read_mask(path)?.into_raw()))
    }

    /// A map's mask at the image's size.
    fn mask(&self, map: &[f32], height: usize, width: usize) -> anyhow::Result<Vec<u8>> {
        let resized = resize_bilinear(map, (height, width), self.size())?;
        Ok(resized.iter().map(|p| u8::from(*p > 0.5)).collect())
    }

    fn panel(&self, title: &str, outline: Option<(&[u8], Colour)>) -> anyhow::Result<Panel> {
        let (height, width) = self.size();
        let picture = Picture {
            rgb: self.rgb.as_raw(),
            height,
            width,
            scale: (SIDE / height.max(width).max(1)).clamp(1, htl_report::MAX_SCALE),
        };
        let outlines: Vec<_> = outline.into_iter().collect();
        self.panels
            .panel(title, picture, &outlines)
            .with_context(|| format!("panel {title}"))
    }
}

/// What is known of the person and the lesion.
fn caption(sample: &Sample) -> String {
    let age = sample.age_approx.map(|age| format!("{age:.0} years"));
    let known = [age, sample.sex.clone(), sample.anatom_site.clone(), sample.dx.clone()];
    known.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
