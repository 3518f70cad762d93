//! What `htl refer` writes: the tables of signals, curves, routing and ensembles, and `referral.json`.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::read_json;
use crate::{FormatError, file};

/// Columns of `referred.csv` before those of the signals.
pub const REFERRED_COLUMNS: [&str; 4] = ["image_id", "network", "jaccard", "referred"];

/// One uncertainty signal, a row of `referral.csv`. Risk is 1 − Jaccard; numbers are means over the networks, each judged by its
/// own signal, and `None` where the signal is missing or no mask is known.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReferralRow {
    /// Key of the signal.
    pub signal: String,
    /// Its name.
    pub label: String,
    /// Trainings from scratch that the signal takes, the judged network's own among them.
    pub trainings: usize,
    /// Fine-tunings beside them.
    pub fine_tunings: usize,
    /// Forward passes per image, the judged network's own among them.
    pub passes: usize,
    /// Networks that were judged.
    pub networks: usize,
    /// Images with a mask.
    pub images: usize,
    /// Area under the risk-coverage curve.
    pub aurc: Option<f64>,
    /// That, less the area of the oracle.
    pub excess_aurc: Option<f64>,
    /// Area under the generalised risk-coverage curve: the risk that slips through.
    pub augrc: Option<f64>,
    /// How much of the way from random referral to the oracle, by `aurc`: 1 is the oracle, 0 chance, negative worse than chance.
    pub share_of_oracle: Option<f64>,
    /// Mean Jaccard with nobody referred.
    pub jaccard: Option<f64>,
    /// Mean Jaccard of the others when the most uncertain 10 % are referred.
    pub jaccard_without_10: Option<f64>,
    /// The same for 20 %.
    pub jaccard_without_20: Option<f64>,
    /// What is missing for this signal, in words; blank where it has a value.
    pub missing: String,
}

/// One signal less another, a row of `referral_differences.csv`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReferralDifferenceRow {
    /// Key of the signal.
    pub signal: String,
    /// Key of the signal that it is compared with, on the same images and networks.
    pub against: String,
    /// `aurc` or `augrc` (less is better), or `jaccard_without_20` (more is better).
    pub measure: String,
    /// Mean over the networks.
    pub difference: f64,
    /// Lower end of the 95 % interval of the paired bootstrap over lesions; the networks are these.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
    /// Networks.
    pub networks: usize,
    /// Images.
    pub images: usize,
}

/// A point of a risk-coverage curve, a row of `risk_coverage.csv`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RiskCoverageRow {
    /// Key of the signal.
    pub signal: String,
    /// Images kept: the most certain ones.
    pub kept: usize,
    /// Their share of all, in (0, 1].
    pub coverage: f64,
    /// Their mean Jaccard, mean over the networks.
    pub jaccard: f64,
}

/// Where more computing goes, a row of `routing.csv`: the most uncertain share of the images is judged by all networks and
/// views, every other by one network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RoutingRow {
    /// Key of the signal that chooses.
    pub signal: String,
    /// Share of the images chosen, in [0, 1].
    pub share: f64,
    /// Forward passes per image, on average: the signal's, and what the chosen ones get beyond them.
    pub passes: f64,
    /// Trainings from scratch, the signal's and the ensemble's.
    pub trainings: usize,
    /// Fine-tunings beside them.
    pub fine_tunings: usize,
    /// Mean Jaccard over all images, mean over the networks that judge the others.
    pub jaccard: f64,
}

/// A predictor of one or several networks, a row of `ensembles.csv`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EnsembleRow {
    /// `network`, `views`, `ensemble`, `ensemble-views` or `dense-and-sparse`.
    pub predictor: String,
    /// Trainings from scratch.
    pub trainings: usize,
    /// Fine-tunings beside them.
    pub fine_tunings: usize,
    /// Forward passes per image.
    pub passes: usize,
    /// Mean Jaccard; of single networks the mean over them.
    pub jaccard: f64,
    /// What it is more than that of single networks; `None` in their own row.
    pub gain: Option<f64>,
    /// Lower end of the gain's 95 % interval.
    pub lo: Option<f64>,
    /// Upper end.
    pub hi: Option<f64>,
    /// `descriptive` with fewer than five networks (the interval is about these), else `inferential`; blank without a gain.
    pub reading: String,
}

/// `referral.json`: above which value of which signal an image is referred, chosen on the val split without a mask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferralChoice {
    /// Key of the signal.
    pub by: String,
    /// Key of the predictor that is judged: `network`, `views` or `ensemble`.
    pub predictor: String,
    /// Share of the val images that was to be referred, in (0, 1).
    pub share: f64,
    /// Sparsities of the pruned copies, for signals that prune.
    pub sparsities: Vec<f64>,
    /// Views of an image that are averaged and compared: `flips` or `symmetries`.
    #[serde(default = "all_views")]
    pub views: String,
    /// Whether masks keep their largest connected part only.
    #[serde(default)]
    pub largest_component: bool,
    /// One per network, in order; a single one of an ensemble.
    pub thresholds: Vec<ReferralThreshold>,
    /// SHA-256 of every checkpoint, dense ones first: thresholds are those networks' own.
    pub checkpoints: Vec<String>,
    /// The split that was judged.
    pub split: String,
    /// Images of it.
    pub images: usize,
}

/// The views of files that are older than the choice.
fn all_views() -> String {
    "symmetries".into()
}

/// The threshold of one network, and what it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferralThreshold {
    /// An image is referred if its signal is above this.
    pub above: f64,
    /// Share of the val images referred; less than asked for where images tie.
    pub val_referred: f64,
    /// Share of the judged images referred.
    pub referred: f64,
    /// Mean Jaccard of all judged images with a mask; `null` without one.
    pub jaccard: Option<f64>,
    /// Mean Jaccard of those that are kept.
    pub jaccard_kept: Option<f64>,
}

impl ReferralChoice {
    /// Reads a `referral.json`.
    ///
    /// # Errors
    /// [`FormatError::Io`], and [`FormatError::Json`] naming the field that does not fit.
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        let choice: Self = read_json(path, file::REFERRAL_CHOICE)?;
        let wrong = |field: &str, reason: String| {
            Err(FormatError::Json {
                path: path.to_owned(),
                what: file::REFERRAL_CHOICE,
                field: field.into(),
                reason,
            })
        };
        if choice.thresholds.is_empty() {
            return wrong("thresholds", "there is none".into());
        }
        if !(choice.share > 0.0 && choice.share < 1.0) {
            return wrong("share", format!("{} is not in (0, 1)", choice.share));
        }
        Ok(choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file::REFERRAL_CHOICE);
        let choice = ReferralChoice {
            by: "forgetting".into(),
            predictor: "network".into(),
            share: 0.2,
            sparsities: vec![0.5, 0.9],
            views: "flips".into(),
            largest_component: true,
            thresholds: vec![ReferralThreshold {
                above: 0.123_456_789,
                val_referred: 0.25,
                referred: 0.2,
                jaccard: Some(0.7),
                jaccard_kept: None,
            }],
            checkpoints: vec!["ab".into()],
            split: "test".into(),
            images: 4,
        };
        crate::write_whole(&path, serde_json::to_string(&choice).unwrap()).unwrap();
        assert_eq!(ReferralChoice::read(&path).unwrap(), choice);
        let text = std::fs::read_to_string(&path).unwrap();
        let list = &text[text.find("[{").unwrap()..text.find("}]").unwrap() + 2];
        for (field, broken) in [
            ("share", text.replace("\"share\":0.2", "\"share\":1.5")),
            ("thresholds", text.replace(list, "[]")),
        ] {
            crate::write_whole(&path, broken).unwrap();
            let said = ReferralChoice::read(&path).unwrap_err().to_string();
            assert!(said.contains(field), "{said}");
        }
    }
}
