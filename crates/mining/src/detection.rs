//! How well a score finds images that are known to be special: planted, mislabelled, revised.

use crate::error::{MiningError, Result};

/// Area under the receiver operating characteristic: the probability that a special image scores higher than another, ties
/// counting half. `None` if all images are special or none is. Images without a score are left out.
///
/// Matches `sklearn.metrics.roc_auc_score`.
///
/// # Errors
/// [`MiningError::Length`] if the lists differ in length, [`MiningError::Parameter`] if a score is not a number.
pub fn auroc(scores: &[Option<f64>], special: &[bool]) -> Result<Option<f64>> {
    let levels = levels(scores, special)?;
    let [special, others] = totals(&levels);
    if special == 0 || others == 0 {
        return Ok(None);
    }
    let (mut above, mut wins) = (0, 0.0);
    for &[found, wrong] in &levels {
        wins += wrong as f64 * (above as f64 + found as f64 / 2.0);
        above += found;
    }
    Ok(Some(wins / (special as f64 * others as f64)))
}

/// Average precision: precision at each score that occurs, weighted by the recall that it adds, from the highest score down.
/// A random score has the share of special images. `None` if no image is special. Images without a score are left out.
///
/// Matches `sklearn.metrics.average_precision_score`.
///
/// # Errors
/// As [`auroc`].
pub fn average_precision(scores: &[Option<f64>], special: &[bool]) -> Result<Option<f64>> {
    let levels = levels(scores, special)?;
    let [special, _] = totals(&levels);
    if special == 0 {
        return Ok(None);
    }
    let (mut found, mut taken, mut sum) = (0, 0, 0.0);
    for &[right, wrong] in &levels {
        found += right;
        taken += right + wrong;
        sum += right as f64 * found as f64 / taken as f64;
    }
    Ok(Some(sum / special as f64))
}

/// Special and other images at each score, from the highest score down.
fn levels(scores: &[Option<f64>], special: &[bool]) -> Result<Vec<[usize; 2]>> {
    if scores.len() != special.len() {
        return Err(MiningError::Length {
            what: "flags of special images",
            found: special.len(),
            expected: scores.len(),
        });
    }
    let mut pairs: Vec<(f64, bool)> = scores
        .iter()
        .zip(special)
        // + 0.0 makes -0 and 0 tie.
        .filter_map(|(score, special)| Some(((*score)? + 0.0, *special)))
        .collect();
    if let Some(&(found, _)) = pairs.iter().find(|(score, _)| score.is_nan()) {
        return Err(MiningError::Parameter {
            name: "score",
            expected: "a number, or missing",
            found,
        });
    }
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let by_score = pairs.chunk_by(|a, b| a.0 == b.0);
    let count = |chunk: &[(f64, bool)]| {
        let special = chunk.iter().filter(|(_, special)| *special).count();
        [special, chunk.len() - special]
    };
    Ok(by_score.map(count).collect())
}

fn totals(levels: &[[usize; 2]]) -> [usize; 2] {
    [0, 1].map(|kind| levels.iter().map(|level| level[kind]).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECIAL: [bool; 4] = [true, false, true, false];

    fn both(scores: [f64; 4]) -> (f64, f64) {
        let scores = scores.map(Some);
        (
            auroc(&scores, &SPECIAL).unwrap().unwrap(),
            average_precision(&scores, &SPECIAL).unwrap().unwrap(),
        )
    }

    #[test]
    fn perfect_hopeless_and_constant_scores() {
        assert_eq!(both([3.0, 1.0, 2.0, 0.0]), (1.0, 1.0));
        assert_eq!(both([0.0, 2.0, 1.0, 3.0]).0, 0.0);
        assert_eq!(both([1.0; 4]), (0.5, 0.5));
        assert_eq!(both([f64::INFINITY, 1.0, 2.0, 0.0]), (1.0, 1.0));
    }

    #[test]
    fn blanks_are_left_out_and_bad_input_is_named() {
        let scores = [Some(1.0), None, None, Some(0.0)];
        assert_eq!(auroc(&scores, &SPECIAL).unwrap(), Some(1.0));
        assert_eq!(auroc(&scores, &[true; 4]).unwrap(), None);
        assert_eq!(average_precision(&scores, &[false; 4]).unwrap(), None);
        assert!(auroc(&scores, &SPECIAL[..3]).is_err());
        assert!(auroc(&[Some(f64::NAN)], &[true]).is_err());
    }
}
