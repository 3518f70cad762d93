//! What planning needs to know of a data folder, and seeded draws that never part a lesion or a patient.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use htl_datasets::{DataFolder, Split};
use htl_vocabulary::results::Dataset;
use htl_vocabulary::{file, write_whole};
use sha2::{Digest, Sha256};

use crate::ExperimentError;
use crate::error::unwritten;
use crate::profile::Profile;

/// An image of a data folder, as far as draws look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its id.
    pub image_id: String,
    /// Its split.
    pub split: Split,
    /// Name of its group: images of one lesion or one patient, also through a third image.
    pub group: String,
    /// Diagnosis; may be empty.
    pub dx: String,
    /// Whether it has a mask.
    pub mask: bool,
}

/// The images of a data folder.
pub(crate) fn rows(data: &DataFolder) -> Vec<Row> {
    let mut rows: Vec<Row> = htl_datasets::groups(data.samples())
        .into_iter()
        .flat_map(|group| {
            let name = group.name;
            group.samples.into_iter().map(move |sample| Row {
                image_id: sample.image_id.clone(),
                split: sample.split,
                group: name.to_owned(),
                dx: sample.dx.clone().unwrap_or_default(),
                mask: sample.mask.is_some(),
            })
        })
        .collect();
    rows.sort_by(|a, b| a.image_id.cmp(&b.image_id));
    rows
}

/// What a data folder has beside images and masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extras {
    /// A `metadata.csv`.
    pub metadata: bool,
    /// At least two image labels among the training images, some of which are validated by.
    pub labels: bool,
}

/// Name and sizes of the data that a profile will use, and what else they have.
///
/// # Errors
/// [`ExperimentError::UnfitData`] when a split is empty, or has no mask to be judged by, or too few to learn from.
pub fn survey(profile: &Profile, data: &DataFolder, name: &str) -> Result<(Dataset, Extras), ExperimentError> {
    let unfit = |reason: String| ExperimentError::UnfitData {
        folder: data.root().into(),
        reason,
    };
    let mut rows = rows(data);
    if let Some(counts) = profile.subset {
        let ids: BTreeSet<String> = chosen(&rows, counts).into_iter().map(String::from).collect();
        rows.retain(|row| ids.contains(&row.image_id));
    }
    let count = |split| rows.iter().filter(|row| row.split == split).count();
    for split in Split::ALL {
        if count(split) == 0 {
            return Err(unfit(format!(
                "no {split} images: check the column `split` of metadata.csv"
            )));
        }
    }
    for split in [Split::Val, Split::Test] {
        if !rows.iter().any(|row| row.split == split && row.mask) {
            return Err(unfit(format!(
                "no {split} image has a mask to be judged by; add masks/<id>.png for some"
            )));
        }
    }
    trainable(&rows, data.root())?;
    let diagnoses = |split| -> BTreeSet<&str> {
        let of_split = rows.iter().filter(|row| row.split == split && !row.dx.is_empty());
        of_split.map(|row| row.dx.as_str()).collect()
    };
    let (labels, seen) = (diagnoses(Split::Train), diagnoses(Split::Val));
    let dataset = Dataset {
        name: name.into(),
        train: count(Split::Train),
        val: count(Split::Val),
        test: count(Split::Test),
    };
    let extras = Extras {
        metadata: data.root().join(file::METADATA).exists(),
        labels: labels.len() >= 2 && !labels.is_disjoint(&seen),
    };
    Ok((dataset, extras))
}

/// SHA-256 of everything in a data folder that determines a result: its images, masks, tables, splits, and the list of
/// labelled images, if there is one.
///
/// # Errors
/// Those of reading the files.
pub fn data_sha256(data: &DataFolder) -> Result<String, ExperimentError> {
    let mut hash = data.sha256()?;
    let labelled = data.root().join(file::LABELLED);
    if labelled.exists() {
        let lists = format!("{hash} {}", htl_datasets::sha256_file(&labelled)?);
        hash = htl_datasets::sha256_bytes(lists.as_bytes());
    }
    Ok(hash)
}

/// Training images with a mask.
pub(crate) fn trainable<'a>(rows: &'a [Row], folder: &Path) -> Result<Vec<&'a Row>, ExperimentError> {
    const LEAST: usize = 8;
    let rows: Vec<&Row> = rows
        .iter()
        .filter(|row| row.split == Split::Train && row.mask)
        .collect();
    if rows.len() < LEAST {
        return Err(ExperimentError::UnfitData {
            folder: folder.into(),
            reason: format!(
                "only {} training images have masks; the experiment needs at least {LEAST}",
                rows.len()
            ),
        });
    }
    Ok(rows)
}

/// Up to `counts` images with a mask of each split, taking the diagnoses in turn so that each occurs.
pub(crate) fn chosen(rows: &[Row], counts: [usize; 3]) -> BTreeSet<&str> {
    let splits = Split::ALL.into_iter().zip(counts);
    splits
        .flat_map(|(split, count)| sample_of_split(rows, split, count))
        .map(|row| row.image_id.as_str())
        .collect()
}

fn sample_of_split(rows: &[Row], split: Split, count: usize) -> Vec<&Row> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.split == split && row.mask).collect();
    let mut queues: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in shuffled_groups(&rows, "sample").into_iter().flatten() {
        queues.entry(&row.dx).or_default().push(row);
    }
    let mut chosen = Vec::new();
    while chosen.len() < count && queues.values().any(|queue| !queue.is_empty()) {
        for queue in queues.values_mut() {
            if chosen.len() < count
                && let Some(row) = queue.pop()
            {
                chosen.push(row);
            }
        }
    }
    chosen
}

/// Groups of rows in a random order that depends on `seed` and the groups' names only.
fn shuffled_groups<'a>(rows: &[&'a Row], seed: &str) -> Vec<Vec<&'a Row>> {
    let mut groups: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        groups.entry(&row.group).or_default().push(row);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_cached_key(|(name, _)| <[u8; 32]>::from(Sha256::digest(format!("{seed}:{name}"))));
    groups.into_iter().map(|(_, rows)| rows).collect()
}

/// Draws about `count` of the rows, whole groups at a time; sorted by id.
pub(crate) fn draw(rows: &[&Row], count: usize, seed: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for group in shuffled_groups(rows, seed) {
        if ids.is_empty() || ids.len() + group.len() <= count {
            ids.extend(group.into_iter().map(|row| row.image_id.clone()));
        }
    }
    ids.sort();
    ids
}

/// Splits the rows in two halves, whole groups at a time; each sorted by id.
pub(crate) fn halves(rows: &[&Row], seed: &str) -> [Vec<String>; 2] {
    let mut halves = [Vec::new(), Vec::new()];
    for group in shuffled_groups(rows, seed) {
        let smaller = usize::from(halves[1].len() < halves[0].len());
        halves[smaller].extend(group.into_iter().map(|row| row.image_id.clone()));
    }
    halves.iter_mut().for_each(|half| half.sort());
    halves
}

/// The ids of a CSV file with a column `image_id`.
pub(crate) fn read_ids(path: &Path) -> Result<Vec<String>, ExperimentError> {
    let wrong = |reason: String| ExperimentError::Value {
        path: path.into(),
        reason,
    };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| wrong(error.to_string()))?;
    let headers = reader.headers().map_err(|error| wrong(error.to_string()))?;
    let column = headers
        .iter()
        .position(|name| name.trim_start_matches('\u{feff}') == "image_id");
    let column = column.ok_or_else(|| wrong("no column image_id".into()))?;
    reader
        .records()
        .map(|record| {
            let record = record.map_err(|error| wrong(error.to_string()))?;
            Ok(record.get(column).unwrap_or_default().to_owned())
        })
        .collect()
}

/// A CSV file with the one column `image_id`.
pub(crate) fn write_ids<'a>(path: &Path, ids: impl IntoIterator<Item = &'a String>) -> Result<(), ExperimentError> {
    write_table(path, &["image_id"], ids.into_iter().map(|id| [id.as_str()]))
}

/// A CSV file.
pub(crate) fn write_table<'a, const COLUMNS: usize>(
    path: &Path,
    header: &[&str; COLUMNS],
    rows: impl IntoIterator<Item = [&'a str; COLUMNS]>,
) -> Result<(), ExperimentError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(header)
        .and_then(|()| rows.into_iter().try_for_each(|row| writer.write_record(row)))
        .map_err(std::io::Error::from)
        .and_then(|()| writer.into_inner().map_err(csv::IntoInnerError::into_error))
        .and_then(|bytes| write_whole(path, bytes))
        .map_err(unwritten(path))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn example(count: usize) -> Vec<Row> {
        let row = |i: usize| Row {
            image_id: format!("i{i:03}"),
            split: Split::Train,
            group: format!("g{}", i / 2),
            dx: ["mel", "nv"][usize::from(!i.is_multiple_of(5))].into(),
            mask: true,
        };
        (0..count).map(row).collect()
    }

    /// Groups stay together, halves are equal and complete, and nothing depends on the order of the rows.
    #[test]
    fn draws_respect_groups() {
        let rows = example(100);
        let mut refs: Vec<&Row> = rows.iter().collect();
        let [a, b] = halves(&refs, "folds");
        assert_eq!((a.len(), b.len()), (50, 50));
        let drawn = draw(&refs, 20, "labelled");
        assert_eq!(drawn.len(), 20);
        let group = |id: &str| rows.iter().find(|row| row.image_id == id).unwrap().group.clone();
        let of = |ids: &[String]| ids.iter().map(|id| group(id)).collect::<BTreeSet<_>>();
        assert!(of(&a).is_disjoint(&of(&b)));
        assert_eq!(of(&drawn).len(), 10);
        refs.reverse();
        assert_eq!(halves(&refs, "folds"), [a.clone(), b]);
        assert_ne!(halves(&refs, "other")[0], a);
    }

    #[test]
    fn a_sample_holds_every_diagnosis() {
        let rows = example(100);
        let chosen = sample_of_split(&rows, Split::Train, 6);
        assert_eq!(chosen.iter().filter(|row| row.dx == "mel").count(), 3);
        assert_eq!(sample_of_split(&rows, Split::Train, 1000).len(), 100);
    }

    /// Ids that CSV has to quote come back as they were.
    #[test]
    fn lists_of_odd_ids_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ids.csv");
        let ids: Vec<String> = ["a,b", "\"quoted", "plain"].map(String::from).to_vec();
        write_ids(&path, &ids).unwrap();
        assert_eq!(read_ids(&path).unwrap(), ids);
        fs::write(&path, "id\nx\n").unwrap();
        assert!(read_ids(&path).unwrap_err().to_string().contains("image_id"));
    }

    /// Two images of one lesion stay in one fold, although the patient is known for one of them only.
    #[test]
    fn folds_do_not_part_a_lesion() {
        let folder = tempfile::tempdir().unwrap();
        for kind in ["images", "masks"] {
            fs::create_dir(folder.path().join(kind)).unwrap();
        }
        let mut table = String::from("image_id,split,age_approx,sex,anatom_site,dx,lesion_id,patient_id\n");
        for i in 0..40 {
            for kind in ["images", "masks"] {
                fs::write(folder.path().join(kind).join(format!("i{i:02}.png")), "").unwrap();
            }
            let split = ["train", "train", "train", "train", "val", "test"][(i / 2) % 6];
            let patient = if i % 2 == 0 { format!("P{i}") } else { String::new() };
            table.push_str(&format!("i{i:02},{split},,,,nv,L{},{patient}\n", i / 2));
        }
        fs::write(folder.path().join("metadata.csv"), table).unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let rows = rows(&data);
        let train: Vec<&Row> = rows.iter().filter(|row| row.split == Split::Train).collect();
        let [first, second] = halves(&train, "folds");
        for pair in (0..40).step_by(2) {
            let ids = [format!("i{pair:02}"), format!("i{:02}", pair + 1)];
            for half in [&first, &second] {
                assert_ne!(ids.iter().filter(|id| half.contains(id)).count(), 1, "{ids:?}");
            }
        }
    }
}
