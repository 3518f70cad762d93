//! Who is for training, validation and tests.

use std::collections::BTreeMap;

use super::facts::Facts;
use super::pairs::Pairs;
use crate::grouping::GROUP_COLUMNS;
use crate::split::{SplitFractions, drawn_of};
use crate::{DatasetError, Split, grouped_split};

/// Share of the training images that becomes validation images where there are none.
const VAL_OF_TRAIN: f64 = 0.1;
/// Share that becomes test images where there are none.
const TEST_OF_TRAIN: f64 = 0.3;

/// The split of every image, and a line about where it comes from.
pub(super) fn assigned(
    pairs: &Pairs,
    facts: &Facts,
    seed: u64,
) -> Result<(BTreeMap<String, Split>, String), DatasetError> {
    let fact = |id: &str, column: &str| facts.rows.get(id).and_then(|row| row.get(column));
    let in_tables = pairs.images.keys().any(|id| fact(id, "split").is_some());
    let mut given: BTreeMap<String, Split> = BTreeMap::new();
    let mut without = Vec::new();
    for (id, pair) in &pairs.images {
        let split = match fact(id, "split") {
            Some(word) => Some(Split::from_name(word).ok_or_else(|| DatasetError::Import {
                reason: format!("split of `{id}` is `{word}`; expected train, val or test"),
            })?),
            None if in_tables => None,
            None => pair.split,
        };
        match split {
            Some(split) => drop(given.insert(id.clone(), split)),
            None => without.push(id.clone()),
        }
    }
    let has = |given: &BTreeMap<String, Split>, wanted| given.values().any(|split| *split == wanted);
    let some = Split::ALL.into_iter().filter(|split| has(&given, *split)).count();
    let keys = |id: &str| -> Vec<String> {
        let key = |column: &&str| Some(format!("{column} {}", fact(id, column)?));
        GROUP_COLUMNS.iter().filter_map(key).collect()
    };
    if some < 2 {
        let items: Vec<(&str, Vec<String>)> = pairs.images.keys().map(|id| (id.as_str(), keys(id))).collect();
        let made = grouped_split(&items, SplitFractions::default(), seed)?;
        let why = match given.values().next() {
            Some(only) => format!("every image is for {only}"),
            None => "no split is given".to_owned(),
        };
        return Ok((made, format!("{why}: a split was drawn with seed {seed}")));
    }
    if !without.is_empty() {
        return Err(DatasetError::Import {
            reason: format!(
                "{} images have no split, others have one: {}; give all of them one in a table (--table, column split), or none",
                without.len(),
                crate::error::list(&without)
            ),
        });
    }
    let mut note = match in_tables {
        true => "the split is that of the tables".to_owned(),
        false => "the split is that of the names of folders and archives".to_owned(),
    };
    if !has(&given, Split::Train) {
        return Err(DatasetError::Import {
            reason: "no image is for training".to_owned(),
        });
    }
    for (lacking, share) in [(Split::Val, VAL_OF_TRAIN), (Split::Test, TEST_OF_TRAIN)] {
        if has(&given, lacking) {
            continue;
        }
        let train = given.iter().filter(|(_, split)| **split == Split::Train);
        let items: Vec<(&str, Vec<String>)> = train.map(|(id, _)| (id.as_str(), keys(id))).collect();
        let drawn = drawn_of(&items, share, seed)?;
        note += &format!(
            "; it has no {lacking}: {} of train were drawn for it with seed {seed}",
            drawn.len()
        );
        given.extend(drawn.into_iter().map(|id| (id, lacking)));
    }
    Ok((given, note))
}
