use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use htl_datasets::{FileKind, GrayImage, find_files, read_mask, read_prediction, unused_in_words};
use htl_metrics::{Confusion, Mask, ScoreSummary};
use htl_vocabulary::file;

use super::print;

/// `htl score`.
#[derive(Args)]
#[command(
    after_help = "Predictions are read as the official scorer reads them: any grey, inside above 128. Truths have to be masks: what \
    `htl data verify` refuses is refused."
)]
pub struct Score {
    /// Folder of truth masks
    #[arg(long)]
    truth: PathBuf,
    /// Folder of predicted masks, or what `htl predict --out` wrote
    #[arg(long)]
    pred: PathBuf,
}

impl Score {
    pub fn run(self) -> anyhow::Result<()> {
        let truths = files(&self.truth, FileKind::Mask, None)?;
        let ids: BTreeSet<&str> = truths.keys().map(String::as_str).collect();
        let predicted = match self.pred.join(file::PREDICTIONS).exists() {
            true => self.pred.join("masks"),
            false => self.pred.clone(),
        };
        let predictions = files(&predicted, FileKind::Prediction, Some(&ids))?;
        let lacking = |of: &Files, others: &Files| of.keys().filter(|id| !others.contains_key(*id)).cloned().collect();
        let without: Vec<String> = lacking(&truths, &predictions);
        if let Some(first) = without.first() {
            let (count, all) = (without.len(), truths.len());
            bail!(
                "{}: no prediction for {count} of {all} truths, such as `{first}`",
                self.pred.display()
            );
        }
        let without: Vec<String> = lacking(&predictions, &truths);
        if let Some(first) = without.first() {
            let (count, all) = (without.len(), predictions.len());
            bail!(
                "{}: no truth for {count} of {all} predictions, such as `{first}`",
                self.truth.display()
            );
        }
        let mut pairs = Vec::with_capacity(truths.len());
        for (id, truth_path) in &truths {
            let prediction_path = &predictions[id];
            let truth = mask(&read_mask(truth_path)?)?;
            let prediction = mask(&read_prediction(prediction_path)?)?;
            let confusion = Confusion::of(&prediction, &truth)
                .with_context(|| format!("{} against {}", prediction_path.display(), truth_path.display()))?;
            pairs.push((id.clone(), confusion));
        }
        print(&serde_json::to_string_pretty(&ScoreSummary::of(&pairs)?)?)?;
        Ok(())
    }
}

fn mask(stored: &GrayImage) -> anyhow::Result<Mask> {
    let (width, height) = stored.dimensions();
    Ok(Mask::from_luma(height as usize, width as usize, stored.as_raw())?)
}

type Files = BTreeMap<String, PathBuf>;

/// The masks of a folder by id; what else is there is said.
fn files(folder: &Path, kind: FileKind, known: Option<&BTreeSet<&str>>) -> anyhow::Result<Files> {
    let found = find_files(folder, kind, known)?;
    ensure!(!found.by_id.is_empty(), "{} holds no PNG file", folder.display());
    for line in unused_in_words(&found.unused) {
        tracing::warn!("{line}");
    }
    Ok(found.by_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `htl predict` writes for a folder of masks is scored against it as it is.
    #[test]
    fn predictions_find_their_truths() {
        let folder = tempfile::tempdir().unwrap();
        let (truth, pred) = (folder.path().join("truth"), folder.path().join("pred"));
        let mask = GrayImage::from_fn(8, 8, |x, _| image::Luma([if x < 4 { 255 } else { 0 }]));
        let write = |folder: &Path, names: &[&str]| {
            std::fs::create_dir_all(folder).unwrap();
            names.iter().for_each(|name| mask.save(folder.join(name)).unwrap());
        };
        write(
            &truth,
            &[
                "ISIC_0000001_segmentation.png",
                "ISIC_0000001_downsampled.png",
                "IMD002_lesion.png",
            ],
        );
        write(
            &pred,
            &[
                "ISIC_0000001_mask.png",
                "ISIC_0000001_overlay.png",
                "ISIC_0000001_downsampled_mask.png",
                "IMD002_mask.png",
            ],
        );
        std::fs::write(pred.join("._IMD002_mask.png"), "").unwrap();
        let score = || {
            Score {
                truth: truth.clone(),
                pred: pred.clone(),
            }
            .run()
        };
        score().unwrap();
        std::fs::remove_file(pred.join("IMD002_mask.png")).unwrap();
        let error = score().unwrap_err().to_string();
        assert!(
            error.contains("no prediction for 1 of 3 truths, such as `IMD002`"),
            "{error}"
        );
        // As `htl predict` lays them out.
        let out = folder.path().join("out");
        write(
            &out.join("masks"),
            &["ISIC_0000001.png", "ISIC_0000001_downsampled.png", "IMD002.png"],
        );
        std::fs::write(out.join(file::PREDICTIONS), "image\n").unwrap();
        let truth = truth.clone();
        Score { truth, pred: out }.run().unwrap();
    }
}
