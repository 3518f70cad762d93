use std::collections::{BTreeMap, HashMap};

use super::clusters::clusters;
use crate::column;
use crate::error::{MiningError, Result};
use crate::rank::hash;
use crate::table::ScoreTable;

/// The images of an analysis: which of them are hard, by what score, in which fold, of which lesion.
///
/// Images in which neither population found anything (`both_empty`) are no members and no easy ones either: they are kept
/// aside, as a level of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct Cohort {
    /// Name of what makes an image hard: the score's column.
    pub outcome: String,
    /// The images.
    pub ids: Vec<String>,
    /// Whether each is hard.
    pub hard: Vec<bool>,
    /// Its score, higher = harder; none if the outcome is no score.
    pub score: Option<Vec<f64>>,
    /// Its fold, as a number from 0 among the folds that occur; all 0 in-sample.
    pub fold: Vec<usize>,
    /// Its lesion or patient, as a number from 0.
    pub cluster: Vec<usize>,
    /// Images that are `both_empty`.
    pub empty: Vec<String>,
    /// How many images have no score and were left out.
    pub unscored: usize,
    /// How many images lie in ties that the choice of the hard ones cut through.
    pub torn: usize,
}

/// What names the lesion and the patient of an image: per kind of key, key by image id.
pub type ClusterKeys = [HashMap<String, String>];

/// A row of the table that takes part.
struct Entry<'a> {
    id: &'a str,
    hard: bool,
    score: Option<f64>,
    fold: Option<u32>,
}

impl Cohort {
    /// The images of a marked score table, hard where `htl` is 1. `by` names the score for analyses of the score itself; it
    /// may be no column of the table.
    ///
    /// # Errors
    /// [`MiningError::DuplicateId`] if an image has several rows (several settings or folds: see
    /// [`ScoreTable::choose`]), [`MiningError::NothingScored`] if the table is empty.
    pub fn selected(table: &ScoreTable, by: &str, keys: &ClusterKeys) -> Result<Self> {
        let scores = table.column(by).ok();
        let empty = empty_images(table);
        let unscored = |i: usize| scores.as_ref().is_some_and(|scores| scores[i].is_none());
        let entries = table
            .rows()
            .iter()
            .enumerate()
            .filter(|(i, _)| !empty[*i] && !unscored(*i));
        let entries = entries.map(|(i, row)| Entry {
            id: &row.image_id,
            hard: row.htl,
            score: scores.as_ref().and_then(|scores| scores[i]),
            fold: row.fold,
        });
        let entries: Vec<Entry> = entries.collect();
        let left_out = (0..table.len()).filter(|&i| !empty[i] && unscored(i)).count();
        let cohort = Self::of(table, by, &entries, scores.is_some(), keys, left_out)?;
        Ok(Self {
            torn: cohort.torn_images(),
            ..cohort
        })
    }

    /// Images that score the same as the easiest hard image of their fold, if that tie has images on both sides and no harder
    /// image is left out (a set that was cut from the top).
    fn torn_images(&self) -> usize {
        let Some(score) = &self.score else { return 0 };
        let torn = |fold: usize| {
            let of = |hard: bool| {
                let members = (0..self.len()).filter(move |&i| self.fold[i] == fold && self.hard[i] == hard);
                members.map(|i| score[i])
            };
            let (last, next) = (
                of(true).fold(f64::INFINITY, f64::min),
                of(false).fold(f64::NEG_INFINITY, f64::max),
            );
            let tied = |hard: bool| of(hard).filter(|value| *value == last).count();
            if last == next { tied(true) + tied(false) } else { 0 }
        };
        (0..self.folds()).map(torn).sum()
    }

    /// As many images of each fold as are selected there, but the hardest by `by`: the same question asked of another
    /// score. Ties are broken by a hash of the id, as in
    /// [`rank`](crate::rank()): ids carry age and diagnosis.
    ///
    /// # Errors
    /// As [`selected`](Self::selected), and [`MiningError::NoColumn`].
    pub fn hardest(table: &ScoreTable, by: &str, keys: &ClusterKeys) -> Result<Self> {
        table.column(by)?;
        let mut cohort = Self::selected(table, by, keys)?;
        let scores = cohort.score.clone().unwrap_or_default();
        let folds = cohort.fold.iter().max().map_or(0, |last| last + 1);
        let selected = std::mem::replace(&mut cohort.hard, vec![false; cohort.ids.len()]);
        for fold in 0..folds {
            let mut members: Vec<usize> = (0..cohort.ids.len()).filter(|&i| cohort.fold[i] == fold).collect();
            let count = members.iter().filter(|&&i| selected[i]).count();
            members.sort_by(|&a, &b| {
                let tie = || hash(0, &cohort.ids[a]).cmp(&hash(0, &cohort.ids[b]));
                scores[b].total_cmp(&scores[a]).then_with(tie)
            });
            members[..count].iter().for_each(|&i| cohort.hard[i] = true);
        }
        cohort.torn = cohort.torn_images();
        Ok(cohort)
    }

    /// The images for which a column of ones and zeros (`suspect_label`, `pie`) is known, "hard" where it is 1.
    ///
    /// # Errors
    /// As [`selected`](Self::selected), [`MiningError::NoColumn`], and [`MiningError::Parameter`] if a value is neither.
    pub fn flagged(table: &ScoreTable, flag: &str, keys: &ClusterKeys) -> Result<Self> {
        let flags = table.column(flag)?;
        if let Some(&found) = flags.iter().flatten().find(|value| ![0.0, 1.0].contains(*value)) {
            return Err(MiningError::Parameter {
                name: "flag",
                expected: "0 or 1",
                found,
            });
        }
        let entries = table.rows().iter().zip(&flags).filter_map(|(row, flag)| {
            Some(Entry {
                id: &row.image_id,
                hard: (*flag)? == 1.0,
                score: None,
                fold: row.fold,
            })
        });
        let entries: Vec<Entry> = entries.collect();
        let left_out = table.len() - entries.len();
        let cohort = Self::of(table, flag, &entries, false, keys, left_out)?;
        Ok(Self {
            empty: Vec::new(),
            ..cohort
        })
    }

    fn of(
        table: &ScoreTable,
        outcome: &str,
        entries: &[Entry],
        scored: bool,
        keys: &ClusterKeys,
        unscored: usize,
    ) -> Result<Self> {
        if table.is_empty() {
            return Err(MiningError::NothingScored {
                column: crate::table::HTL_COLUMN.into(),
                rows: 0,
            });
        }
        let mut seen = std::collections::HashSet::new();
        if let Some(row) = table.rows().iter().find(|row| !seen.insert(row.image_id.as_str())) {
            return Err(MiningError::DuplicateId {
                image_id: row.image_id.clone(),
                place: "the score table to analyse (several settings, or in-sample and out-of-fold rows: choose one)"
                    .into(),
            });
        }
        let mut folds: BTreeMap<Option<u32>, usize> = entries.iter().map(|entry| (entry.fold, 0)).collect();
        folds.values_mut().enumerate().for_each(|(number, fold)| *fold = number);
        let keys: Vec<Vec<Option<String>>> = keys
            .iter()
            .map(|kind| entries.iter().map(|entry| kind.get(entry.id).cloned()).collect())
            .collect();
        let empty = table.rows().iter().zip(empty_images(table)).filter(|(_, empty)| *empty);
        Ok(Self {
            outcome: outcome.to_owned(),
            ids: entries.iter().map(|entry| entry.id.to_owned()).collect(),
            hard: entries.iter().map(|entry| entry.hard).collect(),
            score: scored.then(|| entries.iter().filter_map(|entry| entry.score).collect()),
            fold: entries.iter().map(|entry| folds[&entry.fold]).collect(),
            cluster: clusters(entries.len(), &keys),
            empty: empty.map(|(row, _)| row.image_id.clone()).collect(),
            unscored,
            torn: 0,
        })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of hard images.
    pub fn hard_count(&self) -> usize {
        self.hard.iter().filter(|hard| **hard).count()
    }

    /// Number of folds.
    pub fn folds(&self) -> usize {
        self.fold.iter().max().map_or(0, |last| last + 1)
    }

    /// Number of lesions or patients.
    pub fn cluster_count(&self) -> usize {
        self.cluster.iter().max().map_or(0, |last| last + 1)
    }
}

/// Which rows of a table are `both_empty`.
fn empty_images(table: &ScoreTable) -> Vec<bool> {
    let flags = table.column(column::BOTH_EMPTY);
    flags.map_or_else(
        |_| vec![false; table.len()],
        |flags| flags.into_iter().map(|flag| flag == Some(1.0)).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::ScoreRow;

    /// Id, fold, the three scores, whether it is selected.
    type Row<'a> = (&'a str, Option<u32>, [Option<f64>; 3], bool);

    fn table(rows: &[Row]) -> ScoreTable {
        let mut table = ScoreTable::new(["disagreement", "boundary_disagreement", "both_empty"]);
        for (id, fold, scores, htl) in rows {
            let row = ScoreRow {
                image_id: (*id).into(),
                setting: String::new(),
                fold: *fold,
                scores: scores.to_vec(),
                htl: *htl,
            };
            table.push(row).unwrap();
        }
        table
    }

    #[test]
    fn images_without_any_finding_are_kept_aside() {
        let score = |a, b, empty| [Some(a), Some(b), Some(empty)];
        let table = table(&[
            ("a", Some(0), score(0.9, 0.1, 0.0), true),
            ("b", Some(0), score(0.1, 0.8, 0.0), false),
            ("c", Some(0), score(1.0, 1.0, 1.0), true),
            ("d", Some(1), score(0.5, 0.3, 0.0), true),
            ("e", Some(1), score(0.4, 0.4, 0.0), false),
            ("f", Some(1), [None, Some(0.9), Some(0.0)], false),
        ]);
        let cohort = Cohort::selected(&table, "disagreement", &[]).unwrap();
        assert_eq!((cohort.ids.join(""), cohort.hard_count()), ("abde".to_owned(), 2));
        assert_eq!(
            (cohort.empty.as_slice(), cohort.unscored, cohort.folds()),
            (&["c".to_owned()][..], 1, 2)
        );
        let other = Cohort::hardest(&table, "boundary_disagreement", &[]).unwrap();
        let hard: Vec<&str> = (0..other.len())
            .filter(|&i| other.hard[i])
            .map(|i| other.ids[i].as_str())
            .collect();
        assert_eq!((hard, other.torn), (vec!["b", "f"], 0));
        assert!(Cohort::hardest(&table, "nothing", &[]).is_err());
        let flagged = Cohort::flagged(&table, "both_empty", &[]).unwrap();
        assert_eq!((flagged.len(), flagged.hard_count()), (6, 1));
    }

    /// Ids in order of age must not decide among equal scores.
    #[test]
    fn ties_are_not_cut_in_order_of_the_id() {
        let ids: Vec<String> = (0..100).map(|i| format!("ISIC_{i:07}")).collect();
        let rows: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(i, id)| (id.as_str(), None, [Some(0.5), Some(0.5), Some(0.0)], i < 20))
            .collect();
        let cohort = Cohort::hardest(&table(&rows), "boundary_disagreement", &[]).unwrap();
        assert_eq!((cohort.hard_count(), cohort.torn), (20, 100));
        let early = cohort.hard[..20].iter().filter(|hard| **hard).count();
        assert!(early < 12, "{early} of the first 20 ids");
    }
}
