use std::path::Path;

use htl_vocabulary::results::{Metrics, Rated, Referral};
use htl_vocabulary::{EnsembleRow, ReferralRow, read_rows, run_file};

use crate::ReportError;

/// What `htl refer` wrote, for `results.json`: signals that could be judged, the best first, and ensembles.
pub(crate) fn read(files: &run_file::Referral, root: &Path) -> Result<Option<Referral>, ReportError> {
    let signals: Vec<ReferralRow> = read_rows(&root.join(&files.signals))?;
    let ensembles: Vec<EnsembleRow> = read_rows(&root.join(&files.ensembles))?;
    let signals = judged(&signals);
    if signals.is_empty() {
        return Ok(None);
    }
    Ok(Some(Referral {
        signals: signals
            .into_iter()
            .map(|row| (row.signal.clone(), signal(row)))
            .collect(),
        ensembles: ensembles
            .iter()
            .map(|row| (row.predictor.clone(), ensemble(row)))
            .collect(),
    }))
}

/// The signals that could be judged, the best first.
pub(crate) fn judged(signals: &[ReferralRow]) -> Vec<&ReferralRow> {
    let mut judged: Vec<&ReferralRow> = signals.iter().filter(|row| row.aurc.is_some()).collect();
    judged.sort_by(|a, b| a.aurc.partial_cmp(&b.aurc).unwrap_or(std::cmp::Ordering::Equal));
    judged
}

/// What a predictor is, for people.
pub(crate) fn predictor(key: &str) -> &'static str {
    match key {
        "network" => "One network",
        "views" => "With eight views",
        "ensemble" => "All networks",
        "ensemble-views" => "All networks with eight views",
        "dense-and-sparse" => "All networks and their pruned, fine-tuned copies",
        _ => "Another predictor",
    }
}

fn signal(row: &ReferralRow) -> Rated {
    Rated {
        label: row.label.clone(),
        numbers: numbers(
            [row.trainings, row.fine_tunings, row.passes],
            [
                ("aurc", row.aurc),
                ("share_of_oracle", row.share_of_oracle),
                ("jaccard", row.jaccard),
                ("jaccard_without_10", row.jaccard_without_10),
                ("jaccard_without_20", row.jaccard_without_20),
            ],
        ),
    }
}

fn ensemble(row: &EnsembleRow) -> Rated {
    Rated {
        label: predictor(&row.predictor).to_owned(),
        numbers: numbers(
            [row.trainings, row.fine_tunings, row.passes],
            [
                ("jaccard", Some(row.jaccard)),
                ("gain", row.gain),
                ("lo", row.lo),
                ("hi", row.hi),
            ],
        ),
    }
}

fn numbers<const N: usize>(costs: [usize; 3], values: [(&str, Option<f64>); N]) -> Metrics {
    let costs = ["trainings", "fine_tunings", "passes"]
        .into_iter()
        .zip(costs.map(|count| count as f64));
    let values = values.into_iter().filter_map(|(name, value)| Some((name, value?)));
    costs
        .chain(values)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
