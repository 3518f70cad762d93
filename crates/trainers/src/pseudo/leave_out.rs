use htl_datasets::{ImageSet, Sampler};
use htl_metrics::Confusion;
use htl_mining::{ScoreTable, rank};

use super::params::{LeaveOut, PseudoMasks};
use super::source::{Prior, Source};
use crate::TrainError;

/// Puts equal scores in order: the same in every training.
const TIES: u64 = 0;

/// Whether each image takes part.
pub(super) fn kept(
    params: &PseudoMasks,
    source: &Source,
    prior: Prior<'_>,
    images: &ImageSet,
    seed: u64,
) -> Result<Vec<bool>, TrainError> {
    let ids = images.ids();
    let Some(leave_out) = &params.leave_out else {
        return Ok(vec![true; ids.len()]);
    };
    let count = (leave_out.share * ids.len() as f64).round() as usize;
    if count >= ids.len() {
        return Err(TrainError::Parameter {
            key: "pseudo.leave_out.share",
            message: "a share that leaves images to train on".into(),
            found: leave_out.share.to_string(),
        });
    }
    let mut kept = vec![true; ids.len()];
    match leave_out.by.as_str() {
        // The first draws of a shuffle.
        "random" => {
            let drawn = Sampler::uniform(ids.len(), seed)?.batch(0, count);
            drawn.into_iter().for_each(|image| kept[image] = false);
        }
        "prior" => {
            let mut order: Vec<usize> = (0..ids.len()).collect();
            let known = prior.masks(images)?;
            let pairs = source.masks.iter().zip(&known);
            let apart = pairs
                .map(|(mask, known)| Ok(1.0 - Confusion::of(mask, known)?.jaccard()))
                .collect::<Result<Vec<f64>, TrainError>>()?;
            order.sort_by(|&a, &b| apart[b].total_cmp(&apart[a]).then_with(|| ids[a].cmp(ids[b])));
            order[..count].iter().for_each(|&image| kept[image] = false);
        }
        column => {
            let hardest = hardest(leave_out, column, &ids, count)?;
            for (image, id) in ids.iter().enumerate() {
                kept[image] = !hardest.iter().any(|hard| hard == id);
            }
        }
    }
    Ok(kept)
}

/// The ids with the largest scores, of those that are trained on.
fn hardest(leave_out: &LeaveOut, column: &str, ids: &[&str], count: usize) -> Result<Vec<String>, TrainError> {
    let Some(path) = &leave_out.scores else {
        return Err(TrainError::Parameter {
            key: "pseudo.leave_out.scores",
            message: format!("the score table of `htl mine` with a column {column}"),
            found: "nothing".into(),
        });
    };
    let table = ScoreTable::read(path)?.filtered(|row| ids.contains(&row.image_id.as_str()));
    Ok(rank(&table, column, TIES)?.hardest(count)?)
}
