use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use htl_datasets::{DataFolder, GroupRule, Split, read_ids, write_ids};
use htl_mining::ScoreTable;
use htl_vocabulary::campaign::Half;
use htl_vocabulary::{file, write_whole};
use serde::{Deserialize, Serialize};

use super::annotation;
use super::value::{Place, Value};
use crate::ExperimentError;
use crate::campaign::Planted;
use crate::data::{self, Row};

/// A small stage that `htl` does itself: lists of ids, copies, joins of tables.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Native {
    /// A data folder with fewer images, all with a mask, every diagnosis among them.
    Subset {
        /// The data folder.
        data: Value,
        /// Images for training, validation and test.
        counts: [usize; 3],
    },
    /// A `metadata.csv` that knows nothing but ids and splits.
    Ids {
        /// The data folder.
        data: Value,
    },
    /// The training images with a mask in two halves, `fold-0.csv` and `fold-1.csv`, whole lesions and patients at a time.
    Folds {
        /// The data folder.
        data: Value,
    },
    /// The training images whose masks the semi-supervised setting may use: `labelled.csv`, its halves `first.csv` and
    /// `second.csv`, and `lists.json` with their sizes. The list that comes with the data, else a seeded draw.
    Labelled {
        /// The data folder.
        data: Value,
        /// Share of the training masks that is drawn.
        share: f64,
    },
    /// So many training images with a mask, drawn at random, as `labelled.csv`.
    Start {
        /// The data folder.
        data: Value,
        /// How many.
        count: usize,
        /// Seed of the draw.
        seed: u64,
    },
    /// What it takes to annotate the images of a list, as `annotation.json`.
    Annotation {
        /// The data folder.
        data: Value,
        /// The list.
        list: Value,
    },
    /// The ids of several lists, each once, as `labelled.csv`.
    Union {
        /// The lists.
        lists: Vec<Value>,
    },
    /// A data folder with something planted, in `data`; `scores.csv`, which marks what was planted, and `parity.json`, the weight
    /// that makes up for what was removed.
    Plant {
        /// The data folder.
        data: Value,
        /// What is planted.
        planted: Planted,
        /// Seed of the draw.
        seed: u64,
    },
    /// The test images with a mask in two halves, `first.csv` and `second.csv`, whole lesions and patients at a time, and those
    /// that are in a group, `group.csv`.
    TestHalves {
        /// The data folder.
        data: Value,
        /// The group, as text.
        group: Option<String>,
    },
    /// The rows of several score tables, one after another, as `scores.csv`.
    Concatenate {
        /// The tables.
        tables: Vec<Value>,
    },
}

/// The halves of the labelled list.
pub(crate) const FIRST_HALF: &str = "first.csv";
const SECOND_HALF: &str = "second.csv";
/// Sizes of the labelled list and its halves, under the keys `labelled`, `first`, `second`.
pub(crate) const LIST_SIZES: &str = "lists.json";

/// The images of a group.
pub(crate) const GROUP: &str = "group.csv";

/// The list of one half.
pub(crate) fn half_file(half: Half) -> String {
    match half {
        Half::First => FIRST_HALF.into(),
        Half::Second => SECOND_HALF.into(),
    }
}

/// The list of one fold.
pub(crate) fn fold_file(fold: usize) -> String {
    format!("fold-{fold}.csv")
}

impl Native {
    pub(super) fn reads(&self) -> Vec<&Value> {
        match self {
            Self::Subset { data, .. }
            | Self::Ids { data }
            | Self::Folds { data }
            | Self::Labelled { data, .. }
            | Self::Start { data, .. }
            | Self::Plant { data, .. }
            | Self::TestHalves { data, .. } => vec![data],
            Self::Annotation { data, list } => vec![data, list],
            Self::Union { lists } => lists.iter().collect(),
            Self::Concatenate { tables } => tables.iter().collect(),
        }
    }

    pub(super) fn symbol(&self) -> String {
        let reads: Vec<String> = self.reads().into_iter().map(Value::symbol).collect();
        let what = match self {
            Self::Subset { counts, .. } => format!("subset {counts:?}"),
            Self::Ids { .. } => "ids".into(),
            Self::Folds { .. } => "folds".into(),
            Self::Labelled { share, .. } => format!("labelled {share}"),
            Self::Start { count, seed, .. } => format!("start {count} seed {seed}"),
            Self::Plant { planted, seed, .. } => format!("plant {planted:?} seed {seed}"),
            Self::TestHalves { group, .. } => format!("test halves {}", group.as_deref().unwrap_or_default()),
            Self::Annotation { .. } => "annotation".into(),
            Self::Union { .. } => "union".into(),
            Self::Concatenate { .. } => "concatenate".into(),
        };
        format!("native {what}\n{}", reads.join("\n"))
    }

    /// Does it, into the stage's own folder.
    ///
    /// # Errors
    /// Those of reading the data and of writing.
    pub fn run(&self, place: Place<'_>) -> Result<(), ExperimentError> {
        let own = |name: &str| place.own.join(name);
        match self {
            Self::Subset { data, counts } => {
                let folder = DataFolder::open(data.path(place)?)?;
                let rows = data::rows(&folder);
                Ok(folder.copy_subset(place.own, &data::chosen(&rows, *counts))?)
            }
            Self::Ids { data } => {
                let rows = data::rows(&DataFolder::open(data.path(place)?)?);
                ids_only(&rows, &own(file::METADATA))
            }
            Self::Folds { data } => {
                let folder = data.path(place)?;
                let rows = data::rows(&DataFolder::open(&folder)?);
                let trainable = data::trainable(&rows, &folder)?;
                for (fold, ids) in data::halves(&trainable, "folds").iter().enumerate() {
                    write_ids(&own(&fold_file(fold)), ids.iter().map(String::as_str))?;
                }
                Ok(())
            }
            Self::Labelled { data, share } => labelled(data.path(place)?, *share, place),
            Self::Start { data, count, seed } => {
                let folder = data.path(place)?;
                let rows = data::rows(&DataFolder::open(&folder)?);
                let rows = data::trainable(&rows, &folder)?;
                if *count >= rows.len() {
                    return Err(ExperimentError::UnfitData {
                        folder,
                        reason: format!("{count} of {} training masks leave nothing to choose from", rows.len()),
                    });
                }
                let ids = data::draw(&rows, *count, &format!("start {seed}"));
                Ok(write_ids(&own(file::LABELLED), ids.iter().map(String::as_str))?)
            }
            Self::Plant { data, planted, seed } => {
                planted.plant(&DataFolder::open(data.path(place)?)?, *seed, place.own)
            }
            Self::TestHalves { data, group } => test_halves(&data.path(place)?, group.as_deref(), place.own),
            Self::Annotation { data, list } => {
                let data = DataFolder::open(data.path(place)?)?;
                let effort = annotation::effort(&data, &read_ids(&list.path(place)?)?)?;
                let text = serde_json::to_string_pretty(&effort).unwrap_or_default() + "\n";
                write_whole(&own(file::ANNOTATION), text).map_err(ExperimentError::NotWritten)
            }
            Self::Union { lists } => {
                let mut ids = BTreeSet::new();
                for list in lists {
                    ids.extend(read_ids(&list.path(place)?)?);
                }
                Ok(write_ids(&own(file::LABELLED), ids.iter().map(String::as_str))?)
            }
            Self::Concatenate { tables } => {
                let paths: Vec<PathBuf> = tables.iter().map(|table| table.path(place)).collect::<Result<_, _>>()?;
                concatenate(&paths, &own(file::SCORES))
            }
        }
    }
}

fn test_halves(folder: &Path, group: Option<&str>, own: &Path) -> Result<(), ExperimentError> {
    let data = DataFolder::open(folder)?;
    let rows = data::rows(&data);
    let judged = |row: &&Row| row.split == Split::Test && row.mask;
    let judged: Vec<&Row> = rows.iter().filter(judged).collect();
    let [first, second] = data::halves(&judged, "test halves");
    if first.is_empty() || second.is_empty() {
        return Err(ExperimentError::UnfitData {
            folder: folder.into(),
            reason: "its test images do not make two halves: there have to be two lesions or patients with a mask"
                .into(),
        });
    }
    for (name, ids) in [(FIRST_HALF, &first), (SECOND_HALF, &second)] {
        write_ids(&own.join(name), ids.iter().map(String::as_str))?;
    }
    if let Some(rule) = group {
        let rule: GroupRule = rule.parse()?;
        let samples = judged.iter().filter_map(|row| data.get(&row.image_id));
        let members = rule.members(&samples.collect::<Vec<_>>())?;
        write_ids(&own.join(GROUP), members.iter().map(String::as_str))?;
    }
    Ok(())
}

/// A `metadata.csv` in which nothing but ids and splits is known.
fn ids_only(rows: &[Row], path: &Path) -> Result<(), ExperimentError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = writer.write_record(htl_datasets::COLUMNS).and_then(|()| {
        rows.iter()
            .try_for_each(|row| writer.write_record([row.image_id.as_str(), row.split.name(), "", "", "", ""]))
    });
    written
        .map_err(std::io::Error::from)
        .and_then(|()| writer.into_inner().map_err(csv::IntoInnerError::into_error))
        .and_then(|bytes| write_whole(path, bytes))
        .map_err(ExperimentError::NotWritten)
}

/// Writes the rows of several score tables, one after another, as one table.
///
/// # Errors
/// Those of reading and writing score tables.
pub(crate) fn concatenate(paths: &[PathBuf], to: &Path) -> Result<(), ExperimentError> {
    let tables: Vec<ScoreTable> = paths.iter().map(ScoreTable::read).collect::<Result<_, _>>()?;
    Ok(ScoreTable::concat(tables)?.write(to)?)
}

fn labelled(folder: PathBuf, share: f64, place: Place<'_>) -> Result<(), ExperimentError> {
    let data = DataFolder::open(&folder)?;
    let rows = data::rows(&data);
    let rows = data::trainable(&rows, &folder)?;
    let ids = labelled_ids(&data, &rows, share)?;
    let kept: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    let rows: Vec<&Row> = rows
        .into_iter()
        .filter(|row| kept.contains(row.image_id.as_str()))
        .collect();
    let [first, second] = data::halves(&rows, "labelled halves");
    for (name, ids) in [(file::LABELLED, &ids), (FIRST_HALF, &first), (SECOND_HALF, &second)] {
        write_ids(&place.own.join(name), ids.iter().map(String::as_str))?;
    }
    let sizes = serde_json::json!({"labelled": ids.len(), "first": first.len(), "second": second.len()});
    let path = place.own.join(LIST_SIZES);
    write_whole(&path, format!("{sizes}\n")).map_err(ExperimentError::NotWritten)
}

/// The list that comes with the data, else a seeded draw.
fn labelled_ids(data: &DataFolder, rows: &[&Row], share: f64) -> Result<Vec<String>, ExperimentError> {
    let path = data.root().join(file::LABELLED);
    if !path.exists() {
        let count = ((rows.len() as f64 * share).round() as usize).max(2);
        return Ok(data::draw(rows, count, "labelled"));
    }
    let unfit = |reason: String| ExperimentError::UnfitData {
        folder: path.clone(),
        reason,
    };
    let listed = data.listed(&path)?.into_iter();
    let mut ids: Vec<String> = listed.map(|sample| sample.image_id.clone()).collect();
    let known: BTreeSet<&str> = rows.iter().map(|row| row.image_id.as_str()).collect();
    if let Some(id) = ids.iter().find(|id| !known.contains(id.as_str())) {
        let why = match data.get(id) {
            None => "is not among the images",
            Some(sample) if sample.split != Split::Train => "is not a training image",
            Some(_) => "has no mask",
        };
        return Err(unfit(format!("`{id}` {why}")));
    }
    ids.sort();
    if ids.len() < 2 {
        return Err(unfit("it needs at least two ids".into()));
    }
    Ok(ids)
}
