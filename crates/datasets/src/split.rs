use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use crate::{DatasetError, Split, generator, linked};

/// Fraction of the samples in each split; the rest goes to test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplitFractions {
    /// Fraction for training.
    pub train: f64,
    /// Fraction for validation.
    pub val: f64,
}

impl Default for SplitFractions {
    /// 60 % train, 10 % val, 30 % test.
    fn default() -> Self {
        Self { train: 0.6, val: 0.1 }
    }
}

/// Makes a seeded split that keeps groups together.
///
/// `items` are (image id, keys); samples that share any key (a lesion id, a patient id) are one group, also through a
/// third sample. Groups are shuffled with `seed` and assigned, largest first, to the split that is furthest below its share,
/// so that every split gets something as soon as there are three groups. The order of `items` does not matter.
///
/// # Errors
/// [`DatasetError::Parameter`] for fractions outside (0, 1) or fewer than three groups.
pub fn grouped_split(
    items: &[(&str, Vec<String>)],
    fractions: SplitFractions,
    seed: u64,
) -> Result<BTreeMap<String, Split>, DatasetError> {
    extended_split(items, &BTreeMap::new(), fractions, seed)
}

/// [`grouped_split`] of samples of which some have a split: nobody of them moves, and new ones go where their group is.
///
/// # Errors
/// As [`grouped_split`].
pub(crate) fn extended_split(
    items: &[(&str, Vec<String>)],
    kept: &BTreeMap<String, Split>,
    fractions: SplitFractions,
    seed: u64,
) -> Result<BTreeMap<String, Split>, DatasetError> {
    let SplitFractions { train, val } = fractions;
    let share = [train, val, 1. - train - val];
    if !share.iter().all(|part| *part > 0. && *part < 1.) {
        return Err(DatasetError::Parameter {
            name: "split fractions",
            expected: "positive, with a sum under 1 for train and val",
            found: format!("{train} and {val}"),
        });
    }
    let mut groups = groups(items);
    if groups.len() < 3 {
        return Err(DatasetError::Parameter {
            name: "number of independent groups (lesions or patients)",
            expected: "at least 3 to make train, val and test",
            found: groups.len().to_string(),
        });
    }
    groups.shuffle(&mut generator(seed, "split", 0));
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    let total = items.len() as f64;
    let mut filled = [0usize; 3];
    let mut result = BTreeMap::new();
    let known = |group: &Vec<&str>| group.iter().find_map(|id| kept.get(*id).copied());
    let (old, new): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| known(group).is_some());
    for group in old {
        for id in &group {
            let split = kept.get(*id).copied().or_else(|| known(&group));
            if let Some((place, split)) =
                split.and_then(|split| Some((Split::ALL.iter().position(|s| *s == split)?, split)))
            {
                filled[place] += 1;
                result.insert((*id).to_owned(), split);
            }
        }
    }
    let count = new.len();
    for (index, group) in new.into_iter().enumerate() {
        let empty = filled.iter().filter(|n| **n == 0).count();
        let must_fill = count - index <= empty;
        let lack = |split: usize| share[split] * total - filled[split] as f64;
        let chosen = (0..3)
            .filter(|split| !must_fill || filled[*split] == 0)
            .max_by(|a, b| lack(*a).total_cmp(&lack(*b)).then(b.cmp(a)))
            .unwrap_or(0);
        filled[chosen] += group.len();
        for id in group {
            result.insert(id.to_owned(), Split::ALL[chosen]);
        }
    }
    Ok(result)
}

/// Draws groups until at least a share of the samples is drawn, never all of them.
///
/// # Errors
/// [`DatasetError::Parameter`] for fewer than two groups.
#[cfg(feature = "import")]
pub(crate) fn drawn_of(items: &[(&str, Vec<String>)], share: f64, seed: u64) -> Result<Vec<String>, DatasetError> {
    let mut groups = groups(items);
    if groups.len() < 2 {
        return Err(DatasetError::Parameter {
            name: "number of independent groups (lesions or patients) in train",
            expected: "at least 2 to draw some of them",
            found: groups.len().to_string(),
        });
    }
    groups.shuffle(&mut generator(seed, "split", 1));
    let wanted = share * items.len() as f64;
    let last = groups.len() - 1;
    let mut drawn: Vec<String> = Vec::new();
    for group in groups.into_iter().take(last) {
        if drawn.len() as f64 >= wanted {
            break;
        }
        drawn.extend(group.into_iter().map(str::to_owned));
    }
    Ok(drawn)
}

/// Ids of samples that share a key, each group sorted, in order of their first id.
fn groups<'a>(items: &[(&'a str, Vec<String>)]) -> Vec<Vec<&'a str>> {
    let mut groups: Vec<Vec<&str>> = linked(items.iter().map(|(_, keys)| keys))
        .into_iter()
        .map(|group| group.into_iter().filter_map(|i| Some(items.get(i)?.0)).collect())
        .collect();
    groups.iter_mut().for_each(|group| group.sort_unstable());
    groups.sort_unstable();
    groups
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// No key is ever on two sides, every sample gets a split, none is empty, and order does not matter.
        #[test]
        fn keys_stay_together(keys in proptest::collection::vec((0u8..60, 0u8..60), 20..200), seed: u64) {
            let ids: Vec<String> = (0..keys.len()).map(|i| format!("id{i:03}")).collect();
            let items: Vec<(&str, Vec<String>)> = ids
                .iter()
                .zip(&keys)
                .map(|(id, (lesion, patient))| {
                    let lesion = (*lesion < 30).then(|| format!("lesion {lesion}"));
                    let patient = (*patient < 5).then(|| format!("patient {patient}"));
                    (id.as_str(), lesion.into_iter().chain(patient).collect())
                })
                .collect();
            if super::groups(&items).len() < 3 {
                return Ok(());
            }
            let split = grouped_split(&items, SplitFractions::default(), seed).unwrap();
            prop_assert_eq!(split.len(), items.len());
            for each in Split::ALL {
                prop_assert!(split.values().any(|s| *s == each));
            }
            let mut side: HashMap<&String, Split> = HashMap::new();
            for (id, keys) in &items {
                for key in keys {
                    prop_assert_eq!(*side.entry(key).or_insert(split[*id]), split[*id]);
                }
            }
            let reversed: Vec<_> = items.iter().rev().cloned().collect();
            prop_assert_eq!(grouped_split(&reversed, SplitFractions::default(), seed).unwrap(), split);
        }
    }

    #[test]
    fn shares_are_met_and_seeds_differ() {
        let ids: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let items: Vec<_> = ids.iter().map(|id| (id.as_str(), Vec::new())).collect();
        let split = grouped_split(&items, SplitFractions::default(), 1).unwrap();
        let count = |wanted| split.values().filter(|s| **s == wanted).count();
        assert_eq!(
            [count(Split::Train), count(Split::Val), count(Split::Test)],
            [60, 10, 30]
        );
        assert_ne!(grouped_split(&items, SplitFractions::default(), 2).unwrap(), split);
    }

    #[test]
    fn two_groups_are_too_few() {
        let items = [("a", vec!["x".to_owned()]), ("b", vec!["x".to_owned()]), ("c", vec![])];
        let error = grouped_split(&items, SplitFractions::default(), 1)
            .unwrap_err()
            .to_string();
        assert!(error.contains("at least 3"), "{error}");
    }
}
