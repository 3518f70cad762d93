use std::collections::BTreeSet;

use htl_metrics::linked;
use htl_vocabulary::known;

use crate::{Sample, Split};

/// The columns that say which images belong together, the one that names a group first.
pub(crate) const GROUP_COLUMNS: [&str; 2] = ["patient_id", "lesion_id"];

/// Samples of one lesion or one patient, which no split and no fold may part.
#[derive(Debug, Clone, PartialEq)]
pub struct Group<'a> {
    /// Smallest `patient_id` of its samples, else smallest `lesion_id`, else the image's id. It stays the same when
    /// other rows of the table change, so a draw that depends on names does too.
    pub name: &'a str,
    /// The samples, in the order given.
    pub samples: Vec<&'a Sample>,
}

/// Groups samples by `lesion_id` and `patient_id`: two samples that share either are in one group, also through a third
/// sample. A sample with neither is a group of its own. Groups are sorted by name.
///
/// Group a whole data folder first and choose among its samples then: two of one split may be linked by a sample of
/// another.
///
/// ```no_run
/// use htl_datasets::{DataFolder, Split, groups};
///
/// let data = DataFolder::open("my-data")?;
/// let mut folds: [Vec<&str>; 2] = Default::default();
/// for group in groups(data.samples()) {
///     let smaller = usize::from(folds[1].len() < folds[0].len());
///     let train = group.samples.iter().filter(|sample| sample.split == Split::Train);
///     folds[smaller].extend(train.map(|sample| sample.image_id.as_str()));
/// }
/// # Ok::<(), htl_datasets::DatasetError>(())
/// ```
pub fn groups<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Vec<Group<'a>> {
    let samples: Vec<&Sample> = samples.into_iter().collect();
    let value = |sample: &'a Sample, column: &str| {
        let value = sample.other.get(column).map(String::as_str);
        value.and_then(known)
    };
    let keys = samples.iter().map(|sample| {
        GROUP_COLUMNS
            .into_iter()
            .filter_map(|column| Some((column, value(sample, column)?)))
            .collect::<Vec<_>>()
    });
    let mut groups: Vec<Group> = linked(keys)
        .into_iter()
        .map(|indices| {
            let samples: Vec<&Sample> = indices.into_iter().filter_map(|i| samples.get(i).copied()).collect();
            let smallest = |column: &&str| samples.iter().filter_map(|sample| value(sample, column)).min();
            let id = || samples.iter().map(|sample| sample.image_id.as_str()).min();
            let name = GROUP_COLUMNS.iter().find_map(smallest).or_else(id).unwrap_or_default();
            Group { name, samples }
        })
        .collect();
    // A patient and a lesion may have the same name and be two groups.
    groups.sort_by(|a, b| {
        let first = |group: &Group<'a>| group.samples.first().map(|sample| sample.image_id.as_str());
        (a.name, first(a)).cmp(&(b.name, first(b)))
    });
    groups
}

impl Group<'_> {
    /// The splits that its samples are in.
    pub fn splits(&self) -> BTreeSet<Split> {
        self.samples.iter().map(|sample| sample.split).collect()
    }
}

/// Lesions and patients that have images in more than one split, in words: how many, of how many that have several images, and
/// the first few. `None` if there are none.
pub(crate) fn parted_in_words(samples: &[Sample]) -> Option<String> {
    let groups = groups(samples);
    let several = groups.iter().filter(|group| group.samples.len() > 1);
    let (mut count, mut parted) = (0, Vec::new());
    for group in several {
        count += 1;
        let splits = group.splits();
        if splits.len() > 1 {
            let names: Vec<&str> = splits.into_iter().map(Split::name).collect();
            parted.push(format!("{} ({})", group.name, names.join(", ")));
        }
    }
    (!parted.is_empty()).then(|| {
        format!(
            "{} of {count} lesions or patients with several images are in more than one split: {}",
            parted.len(),
            crate::error::list(&parted)
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::*;

    fn sample(image_id: &str, lesion: &str, patient: &str) -> Sample {
        let columns = [("lesion_id", lesion), ("patient_id", patient)];
        Sample {
            image_id: image_id.to_owned(),
            split: Split::Train,
            image: image_id.into(),
            mask: None,
            age_approx: None,
            sex: None,
            anatom_site: None,
            dx: None,
            other: columns
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(column, value)| ((*column).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn named(samples: &[Sample]) -> Vec<(&str, Vec<&str>)> {
        groups(samples)
            .into_iter()
            .map(|group| (group.name, group.samples.iter().map(|s| s.image_id.as_str()).collect()))
            .collect()
    }

    /// Images of one lesion stay together where the patient is known of some of them only.
    #[test]
    fn a_blank_patient_does_not_part_a_lesion() {
        let samples = [
            sample("a", "L1", "P9"),
            sample("b", "L1", ""),
            sample("c", "", "P9"),
            sample("d", "", ""),
        ];
        assert_eq!(named(&samples), [("P9", vec!["a", "b", "c"]), ("d", vec!["d"])]);
    }

    #[test]
    fn words_for_unknown_link_nothing() {
        let samples = [sample("a", "unknown", "NA"), sample("b", "unknown", "n/a")];
        assert_eq!(named(&samples), [("a", vec!["a"]), ("b", vec!["b"])]);
    }

    #[test]
    fn a_patient_is_not_a_lesion_of_the_same_name() {
        let samples = [sample("a", "7", ""), sample("b", "", "7")];
        assert_eq!(named(&samples), [("7", vec!["a"]), ("7", vec!["b"])]);
    }

    proptest! {
        /// No lesion and no patient is in two groups, every sample is in one, and the order of samples does not matter.
        /// A group whose samples agree about themselves is called what they call it: the patient, else the lesion, else
        /// the image.
        #[test]
        fn groups_part_nobody(keys in proptest::collection::vec((0u8..30, 0u8..30), 1..60)) {
            let text = |prefix: &str, key: u8| if key < 15 { format!("{prefix}{key}") } else { String::new() };
            let samples: Vec<Sample> = keys
                .iter()
                .enumerate()
                .map(|(i, (lesion, patient))| sample(&format!("i{i:02}"), &text("L", *lesion), &text("P", *patient)))
                .collect();
            let found = groups(&samples);
            let mut place: HashMap<(&str, &str), usize> = HashMap::new();
            for (number, group) in found.iter().enumerate() {
                for sample in &group.samples {
                    for column in GROUP_COLUMNS {
                        if let Some(value) = sample.other.get(column) {
                            prop_assert_eq!(*place.entry((column, value)).or_insert(number), number);
                        }
                    }
                }
                let own = |s: &&Sample| GROUP_COLUMNS.iter().find_map(|c| s.other.get(*c)).unwrap_or(&s.image_id).clone();
                let names: Vec<String> = group.samples.iter().map(own).collect();
                if names.iter().all(|name| *name == names[0]) {
                    prop_assert_eq!(group.name, names[0].as_str());
                }
            }
            prop_assert_eq!(found.iter().map(|group| group.samples.len()).sum::<usize>(), samples.len());
            let sorted = |found: Vec<Group>| -> Vec<(String, Vec<String>)> {
                found
                    .into_iter()
                    .map(|group| {
                        let mut ids: Vec<String> = group.samples.iter().map(|s| s.image_id.clone()).collect();
                        ids.sort();
                        (group.name.to_owned(), ids)
                    })
                    .collect()
            };
            prop_assert_eq!(sorted(groups(samples.iter().rev())), sorted(found));
        }
    }
}
