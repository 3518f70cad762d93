use std::collections::BTreeSet;

use htl_datasets::{DataFolder, Sample, Split};

/// Images that normalisation statistics are re-estimated on, at most.
const MOST: usize = 256;

/// Fewest images that normalisation statistics are re-estimated on, if there are others.
const LEAST: usize = 32;

/// The images that normalisation statistics of pruned networks are re-estimated on: training images that are not judged, as out
/// of fold; all training images where that leaves fewer than 32; the judged ones where the folder has none; at most 256 of
/// them, evenly over the list.
pub fn recalibration_images<'a>(data: &'a DataFolder, judged: &[&'a Sample]) -> Vec<&'a Sample> {
    let ids: BTreeSet<&str> = judged.iter().map(|sample| sample.image_id.as_str()).collect();
    let all = data.split(Split::Train);
    let others: Vec<&Sample> = all
        .iter()
        .copied()
        .filter(|sample| !ids.contains(sample.image_id.as_str()))
        .collect();
    let images = if others.len() >= LEAST {
        others
    } else if all.is_empty() {
        judged.to_vec()
    } else {
        all
    };
    // Neighbours in the list may be of one source.
    let count = images.len().min(MOST);
    (0..count)
        .filter_map(|at| images.get(at * images.len() / count).copied())
        .collect()
}
