use htl_metrics::RiskCoverage;
use htl_vocabulary::RoutingRow;

use super::judgement::{Judged, Judgement};
use super::table::{Risks, SignalScores, signal_scores};
use crate::InferenceError;

/// Shares of the images that get more computing, in `routing.csv`.
pub const ROUTED_SHARES: [f64; 5] = [0.0, 0.1, 0.2, 0.4, 1.0];

/// Where more computing goes: every image is judged by one network, the most uncertain share of them by all dense networks and
/// views instead (those that were looked at), for every signal that has values. Over the images with a mask, whose own order decides;
/// `seed` is that of the random signal.
///
/// Passes that a signal makes and the ensemble would make, too, are counted once.
///
/// # Errors
/// [`InferenceError::Metric`]; none for a judgement of [`judge`](super::judge).
pub fn routing_table(judgement: &Judgement, seed: u64) -> Result<Vec<RoutingRow>, InferenceError> {
    let judged = Judged::Network;
    let risks = Risks::of(judgement, judged);
    let all: Vec<f64> = risks
        .images
        .iter()
        .filter_map(|&image| {
            let known = judgement.images.get(image)?.jaccard.as_ref()?;
            Some(known.ensemble_views.unwrap_or(known.ensemble))
        })
        .collect();
    let views = judgement.images.iter().any(|image| {
        let known = image.jaccard.as_ref();
        known.is_some_and(|known| known.ensemble_views.is_some())
    });
    let passes = judgement.networks * if views { judgement.views } else { 1 };
    let mut rows = Vec::new();
    for one in signal_scores(judgement, judged, seed) {
        let Some(curves) = one.curves(&risks)? else { continue };
        for share in ROUTED_SHARES {
            rows.push(row(&one, share, judgement, passes, &curves, &risks, &all));
        }
    }
    Ok(rows)
}

fn row(
    one: &SignalScores,
    share: f64,
    judgement: &Judgement,
    passes: usize,
    curves: &[RiskCoverage],
    risks: &Risks,
    all: &[f64],
) -> RoutingRow {
    let images = risks.images.len();
    let count = (share * images as f64).round() as usize;
    let mut sum = 0.0;
    for (curve, risk) in curves.iter().zip(&risks.risks) {
        for ((chance, risk), all) in curve.chances(count).into_iter().zip(risk).zip(all) {
            sum += chance * all + (1.0 - chance) * (1.0 - risk);
        }
    }
    let cost = one.signal.cost(&judgement.setup(Judged::Network));
    let routed = count as f64 / images as f64;
    RoutingRow {
        signal: one.signal.key.into(),
        share: routed,
        passes: cost.passes as f64 + routed * passes.saturating_sub(cost.shared) as f64,
        trainings: match count {
            0 => cost.trainings,
            _ => cost.trainings.max(judgement.networks),
        },
        fine_tunings: cost.fine_tunings,
        jaccard: sum / (images * curves.len()) as f64,
    }
}
