//! Who is referred, image by image.

use std::path::Path;

use anyhow::ensure;
use htl_inference::referral::{Judged, Judgement, SignalScores};
use htl_vocabulary::{REFERRED_COLUMNS, ReferralThreshold, write_whole};

use super::{Rule, share_above, values_of};

/// The judged images, and whether each judged predictor refers them.
pub(super) struct Referred {
    judged: Judged,
    ids: Vec<String>,
    /// By judged predictor and image.
    referred: Vec<Vec<bool>>,
    jaccard: Vec<Vec<Option<f64>>>,
    /// With what they do to these images.
    pub thresholds: Vec<ReferralThreshold>,
    /// The signal that refers, mean over the judged predictors.
    pub signal: Vec<f64>,
}

impl Referred {
    /// Applies thresholds, one per judged predictor.
    pub(super) fn new(
        judgement: &Judgement,
        rule: &Rule,
        scores: &[SignalScores],
        thresholds: Vec<ReferralThreshold>,
    ) -> anyhow::Result<Self> {
        let values = values_of(rule.by, scores)?;
        ensure!(
            thresholds.len() == values.len(),
            "{} thresholds for {} judged networks: --threshold is of another run",
            thresholds.len(),
            values.len()
        );
        let above = |(values, threshold): (&Vec<f64>, &ReferralThreshold)| -> Vec<bool> {
            values.iter().map(|value| *value > threshold.above).collect()
        };
        let referred: Vec<Vec<bool>> = values.iter().zip(&thresholds).map(above).collect();
        let jaccard: Vec<Vec<Option<f64>>> = (0..values.len())
            .map(|replicate| judgement.jaccard(rule.judged, replicate))
            .collect();
        let done = values.iter().zip(thresholds).zip(referred.iter().zip(&jaccard));
        let thresholds = done.map(|((values, threshold), (referred, jaccard))| {
            let kept = jaccard.iter().zip(referred).filter(|(_, referred)| !**referred);
            ReferralThreshold {
                referred: share_above(values, threshold.above),
                jaccard: mean(jaccard.iter().copied().flatten()),
                jaccard_kept: mean(kept.filter_map(|(jaccard, _)| *jaccard)),
                ..threshold
            }
        });
        let count = values.len().max(1) as f64;
        Ok(Self {
            judged: rule.judged,
            ids: judgement.images.iter().map(|image| image.image_id.clone()).collect(),
            thresholds: thresholds.collect(),
            signal: (0..judgement.images.len())
                .map(|image| values.iter().filter_map(|of| of.get(image)).sum::<f64>() / count)
                .collect(),
            referred,
            jaccard,
        })
    }

    /// The images, and whether more than half of the judged predictors refer them.
    pub(super) fn by_most(&self) -> impl Iterator<Item = (&String, bool)> {
        self.ids.iter().enumerate().map(|(image, id)| {
            let votes = self.referred.iter().filter(|of| of.get(image) == Some(&true)).count();
            (id, 2 * votes > self.referred.len())
        })
    }

    /// Writes a row per judged predictor and image: `network` is its place among the dense ones, from 0, and blank for an
    /// ensemble.
    pub(super) fn write(&self, path: &Path, scores: &[SignalScores]) -> anyhow::Result<()> {
        let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
        let mut writer = csv::Writer::from_writer(Vec::new());
        let signals = scores.iter().map(|one| one.signal.key);
        writer.write_record(REFERRED_COLUMNS.into_iter().chain(signals))?;
        for (replicate, (referred, jaccard)) in self.referred.iter().zip(&self.jaccard).enumerate() {
            let network = match self.judged {
                Judged::Network | Judged::Views => replicate.to_string(),
                Judged::Ensemble => String::new(),
            };
            for (image, ((id, referred), jaccard)) in self.ids.iter().zip(referred).zip(jaccard).enumerate() {
                let keys = [
                    id.clone(),
                    network.clone(),
                    number(*jaccard),
                    u8::from(*referred).to_string(),
                ];
                let value = |one: &SignalScores| {
                    one.values
                        .get(replicate)
                        .and_then(|of| of.get(image))
                        .copied()
                        .flatten()
                };
                let values = scores.iter().map(|one| number(value(one)));
                writer.write_record(keys.into_iter().chain(values))?;
            }
        }
        Ok(write_whole(path, writer.into_inner()?)?)
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
