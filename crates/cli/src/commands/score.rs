use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use htl_datasets::{GrayImage, read_mask, read_prediction};
use htl_metrics::{Confusion, Mask, ScoreSummary};

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
    /// Folder of predicted masks
    #[arg(long)]
    pred: PathBuf,
}

impl Score {
    pub fn run(self) -> anyhow::Result<()> {
        let truths = masks_by_id(&self.truth)?;
        let predictions = masks_by_id(&self.pred)?;
        if let Some((id, path)) = truths.iter().find(|(id, _)| !predictions.contains_key(*id)) {
            bail!("{}: no prediction for `{id}` ({})", self.pred.display(), path.display());
        }
        if let Some((id, path)) = predictions.iter().find(|(id, _)| !truths.contains_key(*id)) {
            bail!("{}: no truth for `{id}` ({})", self.truth.display(), path.display());
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

/// The PNG files of a folder by the id that their names start with: `ISIC_0000000.png`,
/// `ISIC_0000000_segmentation.png`.
fn masks_by_id(folder: &Path) -> anyhow::Result<BTreeMap<String, PathBuf>> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if !path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) {
            continue;
        }
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        let id = match stem.strip_prefix("ISIC_") {
            Some(rest) => format!("ISIC_{}", rest.split('_').next().unwrap_or_default()),
            None => stem.strip_suffix("_segmentation").unwrap_or(stem).to_owned(),
        };
        if let Some(other) = found.get(&id) {
            bail!(
                "{} and {} both belong to `{id}`: keep one",
                other.display(),
                path.display()
            );
        }
        found.insert(id, path);
    }
    ensure!(!found.is_empty(), "{} holds no PNG file", folder.display());
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_names_start_with() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "ISIC_0000001_segmentation.png",
            "ISIC_0000002.png",
            "mole_7.png",
            "mole_8_segmentation.png",
        ] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        std::fs::write(folder.path().join("notes.txt"), b"").unwrap();
        let ids: Vec<String> = masks_by_id(folder.path()).unwrap().into_keys().collect();
        assert_eq!(ids, ["ISIC_0000001", "ISIC_0000002", "mole_7", "mole_8"]);
    }

    #[test]
    fn two_files_of_one_id_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["ISIC_0000001_segmentation.png", "ISIC_0000001.png"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        assert!(
            masks_by_id(folder.path())
                .unwrap_err()
                .to_string()
                .contains("both belong")
        );
    }
}
