use htl_metrics::resize_bilinear;

use super::{Measure, Need, Score};

/// How sharply the worst pixels count; the default of `cleanlab`.
const TEMPERATURE: f64 = 0.1;

/// Quality of a mask by the probabilities that a network gives its pixels: their mean with weights
/// `exp((1 - s) / temperature)`, so that the worst pixels decide (Lad and Mueller 2023, "Estimating label quality and
/// errors in semantic segmentation data via any model"). In (0, 1], 1 for a mask that is certainly right.
fn softmin(map: &[f32], truth: &[u8]) -> Option<f64> {
    let (mut weights, mut sum) = (0.0, 0.0);
    for (&p, &label) in map.iter().zip(truth) {
        let p = f64::from(p);
        let given = if label == 1 { p } else { 1.0 - p };
        let weight = ((1.0 - given) / TEMPERATURE).exp();
        weights += weight;
        sum += weight * given;
    }
    (weights > 0.0).then(|| sum / weights)
}

pub(super) const SOFTMIN: Score = Score {
    key: "softmin",
    label: "Low mask quality",
    about: "1 - softmin over pixels of the dense consensus probability of the mask's label, temperature 0.1 (Lad and Mueller 2023, as `cleanlab` scores masks)",
    needs: &[Need::Truth, Need::Probabilities],
    of: Measure::Maps(|context| {
        let (truth, mask) = (context.truth.as_ref()?, &context.dense.consensus_mask);
        let (from, to) = ((mask.height(), mask.width()), (truth.height(), truth.width()));
        let map = resize_bilinear(&context.dense.consensus, from, to).ok()?;
        let quality = softmin(&map, truth.pixels())?;
        Some(1.0 - quality)
    }),
};
