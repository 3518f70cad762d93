//! What a score has to beat: how small and how pale the lesion is, and chance.

use super::{Measure, Need, Score};
use crate::rank::hashed_uniform;

pub(super) const SIZE: Score = Score {
    key: "small_size",
    label: "Small size",
    about: "1 - share of the picture inside the dense consensus mask: small lesions rank hardest",
    needs: &[],
    of: Measure::Maps(|context| {
        let mask = &context.dense.consensus_mask;
        Some(1.0 - mask.area() as f64 / mask.pixels().len() as f64)
    }),
};

pub(super) const CONTRAST: Score = Score {
    key: "low_contrast",
    label: "Low contrast",
    about: "minus the CIE 1976 colour distance of the dense consensus mask to the skin around it; blank where either has no pixel",
    needs: &[Need::Photograph],
    of: Measure::Maps(|context| context.contrast.map(|distance| -distance)),
};

pub(super) const RANDOM: Score = Score {
    key: "random",
    label: "Random",
    about: "uniform in [0, 1), from a hash of the image id",
    needs: &[],
    of: Measure::Maps(|context| Some(hashed_uniform(SEED, &context.image_id))),
};

/// The seed of this score's hash: one that nobody breaks ties with, or its ranks would be theirs.
const SEED: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    /// Neighbouring ids are as good as independent, and the numbers never change.
    #[test]
    fn random_scores_know_only_the_id() {
        let values: Vec<f64> = (0..2000)
            .map(|i| hashed_uniform(SEED, &format!("ISIC_{i:07}")))
            .collect();
        let mean = values.iter().sum::<f64>() / 2000.0;
        let lag: f64 = values.windows(2).map(|w| (w[0] - 0.5) * (w[1] - 0.5)).sum::<f64>() / 2000.0;
        assert!(
            (mean - 0.5).abs() < 0.02 && (lag * 12.0).abs() < 0.07,
            "mean {mean}, lag {lag}"
        );
        assert_eq!(hashed_uniform(SEED, "ISIC_0000000"), values[0]);
        assert_ne!(hashed_uniform(0, "ISIC_0000000"), values[0]);
    }
}
