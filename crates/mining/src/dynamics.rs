use std::collections::HashMap;

use htl_vocabulary::DynamicsRow;

use crate::error::{MiningError, Result};
use crate::score::{DYNAMICS_SCORE_COLUMNS, DynamicsContext, SCORES};
use crate::table::{ScoreRow, ScoreTable};

/// Scores of images by the histories of one or several trainings, each the rows of a `dynamics.csv`: columns are
/// [`DYNAMICS_SCORE_COLUMNS`], rows in the order in which the first training names its images.
/// [`ScoreTable::join`] puts them beside the scores of maps.
///
/// Scores are means over the trainings; their epochs need not be the same.
///
/// ```
/// use htl_mining::dynamics_scores;
/// use htl_vocabulary::DynamicsRow;
///
/// let row = |epoch, correct| DynamicsRow { image_id: "a".into(), epoch, loss: 0.7, margin: 0.1, el2n: 0.5, correct };
/// let run = vec![row(1, true), row(2, false), row(3, true), row(4, false)];
/// assert_eq!(dynamics_scores(&[run])?.score("a", "forgetting_events"), Some(2.0));
/// # Ok::<(), htl_mining::MiningError>(())
/// ```
///
/// # Errors
/// [`MiningError::NoDynamics`] without rows, [`MiningError::MissingId`] if a training has not judged an image that another
/// has, [`MiningError::DuplicateId`] if one has judged an image twice in an epoch.
pub fn dynamics_scores(runs: &[Vec<DynamicsRow>]) -> Result<ScoreTable> {
    let histories: Vec<History<'_>> = runs
        .iter()
        .enumerate()
        .map(|(index, rows)| match rows.is_empty() {
            true => Err(MiningError::NoDynamics { training: index + 1 }),
            false => History::of(rows, format!("the dynamics of training {}", index + 1)),
        })
        .collect::<Result<_>>()?;
    let first = histories.first().ok_or(MiningError::NoDynamics { training: 1 })?;
    for (one, other) in histories
        .iter()
        .flat_map(|history| [(first, history), (history, first)])
    {
        if let Some(id) = one.ids.iter().find(|id| !other.rows.contains_key(*id)) {
            return Err(MiningError::MissingId {
                image_id: (*id).to_owned(),
                place: other.place.clone(),
            });
        }
    }
    let mut table = ScoreTable::new(DYNAMICS_SCORE_COLUMNS);
    for id in &first.ids {
        let runs = histories.iter().filter_map(|history| history.rows.get(id).cloned());
        let context = DynamicsContext { runs: runs.collect() };
        let scores = SCORES
            .iter()
            .filter(|score| DYNAMICS_SCORE_COLUMNS.contains(&score.key));
        table.push(ScoreRow {
            image_id: (*id).to_owned(),
            setting: String::new(),
            fold: None,
            scores: scores.map(|score| score.of_dynamics(&context)).collect(),
            htl: false,
        })?;
    }
    Ok(table)
}

/// One training by image.
struct History<'a> {
    place: String,
    /// Ids in order of appearance.
    ids: Vec<&'a str>,
    /// Rows of an image by rising epoch.
    rows: HashMap<&'a str, Vec<&'a DynamicsRow>>,
}

impl<'a> History<'a> {
    fn of(all: &'a [DynamicsRow], place: String) -> Result<Self> {
        let (mut ids, mut rows) = (Vec::new(), HashMap::<&str, Vec<&DynamicsRow>>::new());
        for row in all {
            let of_image = rows.entry(&row.image_id).or_default();
            if of_image.is_empty() {
                ids.push(row.image_id.as_str());
            }
            of_image.push(row);
        }
        for of_image in rows.values_mut() {
            of_image.sort_by_key(|row| row.epoch);
            if let Some(pair) = of_image.windows(2).find(|pair| pair[0].epoch == pair[1].epoch) {
                return Err(MiningError::DuplicateId {
                    image_id: pair[0].image_id.clone(),
                    place: format!("epoch {} of {place}", pair[0].epoch),
                });
            }
        }
        Ok(Self { place, ids, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(image_id: &str, epoch: usize, correct: bool) -> DynamicsRow {
        DynamicsRow {
            image_id: image_id.to_owned(),
            epoch,
            loss: epoch as f64,
            margin: 1.0,
            el2n: epoch as f64,
            correct,
        }
    }

    /// Order of rows does not matter; the mean is over trainings.
    #[test]
    fn rows_are_sorted_and_runs_averaged() {
        let run = |epochs: &[usize]| -> Vec<DynamicsRow> { epochs.iter().map(|&e| row("a", e, e < 3)).collect() };
        let table = dynamics_scores(&[run(&[4, 2, 1, 3]), run(&[1, 2])]).unwrap();
        assert_eq!(table.score("a", "loss"), Some(3.0));
        assert_eq!(table.score("a", "forgetting_events"), Some(0.5));
        // A fifth of 20 epochs are 4: judged every third, epoch 3 is the last before; of 2 epochs, the first.
        let every_third: Vec<usize> = (1..=6).map(|e| 3 * e).chain([20]).collect();
        let table = dynamics_scores(&[run(&every_third), run(&[1, 2])]).unwrap();
        assert_eq!(table.score("a", "el2n"), Some(2.0));
    }

    /// Who was never right ranks above who was forgotten as often as can be.
    #[test]
    fn never_learned_ranks_hardest_and_is_finite() {
        let mut rows: Vec<DynamicsRow> = (1..=9).map(|e| row("forgotten", e, e % 2 == 1)).collect();
        rows.extend((1..=9).map(|e| row("never", e, false)));
        rows.extend((1..=9).map(|e| row("late", e, e == 9)));
        let table = dynamics_scores(&[rows]).unwrap();
        let forgetting = |id| table.score(id, "forgetting_events");
        assert_eq!(
            (forgetting("forgotten"), forgetting("never"), forgetting("late")),
            (Some(4.0), Some(9.0), Some(0.0))
        );
    }

    #[test]
    fn trainings_of_other_images_are_refused() {
        let said = |runs: &[Vec<DynamicsRow>]| dynamics_scores(runs).unwrap_err().to_string();
        assert!(said(&[vec![row("a", 1, true)], vec![row("b", 1, true)]]).contains("training 2"));
        assert!(said(&[vec![row("a", 1, true)], vec![row("a", 1, true), row("b", 1, true)]]).contains("`b`"));
        assert!(said(&[vec![row("a", 1, true), row("a", 1, true)]]).contains("epoch 1"));
        assert!(said(&[]).contains("no rows"));
        assert!(said(&[vec![row("a", 1, true)], vec![]]).contains("training 2"));
    }
}
