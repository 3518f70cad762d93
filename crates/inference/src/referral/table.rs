use htl_metrics::{BootstrapParams, RiskCoverage, RiskMeasure, Units, risk_difference};
use htl_vocabulary::{ReferralDifferenceRow, ReferralRow, RiskCoverageRow};

use super::judgement::{Judged, Judgement};
use super::signal::{Curve, SIGNALS, Signal, key};
use crate::InferenceError;

/// Signals that every other is compared with: what costs a training more, what costs nothing, and chance.
const AGAINST: [&str; 4] = [key::SECOND_NETWORK, key::ENTROPY, key::ENTROPY_OVER_AREA, key::RANDOM];

/// The two shares that are referred in `referral.csv`.
const SHARES: [f64; 2] = [0.1, 0.2];

/// By what signals are compared.
const MEASURES: [RiskMeasure; 3] = [
    RiskMeasure::Area,
    RiskMeasure::GeneralisedArea,
    RiskMeasure::RiskWithout(SHARES[1]),
];

/// One signal's values.
#[derive(Debug, Clone)]
pub struct SignalScores {
    /// The signal.
    pub signal: &'static Signal,
    /// By judged predictor and image; `None` where something is missing.
    pub values: Vec<Vec<Option<f64>>>,
}

/// The values of all signals for a judged predictor; `seed` is that of the random signal.
pub fn signal_scores(judgement: &Judgement, judged: Judged, seed: u64) -> Vec<SignalScores> {
    let evidence: Vec<_> = (0..judgement.replicates(judged))
        .map(|replicate| judgement.evidence(judged, replicate, seed))
        .collect();
    let of = |signal: &'static Signal| SignalScores {
        signal,
        values: evidence
            .iter()
            .map(|images| images.iter().map(|image| signal.value(image)).collect())
            .collect(),
    };
    SIGNALS.iter().map(of).collect()
}

impl SignalScores {
    /// What the signal lacks, in words; `None` where any image has a value.
    pub fn missing(&self) -> Option<&'static str> {
        let any = self.values.iter().flatten().any(Option::is_some);
        let needed = self.signal.needs.first().map_or("", |need| need.words());
        (!any).then_some(needed)
    }

    /// Its risk-coverage curves, one per judged predictor, over the images with a risk; `None` if a value is missing there.
    pub(super) fn curves(&self, risks: &Risks) -> Result<Option<Vec<RiskCoverage>>, InferenceError> {
        if risks.images.is_empty() {
            return Ok(None);
        }
        let mut curves = Vec::with_capacity(self.values.len());
        for (values, risk) in self.values.iter().zip(&risks.risks) {
            let known = risks.images.iter().map(|&image| values.get(image).copied().flatten());
            let Some(known) = known.collect::<Option<Vec<f64>>>() else {
                return Ok(None);
            };
            curves.push(match self.signal.curve {
                Curve::Ranked => RiskCoverage::of(&known, risk)?,
                Curve::Expected => RiskCoverage::random(risk)?,
            });
        }
        Ok(Some(curves))
    }
}

/// The images with a mask, and 1 - Jaccard of every judged predictor there.
pub(super) struct Risks {
    /// Places in the judgement.
    pub images: Vec<usize>,
    /// By judged predictor and image.
    pub risks: Vec<Vec<f64>>,
}

impl Risks {
    pub(super) fn of(judgement: &Judgement, judged: Judged) -> Self {
        let jaccards: Vec<Vec<Option<f64>>> = (0..judgement.replicates(judged))
            .map(|replicate| judgement.jaccard(judged, replicate))
            .collect();
        let known = |image: &usize| {
            let mut of_image = jaccards.iter().map(|of| of.get(*image).copied().flatten());
            of_image.all(|jaccard| jaccard.is_some())
        };
        let images: Vec<usize> = (0..judgement.images.len()).filter(known).collect();
        let risks = jaccards.iter().map(|of| {
            let known = images.iter().filter_map(|&image| of.get(image).copied().flatten());
            known.map(|jaccard| 1.0 - jaccard).collect()
        });
        Self {
            risks: risks.collect(),
            images,
        }
    }

    /// The clusters of the images with a mask.
    pub(super) fn clusters(&self, clusters: &[usize]) -> Result<Vec<usize>, InferenceError> {
        Ok(Units::Clusters(clusters).select(&self.images)?)
    }
}

/// What signals are worth.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SignalTables {
    /// `referral.csv`.
    pub signals: Vec<ReferralRow>,
    /// `referral_differences.csv`.
    pub differences: Vec<ReferralDifferenceRow>,
    /// `risk_coverage.csv`.
    pub curves: Vec<RiskCoverageRow>,
}

/// What each signal is worth for a judged predictor, over the images with a mask; means over the judged predictors, each by its
/// own signal. `clusters` says which images show one lesion or patient (see [`htl_metrics::clusters`]): the bootstrap draws
/// those.
///
/// Without any mask there are the costs and what is missing, and no numbers.
///
/// # Errors
/// [`InferenceError::Metric`] unless there is a cluster per image, and for a bad bootstrap.
pub fn signal_table(
    judgement: &Judgement,
    judged: Judged,
    scores: &[SignalScores],
    clusters: &[usize],
    bootstrap: &BootstrapParams,
) -> Result<SignalTables, InferenceError> {
    let risks = Risks::of(judgement, judged);
    let clusters = risks.clusters(clusters)?;
    let oracle: Option<f64> = match risks.images.is_empty() {
        true => None,
        false => Some(mean_of(&risks.risks, |risk| Ok(RiskCoverage::oracle(risk)?.area()))?),
    };
    let mut curves: Vec<(&'static str, Vec<RiskCoverage>)> = Vec::new();
    let mut tables = SignalTables::default();
    for one in scores {
        let cost = one.signal.cost(&judgement.setup(judged));
        let mut row = ReferralRow {
            signal: one.signal.key.into(),
            label: one.signal.label.into(),
            trainings: cost.trainings,
            fine_tunings: cost.fine_tunings,
            passes: cost.passes,
            networks: one.values.len(),
            images: risks.images.len(),
            missing: one.missing().unwrap_or_default().into(),
            ..ReferralRow::default()
        };
        if let (Some(found), Some(oracle)) = (one.curves(&risks)?, oracle) {
            fill(&mut row, &found, oracle)?;
            tables.curves.extend(points(one.signal, &found));
            curves.push((one.signal.key, found));
        }
        tables.signals.push(row);
    }
    for (signal, method) in &curves {
        for (against, control) in curves.iter().filter(|(key, _)| AGAINST.contains(key) && key != signal) {
            for measure in MEASURES {
                let units = Units::Clusters(&clusters);
                let found = risk_difference(method, control, measure, units, bootstrap)?;
                // Less risk is more Jaccard.
                let (name, [difference, lo, hi]) = match measure {
                    RiskMeasure::Area => ("aurc", [found.difference, found.ci95[0], found.ci95[1]]),
                    RiskMeasure::GeneralisedArea => ("augrc", [found.difference, found.ci95[0], found.ci95[1]]),
                    RiskMeasure::RiskWithout(_) => (
                        "jaccard_without_20",
                        [found.difference, found.ci95[1], found.ci95[0]].map(|risk| 0.0 - risk),
                    ),
                };
                tables.differences.push(ReferralDifferenceRow {
                    signal: (*signal).into(),
                    against: (*against).into(),
                    measure: name.into(),
                    difference,
                    lo,
                    hi,
                    networks: found.networks,
                    images: found.images,
                });
            }
        }
    }
    Ok(tables)
}

fn fill(row: &mut ReferralRow, curves: &[RiskCoverage], oracle: f64) -> Result<(), InferenceError> {
    let mean = |of: &dyn Fn(&RiskCoverage) -> Result<f64, InferenceError>| mean_of(curves, of);
    let aurc = mean(&|curve| Ok(curve.area()))?;
    let risk = mean(&|curve| Ok(curve.risk_without(0.0)?))?;
    let [ten, twenty] = SHARES.map(|share| mean(&|curve| Ok(curve.risk_without(share)?)));
    let possible = risk - oracle;
    row.aurc = Some(aurc);
    row.excess_aurc = Some(aurc - oracle);
    row.augrc = Some(mean(&|curve| Ok(curve.generalised_area()))?);
    row.share_of_oracle = (possible > 1e-12).then(|| (risk - aurc) / possible);
    row.jaccard = Some(1.0 - risk);
    row.jaccard_without_10 = Some(1.0 - ten?);
    row.jaccard_without_20 = Some(1.0 - twenty?);
    Ok(())
}

/// The mean curve.
fn points(signal: &Signal, curves: &[RiskCoverage]) -> Vec<RiskCoverageRow> {
    let mut rows: Vec<RiskCoverageRow> = Vec::new();
    for curve in curves {
        for (place, point) in curve.points().into_iter().enumerate() {
            let jaccard = (1.0 - point.risk) / curves.len() as f64;
            match rows.get_mut(place) {
                Some(row) => row.jaccard += jaccard,
                None => rows.push(RiskCoverageRow {
                    signal: signal.key.into(),
                    kept: point.kept,
                    coverage: point.coverage,
                    jaccard,
                }),
            }
        }
    }
    rows
}

fn mean_of<T>(values: &[T], of: impl Fn(&T) -> Result<f64, InferenceError>) -> Result<f64, InferenceError> {
    let mut sum = 0.0;
    for value in values {
        sum += of(value)?;
    }
    Ok(sum / values.len().max(1) as f64)
}
