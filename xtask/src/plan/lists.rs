//! Lists of ids the settings share: the data itself (cut down for `tiny`), folds, labelled images and their halves.

use super::Extras;
use super::build::Builder;
use crate::data::{self, Row};
use crate::profile::{LABELLED_SHARE, Profile};
use crate::run_file::Dataset;
use crate::stage::{Plan, StageRef, Value};
use anyhow::{Result, bail};
use std::collections::BTreeSet;
use std::path::Path;

/// Optional list in a data folder: the images whose masks the semi-supervised setting may use.
const LABELLED: &str = "labelled.csv";

/// Lists of training ids.
pub struct Lists {
    /// Holds `fold-0.csv` and `fold-1.csv`.
    pub folds: StageRef,
    /// Holds `labelled.csv`, its halves `first.csv` and `second.csv`, and `lists.json` with their sizes.
    pub labelled: StageRef,
}

/// The data folder of the experiment: the given one, or a stage that cuts it down.
pub fn data(plan: &mut Plan, profile: &Profile, folder: &Path) -> (Value, Option<StageRef>) {
    let outside = Value::Data {
        folder: folder.into(),
        file: String::new(),
    };
    let Some(subset) = profile.subset else {
        return (outside, None);
    };
    let source = outside.clone();
    let stage = plan.native("data", format!("subset v1 {subset:?}"), vec![outside], move |place| {
        let folder = place.path(&source)?;
        let rows = data::rows(&folder)?;
        data::copy_subset(&folder, place.folder, &chosen(&rows, subset))
    });
    (stage.file(""), Some(stage))
}

fn chosen(rows: &[Row], subset: [usize; 3]) -> BTreeSet<&str> {
    let splits = ["train", "val", "test"].into_iter().zip(subset);
    splits
        .flat_map(|(split, count)| data::sample_of_split(rows, split, count))
        .map(|row| row.image_id.as_str())
        .collect()
}

/// Name and sizes of the data a profile will use, and what else it has.
///
/// # Errors
/// When a split is empty.
pub fn look(profile: &Profile, folder: &Path, name: &str) -> Result<(Dataset, Extras)> {
    let mut rows = data::rows(folder)?;
    if let Some(subset) = profile.subset {
        let ids: BTreeSet<String> = chosen(&rows, subset).into_iter().map(String::from).collect();
        rows.retain(|row| ids.contains(&row.image_id));
    }
    let [train, val, test] = data::counts(&rows);
    for (split, count) in [("train", train), ("val", val), ("test", test)] {
        if count == 0 {
            bail!(
                "{} has no {split} images: check the column `split` of metadata.csv",
                folder.display()
            );
        }
    }
    for split in ["val", "test"] {
        if !rows.iter().any(|row| row.split == split && row.mask) {
            bail!(
                "{}: no {split} image has a mask to be judged by; add masks/<id>.png for some",
                folder.display()
            );
        }
    }
    trainable(&rows)?;
    let diagnoses = |split: &str| -> BTreeSet<&str> {
        let of_split = rows.iter().filter(|row| row.split == split && !row.dx.is_empty());
        of_split.map(|row| row.dx.as_str()).collect()
    };
    let (labels, seen) = (diagnoses("train"), diagnoses("val"));
    let extras = Extras {
        metadata: folder.join("metadata.csv").exists(),
        labels: labels.len() >= 2 && !labels.is_disjoint(&seen),
    };
    Ok((
        Dataset {
            name: name.into(),
            train,
            val,
            test,
        },
        extras,
    ))
}

/// Training images with a mask.
fn trainable(rows: &[Row]) -> Result<Vec<&Row>> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.split == "train" && row.mask).collect();
    if rows.len() < 8 {
        bail!(
            "only {} training images have masks; the experiment needs at least 8",
            rows.len()
        );
    }
    Ok(rows)
}

impl Lists {
    /// Adds the stages that draw the lists.
    pub fn plan(builder: &mut Builder) -> Self {
        let folder = builder.data.clone();
        let folds = builder
            .plan
            .native("folds", "two folds v1", vec![folder.clone()], move |place| {
                let rows = data::rows(&place.path(&folder)?)?;
                for (fold, ids) in data::halves(&trainable(&rows)?, "folds").iter().enumerate() {
                    data::write_ids(
                        &place.folder.join(format!("fold-{fold}.csv")),
                        ids.iter().map(String::as_str),
                    )?;
                }
                Ok(())
            });
        let folder = builder.data.clone();
        let description = format!("labelled v1 {LABELLED_SHARE}");
        let labelled = builder
            .plan
            .native("labelled", description, vec![folder.clone()], move |place| {
                let folder = place.path(&folder)?;
                let rows = data::rows(&folder)?;
                let rows = trainable(&rows)?;
                let ids = labelled_ids(&folder, &rows)?;
                let kept: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
                let rows: Vec<&Row> = rows
                    .into_iter()
                    .filter(|row| kept.contains(row.image_id.as_str()))
                    .collect();
                let [first, second] = data::halves(&rows, "labelled halves");
                for (name, ids) in [("labelled", &ids), ("first", &first), ("second", &second)] {
                    data::write_ids(
                        &place.folder.join(format!("{name}.csv")),
                        ids.iter().map(String::as_str),
                    )?;
                }
                let sizes = serde_json::json!({"labelled": ids.len(), "first": first.len(), "second": second.len()});
                crate::workspace::write_whole(&place.folder.join("lists.json"), format!("{sizes}\n"))
            });
        Self { folds, labelled }
    }
}

/// The list that comes with the data, else a seeded draw.
fn labelled_ids(folder: &Path, rows: &[&Row]) -> Result<Vec<String>> {
    let path = folder.join(LABELLED);
    if !path.exists() {
        let count = ((rows.len() as f64 * LABELLED_SHARE).round() as usize).max(2);
        return Ok(data::draw(rows, count, "labelled"));
    }
    let mut ids = data::read_ids(&path)?;
    let known: BTreeSet<&str> = rows.iter().map(|row| row.image_id.as_str()).collect();
    if let Some(id) = ids.iter().find(|id| !known.contains(id.as_str())) {
        bail!("{}: `{id}` is no training image with a mask", path.display());
    }
    ids.sort();
    ids.dedup();
    if ids.len() < 2 {
        bail!("{} needs at least two ids", path.display());
    }
    Ok(ids)
}
