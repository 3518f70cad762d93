use htl_metrics::{BootstrapParams, Reading, Units, paired_gain};
use htl_vocabulary::EnsembleRow;

use super::judgement::{Jaccards, Judged, Judgement};
use super::table::Risks;
use crate::InferenceError;

/// A predictor of the table.
struct Row {
    key: &'static str,
    /// Trainings, fine-tunings and passes for so many dense networks and views.
    cost: fn(usize, usize) -> [usize; 3],
    /// By network; one number for all of them of an ensemble.
    jaccard: fn(&Jaccards) -> Option<Vec<f64>>,
}

const ROWS: &[Row] = &[
    Row {
        key: "network",
        cost: |_, _| [1, 0, 1],
        jaccard: |known| Some(known.networks.clone()),
    },
    Row {
        key: "views",
        cost: |_, views| [1, 0, views],
        jaccard: |known| known.views.clone(),
    },
    Row {
        key: "ensemble",
        cost: |networks, _| [networks, 0, networks],
        jaccard: |known| several(known, Some(known.ensemble)),
    },
    Row {
        key: "ensemble-views",
        cost: |networks, views| [networks, 0, views * networks],
        jaccard: |known| several(known, known.ensemble_views),
    },
    Row {
        key: "dense-and-sparse",
        cost: |networks, _| [networks, networks, 2 * networks],
        jaccard: |known| Some(vec![known.dense_and_sparse?; known.networks.len()]),
    },
];

/// An ensemble's Jaccard beside every network; `None` where there is one network only.
fn several(known: &Jaccards, ensemble: Option<f64>) -> Option<Vec<f64>> {
    let networks = known.networks.len();
    (networks > 1).then_some(vec![ensemble?; networks])
}

/// What several networks and views are worth, over the images with a mask: the Jaccard of one network, of its views, of all
/// dense networks, of these with all views, and of dense and sparse ones together, as far as there are any. Gains are over
/// single networks, with the interval of [`paired_gain`]: for further networks and images, but the ensemble is this one.
///
/// # Errors
/// [`InferenceError::Metric`] unless there is a cluster per image (see [`htl_metrics::clusters`]), and for a bad bootstrap.
pub fn ensemble_table(
    judgement: &Judgement,
    clusters: &[usize],
    bootstrap: &BootstrapParams,
) -> Result<Vec<EnsembleRow>, InferenceError> {
    let risks = Risks::of(judgement, Judged::Network);
    let clusters = risks.clusters(clusters)?;
    let known: Vec<&Jaccards> = judgement
        .images
        .iter()
        .filter_map(|image| image.jaccard.as_ref())
        .collect();
    let mut rows = Vec::new();
    if known.is_empty() {
        return Ok(rows);
    }
    let mut single: Option<Vec<Vec<f64>>> = None;
    for row in ROWS {
        let Some(table) = by_network(row, &known, judgement.networks) else {
            continue;
        };
        let [trainings, fine_tunings, passes] = (row.cost)(judgement.networks, judgement.views);
        let cells = table.iter().flatten();
        let jaccard = cells.clone().sum::<f64>() / cells.count().max(1) as f64;
        let mut found = EnsembleRow {
            predictor: row.key.into(),
            trainings,
            fine_tunings,
            passes,
            jaccard,
            ..EnsembleRow::default()
        };
        if let Some(single) = &single {
            let gain = paired_gain(&table, single, Units::Clusters(&clusters), bootstrap)?;
            let [lo, hi] = gain.ci95.map(|end| end.is_finite().then_some(end));
            (found.gain, found.lo, found.hi) = (Some(gain.mean), lo, hi);
            found.reading = match gain.reading {
                Reading::Descriptive => "descriptive",
                Reading::Inferential => "inferential",
            }
            .into();
        } else {
            single = Some(table);
        }
        rows.push(found);
    }
    Ok(rows)
}

/// Jaccard by network and image.
fn by_network(row: &Row, known: &[&Jaccards], networks: usize) -> Option<Vec<Vec<f64>>> {
    let images: Vec<Vec<f64>> = known.iter().map(|known| (row.jaccard)(known)).collect::<Option<_>>()?;
    let of = |network: usize| images.iter().map(|image| image.get(network).copied()).collect();
    (0..networks).map(of).collect()
}
