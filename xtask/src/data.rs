//! What planning needs to know of a data folder: its ids, splits and groups, and a hash of its content.
//!
//! Reading, checking and splitting are done by `htl`; this only draws lists of ids.

use crate::workspace::{file_hash, hex};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An image of a data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its id.
    pub image_id: String,
    /// `train`, `val` or `test`.
    pub split: String,
    /// Images of one group (lesion, else patient) never part ways.
    pub group: String,
    /// Diagnosis, may be empty.
    pub dx: String,
    /// Whether `masks/<id>.png` exists.
    pub mask: bool,
}

/// The images of a data folder, sorted by id. The splits are those of `metadata.csv` if it names at least two, else those
/// that `htl` drew and wrote to `splits.csv`.
pub fn rows(folder: &Path) -> Result<Vec<Row>> {
    let masks: BTreeSet<String> = match folder.join("masks") {
        masks if masks.exists() => files(&masks)?.iter().filter_map(|path| image_of_mask(path)).collect(),
        _ => BTreeSet::new(),
    };
    let metadata = folder.join("metadata.csv");
    let mut table_rows = if metadata.exists() {
        table(&metadata)?
    } else {
        Vec::new()
    };
    let named: BTreeSet<&str> = table_rows
        .iter()
        .filter_map(|row| row.get("split"))
        .map(String::as_str)
        .collect();
    if named.iter().filter(|split| !split.is_empty()).count() < 2 {
        let drawn = table(&folder.join("splits.csv"))
            .context("metadata.csv names no splits, and `htl data verify` has not drawn any yet")?;
        if table_rows.is_empty() {
            table_rows = drawn;
        } else {
            let drawn: HashMap<String, String> = drawn
                .into_iter()
                .filter_map(|mut row| Some((row.remove("image_id")?, row.remove("split")?)))
                .collect();
            for row in &mut table_rows {
                let split = row
                    .get("image_id")
                    .and_then(|id| drawn.get(id))
                    .cloned()
                    .unwrap_or_default();
                row.insert("split".into(), split);
            }
        }
    }
    let mut rows = Vec::with_capacity(table_rows.len());
    for mut row in table_rows {
        let mut take = |column: &str| row.remove(column).unwrap_or_default();
        let image_id = take("image_id");
        let groups = [take("patient_id"), take("lesion_id"), image_id.clone()];
        let group = groups.into_iter().find(|group| !group.is_empty()).unwrap_or_default();
        rows.push(Row {
            mask: masks.contains(&image_id),
            split: take("split"),
            dx: take("dx"),
            group,
            image_id,
        });
    }
    if rows.is_empty() {
        bail!(
            "{} has no images: see the README for the layout of a data folder",
            folder.display()
        );
    }
    rows.sort_by(|a, b| a.image_id.cmp(&b.image_id));
    Ok(rows)
}

/// The id of the image a mask belongs to: `<id>.png` or `<id>_segmentation.png`.
fn image_of_mask(path: &Path) -> Option<String> {
    let stem = path.file_stem()?.to_str()?;
    Some(stem.strip_suffix("_segmentation").unwrap_or(stem).to_string())
}

/// The rows of a CSV file as column → value.
pub fn table(path: &Path) -> Result<Vec<BTreeMap<String, String>>> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    reader
        .deserialize()
        .map(|row| row.with_context(|| format!("{} is not a table", path.display())))
        .collect()
}

/// Counts of training, validation and test images.
pub fn counts(rows: &[Row]) -> [usize; 3] {
    ["train", "val", "test"].map(|split| rows.iter().filter(|row| row.split == split).count())
}

/// The ids of a CSV file with a column `image_id`.
pub fn read_ids(path: &Path) -> Result<Vec<String>> {
    table(path)?
        .into_iter()
        .map(|mut row| {
            row.remove("image_id")
                .with_context(|| format!("{} has no column image_id", path.display()))
        })
        .collect()
}

/// A CSV file with the one column `image_id`.
pub fn write_ids<'a>(path: &Path, ids: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let mut text = String::from("image_id\n");
    for id in ids {
        text.push_str(id);
        text.push('\n');
    }
    crate::workspace::write_whole(path, text)
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
pub fn draw(rows: &[&Row], count: usize, seed: &str) -> Vec<String> {
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
pub fn halves(rows: &[&Row], seed: &str) -> [Vec<String>; 2] {
    let mut halves = [Vec::new(), Vec::new()];
    for group in shuffled_groups(rows, seed) {
        let smaller = usize::from(halves[1].len() < halves[0].len());
        halves[smaller].extend(group.into_iter().map(|row| row.image_id.clone()));
    }
    halves.iter_mut().for_each(|half| half.sort());
    halves
}

/// Up to `count` rows of a split with a mask, taking the diagnoses in turn so that each occurs.
pub fn sample_of_split<'a>(rows: &'a [Row], split: &str, count: usize) -> Vec<&'a Row> {
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

/// Copies the chosen images with their masks and tables into a new data folder.
pub fn copy_subset(from: &Path, to: &Path, chosen: &BTreeSet<&str>) -> Result<()> {
    for (folder, needed) in [("images", true), ("masks", false)] {
        let source = from.join(folder);
        if !source.exists() && !needed {
            continue;
        }
        fs::create_dir_all(to.join(folder)).with_context(|| format!("cannot create {}", to.join(folder).display()))?;
        for path in files(&source)? {
            let (Some(id), Some(name)) = (image_of_mask(&path), path.file_name()) else {
                continue;
            };
            if chosen.contains(id.as_str()) {
                fs::copy(&path, to.join(folder).join(name))
                    .with_context(|| format!("cannot copy {}", path.display()))?;
            }
        }
    }
    for table in ["metadata.csv", "splits.csv"] {
        let path = from.join(table);
        if !path.exists() {
            continue;
        }
        let mut reader = csv::Reader::from_path(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let headers = reader.headers()?.clone();
        let column = headers.iter().position(|name| name.trim() == "image_id");
        let column = column.with_context(|| format!("{} has no column image_id", path.display()))?;
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&headers)?;
        for record in reader.records() {
            let record = record?;
            if chosen.contains(record.get(column).unwrap_or_default().trim()) {
                writer.write_record(&record)?;
            }
        }
        let bytes = writer.into_inner().map_err(csv::IntoInnerError::into_error)?;
        crate::workspace::write_whole(&to.join(table), bytes)?;
    }
    Ok(())
}

/// The files of a folder, sorted by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))? {
        let path = entry?.path();
        if path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A hash of the names and contents of all images, masks and tables of a data folder.
pub fn checksum(folder: &Path) -> Result<String> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for part in ["images", "masks"] {
        if folder.join(part).exists() {
            paths.extend(files(&folder.join(part))?);
        }
    }
    for table in ["metadata.csv", "labelled.csv", "splits.csv"] {
        if folder.join(table).exists() {
            paths.push(folder.join(table));
        }
    }
    let next = AtomicUsize::new(0);
    let hashes = Mutex::new(vec![[0u8; 32]; paths.len()]);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..crate::workspace::cores())
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some(path) = paths.get(index) else { return Ok(()) };
                        let hash = file_hash(path)?;
                        if let Ok(mut hashes) = hashes.lock() {
                            hashes[index] = hash;
                        }
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("hashing the data failed")))
    })?;
    let mut hasher = Sha256::new();
    let hashes = hashes.into_inner().unwrap_or_default();
    for (path, hash) in paths.iter().zip(hashes) {
        let name = path
            .strip_prefix(folder)
            .unwrap_or(path)
            .to_string_lossy()
            .replace('\\', "/");
        hasher.update(name.as_bytes());
        hasher.update([0]);
        hasher.update(hash);
    }
    Ok(hex(&hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(count: usize) -> Vec<Row> {
        let row = |i: usize| Row {
            image_id: format!("i{i:03}"),
            split: "train".into(),
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
        let chosen = sample_of_split(&rows, "train", 6);
        assert_eq!(chosen.iter().filter(|row| row.dx == "mel").count(), 3);
        assert_eq!(sample_of_split(&rows, "train", 1000).len(), 100);
    }

    /// Any change of a name or a byte changes the checksum; the place of the folder does not.
    #[test]
    fn checksums_see_everything() {
        let make = |name: &str, bytes: &[u8]| {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("images")).unwrap();
            fs::write(folder.path().join("images").join(name), bytes).unwrap();
            checksum(folder.path()).unwrap()
        };
        assert_eq!(make("a.jpg", b"1"), make("a.jpg", b"1"));
        assert_ne!(make("a.jpg", b"1"), make("a.jpg", b"2"));
        assert_ne!(make("a.jpg", b"1"), make("b.jpg", b"1"));
    }
}
