//! Pictures: the hardest training images, the worst test images and suspected label errors with both populations' masks, and
//! test images with their predictions.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use htl_datasets::{DataFolder, Sample, Split};
use htl_inference::{NetworkPredictor, map_of};
use htl_metrics::PerImage;
use htl_mining::{Population, ScoreRow, ScoreTable, column, default_score};
use htl_report::{Colour, GalleryItem, PanelMaker};
use htl_vocabulary::{RunFile, arm, file, run_file, setting};

use super::photo::Photo;

/// Pictures in each gallery.
const HARDEST: usize = 8;
const WORST: usize = 24;
const SUSPECTS: usize = 12;
const EXAMPLES: usize = 6;

/// Score columns under a picture, beside the one that selects.
const SHOWN: [&str; 3] = [column::DISAGREEMENT, column::DENSE_SPREAD, column::DENSE_ERROR];

/// Training images with the scores and the maps of networks that did not see them.
pub struct OutOfFold {
    populations: Vec<Population>,
    table: ScoreTable,
}

impl OutOfFold {
    pub fn read(run: &RunFile, root: &Path) -> anyhow::Result<Self> {
        let maps = run.analysis.maps.iter();
        Ok(Self {
            populations: maps
                .map(|path| Population::load(root.join(path)))
                .collect::<Result<_, _>>()?,
            table: ScoreTable::read(root.join(&run.analysis.scores))?,
        })
    }

    /// The hardest images by the score that selects.
    pub fn hardest(&self, data: &DataFolder, panels: &PanelMaker) -> anyhow::Result<Vec<GalleryItem>> {
        let by = default_score(&self.table);
        self.most(by, HARDEST, |_| true, data, panels)
    }

    /// Images whose masks are suspected to be wrong, those that networks agree least with first.
    pub fn suspects(&self, data: &DataFolder, panels: &PanelMaker) -> anyhow::Result<Vec<GalleryItem>> {
        let suspected = |row: &ScoreRow| self.score(row, column::SUSPECT_LABEL) == Some(1.0);
        self.most(column::DENSE_ERROR, SUSPECTS, suspected, data, panels)
    }

    /// The images with the highest scores in a column, highest first.
    fn most(
        &self,
        by: &str,
        count: usize,
        wanted: impl Fn(&ScoreRow) -> bool,
        data: &DataFolder,
        panels: &PanelMaker,
    ) -> anyhow::Result<Vec<GalleryItem>> {
        let rows = self.table.rows().iter().filter(|row| row.fold.is_some() && wanted(row));
        let mut rows: Vec<(f64, &ScoreRow)> = rows.filter_map(|row| Some((self.score(row, by)?, row))).collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.image_id.cmp(&b.1.image_id)));
        let mut items = Vec::new();
        for (_, row) in rows.into_iter().take(count) {
            let id = &row.image_id;
            let population = self
                .populations
                .iter()
                .find(|population| population.position(id).is_some());
            let (Some(sample), Some(population)) = (data.get(id), population) else {
                continue;
            };
            let mut shown: Vec<&str> = vec![default_score(&self.table)];
            shown.extend(SHOWN);
            items.push(GalleryItem {
                image_id: id.clone(),
                caption: caption(sample),
                scores: shown
                    .into_iter()
                    .filter_map(|name| Some((name.to_owned(), self.score(row, name)?)))
                    .collect(),
                panels: Photo::of(sample, panels)?.with_populations(sample, population)?,
                ..GalleryItem::default()
            });
        }
        Ok(items)
    }

    fn score(&self, row: &ScoreRow, name: &str) -> Option<f64> {
        let place = self.table.columns().iter().position(|column| column == name)?;
        row.scores.get(place).copied().flatten()
    }
}

/// The test images with the lowest Jaccard, mean over the seeds of the arm whose networks were mined.
pub fn failures(
    run: &RunFile,
    root: &Path,
    data: &DataFolder,
    panels: &PanelMaker,
) -> anyhow::Result<Vec<GalleryItem>> {
    let mut settings: Vec<(&String, &run_file::Setting)> = run.settings.iter().collect();
    settings.sort_by_key(|(key, _)| setting::position(key));
    let first = settings
        .into_iter()
        .find_map(|(_, files)| Some((files, files.test_maps.as_ref()?, files.mined_arm.as_ref()?)));
    let Some((files, maps, mined)) = first else {
        return Ok(Vec::new());
    };
    let population = Population::load(root.join(maps))?;
    let mut quality: BTreeMap<String, Vec<(f64, bool)>> = BTreeMap::new();
    for seed in files.arms.get(mined).into_iter().flatten() {
        for row in PerImage::from_csv(&std::fs::read(root.join(&seed.per_image))?)?.rows {
            let missed = row.scores.tp == 0 && row.scores.fn_ > 0;
            quality
                .entry(row.scores.image_id)
                .or_default()
                .push((row.scores.jaccard, missed));
        }
    }
    let mean = |seeds: &[(f64, bool)]| seeds.iter().map(|(jaccard, _)| jaccard).sum::<f64>() / seeds.len() as f64;
    let mut worst: Vec<(f64, &String, usize, usize)> = quality
        .iter()
        .map(|(id, seeds)| {
            (
                mean(seeds),
                id,
                seeds.iter().filter(|(_, missed)| *missed).count(),
                seeds.len(),
            )
        })
        .collect();
    worst.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)));
    let mut items = Vec::new();
    for (jaccard, id, missed, seeds) in worst.into_iter().take(WORST) {
        let (Some(sample), Some(_)) = (data.get(id), population.position(id)) else {
            continue;
        };
        let missed = (missed > 0).then(|| format!("missed by {missed} of {seeds} networks"));
        let known = [Some(caption(sample)).filter(|caption| !caption.is_empty()), missed];
        items.push(GalleryItem {
            image_id: id.clone(),
            caption: known.into_iter().flatten().collect::<Vec<_>>().join("; "),
            scores: [("jaccard".to_owned(), jaccard)].into(),
            panels: Photo::of(sample, panels)?.with_populations(sample, &population)?,
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
    let with_mask = |sample: &&Sample| sample.mask.is_some();
    let test: Vec<&Sample> = data.split(Split::Test).into_iter().filter(with_mask).collect();
    let count = EXAMPLES.min(test.len());
    let mut items = Vec::new();
    for index in 0..count {
        let sample = test[index * test.len() / count];
        let photo = Photo::of(sample, panels)?;
        let mut masks = vec![("truth", photo.truth(sample)?, Colour::TRUTH)];
        for (arm, colour, predictor) in &predictors {
            let map = map_of(predictor, &sample.image_id, photo.rgb())?;
            let [width, height] = [photo.rgb().width(), photo.rgb().height()].map(|side| side as usize);
            masks.push((arm.in_sentence, Some(photo.mask(&map, height, width)?), *colour));
        }
        items.push(GalleryItem {
            image_id: sample.image_id.clone(),
            caption: caption(sample),
            panels: photo.with_outlines(&masks)?,
            ..GalleryItem::default()
        });
    }
    Ok(items)
}

/// What is known of the person and the lesion.
fn caption(sample: &Sample) -> String {
    let age = sample.age_approx.map(|age| format!("{age:.0} years"));
    let known = [age, sample.sex.clone(), sample.anatom_site.clone(), sample.dx.clone()];
    known.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
