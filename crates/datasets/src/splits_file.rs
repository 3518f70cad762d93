//! Who is in which split: as the table says, as a file says, or drawn.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use htl_vocabulary::{MetadataTable, TableError, file, known, write_whole};

use crate::error::list;
use crate::folder::{MadeSplit, OpenOptions};
use crate::grouping::GROUP_COLUMNS;
use crate::id_list::quoted;
use crate::metadata::unknown_split;
use crate::split::extended_split;
use crate::{DatasetError, MetadataRow, Split, grouped_split};

/// The split of each row, and the file it came from if that is not `metadata.csv`.
pub(crate) fn resolve_splits(
    rows: &[MetadataRow],
    root: &Path,
    table: &Path,
    options: &OpenOptions,
) -> Result<(Vec<Split>, Option<PathBuf>), DatasetError> {
    let present: Vec<Split> = Split::ALL
        .into_iter()
        .filter(|split| rows.iter().any(|row| row.split == Some(*split)))
        .collect();
    let given: Vec<Split> = rows.iter().filter_map(|row| row.split).collect();
    if present.len() >= 2 {
        let blank = rows.iter().filter(|row| row.split.is_none());
        let blank = blank.map(|row| unknown_split(table, row.line, &row.image_id, ""));
        TableError::all(blank.collect())?;
        if let Some(empty) = Split::ALL.into_iter().find(|split| !present.contains(split)) {
            return Err(DatasetError::EmptySplit {
                path: table.into(),
                split: empty.name().to_owned(),
                advice: "give it rows, or leave the whole split column blank to have a seeded split made".to_owned(),
            });
        }
        return Ok((given, None));
    }
    let path = options.splits_file.clone().unwrap_or_else(|| root.join(file::SPLITS));
    let items: Vec<(&str, Vec<String>)> = rows
        .iter()
        .map(|row| (row.image_id.as_str(), group_keys(row)))
        .collect();
    if path.exists() {
        let kept = read_splits(rows, &path)?;
        return Ok((grown(&items, kept, &path, options)?, Some(path)));
    }
    let made = grouped_split(&items, options.fractions, options.split_seed)?;
    if options.made_split == MadeSplit::Kept {
        write_splits(&made, &path, root)?;
    }
    let count = |wanted| made.values().filter(|split| **split == wanted).count();
    tracing::warn!(
        "{}: {}; made a split with seed {} ({} train, {} val, {} test), {}",
        root.display(),
        match present.first() {
            Some(only) => format!("every sample is `{only}`"),
            None => "no split is given".to_owned(),
        },
        options.split_seed,
        count(Split::Train),
        count(Split::Val),
        count(Split::Test),
        match options.made_split {
            MadeSplit::Kept => format!("kept in {}", path.display()),
            MadeSplit::Forgotten => "to look at, not kept".to_owned(),
        }
    );
    let splits = rows.iter().filter_map(|row| made.get(&row.image_id).copied()).collect();
    let kept = options.made_split == MadeSplit::Kept;
    Ok((splits, kept.then_some(path)))
}

fn group_keys(row: &MetadataRow) -> Vec<String> {
    let key = |column: &&str| {
        let value = row.other.get(*column).and_then(|value| known(value))?;
        Some(format!("{column} {value}"))
    };
    GROUP_COLUMNS.iter().filter_map(key).collect()
}

fn write_splits(splits: &BTreeMap<String, Split>, path: &Path, root: &Path) -> Result<(), DatasetError> {
    let mut text = String::from("image_id,split\n");
    for (id, split) in splits {
        text.push_str(&format!("{},{split}\n", quoted(id)));
    }
    write_whole(path, text).map_err(|source| DatasetError::SplitsNotWritable {
        root: root.into(),
        source,
    })
}

/// The split of each row where a folder may have grown or shrunk since the split was made: nobody moves, new images are added to
/// the file, and images that went keep their row in case they come back.
fn grown(
    items: &[(&str, Vec<String>)],
    mut kept: BTreeMap<String, Split>,
    path: &Path,
    options: &OpenOptions,
) -> Result<Vec<Split>, DatasetError> {
    let new: Vec<String> = items
        .iter()
        .map(|(id, _)| *id)
        .filter(|id| !kept.contains_key(*id))
        .map(str::to_owned)
        .collect();
    if !new.is_empty() {
        let all = extended_split(items, &kept, options.fractions, options.split_seed)?;
        let count = |wanted| new.iter().filter(|id| all.get(*id) == Some(&wanted)).count();
        tracing::warn!(
            "{}: {} new images were given a split ({} train, {} val, {} test): {}",
            path.display(),
            new.len(),
            count(Split::Train),
            count(Split::Val),
            count(Split::Test),
            list(&new)
        );
        kept.extend(all);
        if options.made_split == MadeSplit::Kept {
            write_splits(&kept, path, path.parent().unwrap_or(path))?;
        }
    }
    let gone = kept.len() - items.len();
    if gone > 0 {
        tracing::warn!("{}: {gone} rows are of images that are no longer there", path.display());
    }
    let splits: Vec<Split> = items.iter().filter_map(|(id, _)| kept.get(*id).copied()).collect();
    if let Some(empty) = Split::ALL.into_iter().find(|split| !splits.contains(split)) {
        return Err(DatasetError::SplitsDoNotFit {
            path: path.into(),
            reason: format!("split `{empty}` is empty"),
        });
    }
    Ok(splits)
}

/// The rows of a split that was kept, by id.
fn read_splits(rows: &[MetadataRow], path: &Path) -> Result<BTreeMap<String, Split>, DatasetError> {
    let table = MetadataTable::read(path, &[])?;
    let misfit = |reason| DatasetError::SplitsDoNotFit {
        path: path.into(),
        reason,
    };
    let place = table
        .place("split")
        .ok_or_else(|| misfit("it has no column `split`".to_owned()))?;
    let mut splits: BTreeMap<String, Split> = BTreeMap::new();
    let mut problems = Vec::new();
    for record in table.records() {
        let value = record.cells.get(place).and_then(Option::as_deref).unwrap_or_default();
        match Split::from_name(value) {
            Some(split) => drop(splits.insert(record.image_id.clone(), split)),
            None => problems.push(unknown_split(path, record.line, &record.image_id, value)),
        }
    }
    TableError::all(problems)?;
    if !rows.iter().any(|row| splits.contains_key(&row.image_id)) {
        return Err(misfit(format!("none of its {} rows is of an image", splits.len())));
    }
    Ok(splits)
}
