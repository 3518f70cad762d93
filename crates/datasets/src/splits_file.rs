//! Who is in which split: as the table says, as a file says, or drawn.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use htl_vocabulary::{MetadataTable, TableError, file, known, write_whole};

use crate::error::list;
use crate::folder::{MadeSplit, OpenOptions};
use crate::grouping::GROUP_COLUMNS;
use crate::id_list::quoted;
use crate::metadata::unknown_split;
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
    if path.exists() {
        return Ok((read_splits(rows, &path)?, Some(path)));
    }
    let items: Vec<(&str, Vec<String>)> = rows
        .iter()
        .map(|row| (row.image_id.as_str(), group_keys(row)))
        .collect();
    let made = grouped_split(&items, options.fractions, options.split_seed)?;
    if options.made_split == MadeSplit::Kept {
        let mut text = String::from("image_id,split\n");
        for (id, split) in &made {
            text.push_str(&format!("{},{split}\n", quoted(id)));
        }
        write_whole(&path, text).map_err(|source| DatasetError::SplitsNotWritable {
            root: root.into(),
            source,
        })?;
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

fn read_splits(rows: &[MetadataRow], path: &Path) -> Result<Vec<Split>, DatasetError> {
    let table = MetadataTable::read(path, &[])?;
    let misfit = |reason| DatasetError::SplitsDoNotFit {
        path: path.into(),
        reason,
    };
    let place = table
        .place("split")
        .ok_or_else(|| misfit("it has no column `split`".to_owned()))?;
    let mut splits: BTreeMap<&str, Split> = BTreeMap::new();
    let mut problems = Vec::new();
    for record in table.records() {
        let value = record.cells.get(place).and_then(Option::as_deref).unwrap_or_default();
        match Split::from_name(value) {
            Some(split) => drop(splits.insert(&record.image_id, split)),
            None => problems.push(unknown_split(path, record.line, &record.image_id, value)),
        }
    }
    TableError::all(problems)?;
    let (mut result, mut missing) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        match splits.remove(row.image_id.as_str()) {
            Some(split) => result.push(split),
            None => missing.push(row.image_id.clone()),
        }
    }
    if !missing.is_empty() {
        return Err(misfit(format!(
            "{} image(s) have no row in it: {}",
            missing.len(),
            list(&missing)
        )));
    }
    let extra: Vec<String> = splits.into_keys().map(str::to_owned).collect();
    if !extra.is_empty() {
        return Err(misfit(format!(
            "{} row(s) are of no image: {}",
            extra.len(),
            list(&extra)
        )));
    }
    if let Some(empty) = Split::ALL.into_iter().find(|split| !result.contains(split)) {
        return Err(misfit(format!("split `{empty}` is empty")));
    }
    Ok(result)
}
