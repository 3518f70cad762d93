//! Which samples are attended to.

use std::collections::HashSet;

use htl_mining::{ScoreTable, Selection, random_like, rank};

use super::settings::{AttendedSet, Attention, Suspects};
use crate::TrainError;

/// Puts equal scores in order: the same in every training, as the mined set is.
const TIES: u64 = 0;

/// The ids of the attended samples.
pub(super) fn attended(attention: &Attention, table: &ScoreTable, seed: u64) -> Result<HashSet<String>, TrainError> {
    let kept = |selection: Selection| match attention.suspects {
        Suspects::Keep => selection,
        Suspects::LeaveOut => selection.without_suspect_labels(table),
    };
    let marked = Selection::marked(table);
    let htl = kept(match &attention.by {
        None => marked,
        Some(score) => Selection {
            ids: rank(table, score, TIES)?.hardest(marked.len())?,
            ..marked
        },
    });
    let chosen = match attention.set {
        AttendedSet::Htl => htl,
        AttendedSet::Random => {
            let all = kept(Selection {
                ids: table.ids(),
                ..Selection::marked(table)
            });
            random_like(&htl, &all.ids, seed)?
        }
    };
    Ok(chosen.ids.into_iter().collect())
}
