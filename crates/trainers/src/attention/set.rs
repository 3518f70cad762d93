//! Which samples are attended to.

use std::collections::HashSet;

use htl_mining::{ScoreTable, Selection, random_like};

use super::settings::{AttendedSet, Attention, Suspects};
use crate::TrainError;

/// The ids of the attended samples.
pub(super) fn attended(attention: &Attention, table: &ScoreTable, seed: u64) -> Result<HashSet<String>, TrainError> {
    let kept = |selection: Selection| match attention.suspects {
        Suspects::Keep => selection,
        Suspects::LeaveOut => selection.without_suspect_labels(table),
    };
    let htl = kept(Selection::marked(table));
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
