//! Which samples are attended to, and how much.

use std::collections::HashMap;

use htl_mining::{Grade, ScoreTable, Selection, default_score, random_like, rank};
use rand::seq::SliceRandom;

use super::settings::{AttendedSet, Attention, Dose, Suspects};
use crate::TrainError;

/// Puts equal scores in order: the same in every training, as the mined set is.
const TIES: u64 = 0;
/// Parts of the ranking that a matched control keeps images in.
const TENTHS: usize = 10;

/// How much each image is attended to, by id: 1 fully, between 0 and 1 less. Images that are not in it are not attended to.
pub(super) fn grades(attention: &Attention, table: &ScoreTable, seed: u64) -> Result<HashMap<String, f64>, TrainError> {
    let mut grades = match (attention.dose.grade(), attention.set, &attention.matched) {
        (None, AttendedSet::Random, None) => full(random_set(attention, table, seed)?),
        (None, AttendedSet::Htl, _) => full(hard_set(attention, table)?.ids),
        (None, AttendedSet::Random, Some(_)) => {
            let all = candidates(attention, table, table.ids())
                .into_iter()
                .map(|id| (id, 0.0));
            all.chain(full(hard_set(attention, table)?.ids)).collect()
        }
        (Some(grade), ..) => graded(attention, table, grade)?,
    };
    if attention.set == AttendedSet::Random && (attention.dose != Dose::Set || attention.matched.is_some()) {
        grades = exchanged(grades, attention.matched.as_deref(), table, seed)?;
    }
    grades.retain(|_, grade| *grade > 0.0);
    Ok(grades)
}

fn full(ids: Vec<String>) -> HashMap<String, f64> {
    ids.into_iter().map(|id| (id, 1.0)).collect()
}

fn kept(attention: &Attention, table: &ScoreTable, selection: Selection) -> Selection {
    match attention.suspects {
        Suspects::Keep => selection,
        Suspects::LeaveOut => selection.without_suspect_labels(table),
    }
}

fn hard_set(attention: &Attention, table: &ScoreTable) -> Result<Selection, TrainError> {
    let marked = Selection::marked(table);
    let hard = match &attention.by {
        None => marked,
        Some(score) => Selection {
            ids: rank(table, score, TIES)?.hardest(marked.len())?,
            ..marked
        },
    };
    Ok(kept(attention, table, hard))
}

fn random_set(attention: &Attention, table: &ScoreTable, seed: u64) -> Result<Vec<String>, TrainError> {
    let all = candidates(attention, table, table.ids());
    Ok(random_like(&hard_set(attention, table)?, &all, seed)?.ids)
}

/// Those of these images that may be attended to.
fn candidates(attention: &Attention, table: &ScoreTable, ids: Vec<String>) -> Vec<String> {
    let all = Selection {
        ids,
        ..Selection::marked(table)
    };
    kept(attention, table, all).ids
}

/// Every image by its score, less suspected label errors where they are left out.
fn graded(attention: &Attention, table: &ScoreTable, grade: Grade) -> Result<HashMap<String, f64>, TrainError> {
    let by = attention.by.as_deref().unwrap_or_else(|| default_score(table));
    let ranking = rank(table, by, TIES)?;
    let trusted = full(candidates(attention, table, ranking.ids().to_vec()));
    let grades = ranking.ids().iter().zip(ranking.grades(grade));
    let trusted = grades.filter(|(id, _)| trusted.contains_key(*id));
    Ok(trusted
        .map(|(id, grade)| (id.clone(), grade.powf(attention.power)))
        .collect())
}

/// The control: the same grades, given to other images; where a column is named, among images of the same tenth by it.
fn exchanged(
    grades: HashMap<String, f64>,
    matched: Option<&str>,
    table: &ScoreTable,
    seed: u64,
) -> Result<HashMap<String, f64>, TrainError> {
    let mut ids: Vec<String> = grades.keys().cloned().collect();
    ids.sort_unstable();
    let mut rng = htl_datasets::generator(seed, "attention of a control", 0);
    let tenths: HashMap<String, usize> = match matched {
        None => HashMap::new(),
        Some(column) => {
            let ranking = rank(table, column, TIES)?;
            let tenth = |place: usize| 1 + place * TENTHS / ranking.len();
            let ids = ranking.ids().iter().enumerate();
            ids.map(|(place, id)| (id.clone(), tenth(place))).collect()
        }
    };
    let mut exchanged = HashMap::new();
    // Images without a value are a part of their own.
    for part in 0..=TENTHS {
        let here = |id: &&String| tenths.get(*id).copied().unwrap_or(0) == part;
        let ids: Vec<&String> = ids.iter().filter(here).collect();
        let mut values: Vec<f64> = ids.iter().map(|id| grades[*id]).collect();
        values.shuffle(&mut rng);
        exchanged.extend(ids.into_iter().cloned().zip(values));
    }
    Ok(exchanged)
}
