use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use htl_vocabulary::{file, write_whole};
use rayon::prelude::*;

use crate::grouping::GROUP_COLUMNS;
use crate::id_list::{quoted, read_numbered_ids};
use crate::metadata::{Table, is_known};
use crate::{
    DatasetError, MetadataRow, Sample, Split, SplitFractions, grouped_split, parse_metadata, read_mask_for, read_rgb,
    sha256_bytes, sha256_file,
};

/// Options for a [`DataFolder`] whose metadata does not assign all three splits.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Seed of the split that is made.
    pub split_seed: u64,
    /// Fractions of the samples in each split.
    pub fractions: SplitFractions,
    /// Where the split is written and read again; `splits.csv` in the folder if `None`.
    pub splits_file: Option<PathBuf>,
}

/// A folder of `images/<id>.jpg|jpeg|png`, `masks/<id>.png` (or `<id>_segmentation.png`; optional, per image) and
/// `metadata.csv` (optional), read and checked. Samples are sorted by id.
///
/// Without `metadata.csv`, or with a blank `split` column, or with a single split in it, a seeded split (60 % train,
/// 10 % val, 30 % test) is made that keeps samples with equal `lesion_id` or `patient_id` together. It is written to
/// `splits.csv`, reported with `tracing::warn`, and read from there the next time.
#[derive(Debug, Clone)]
pub struct DataFolder {
    root: PathBuf,
    samples: Vec<Sample>,
    columns: Vec<String>,
    splits_file: Option<PathBuf>,
}

impl DataFolder {
    /// Opens and checks a folder; see [`DataFolder::open_with`].
    ///
    /// # Errors
    /// As [`DataFolder::open_with`].
    pub fn open(root: impl AsRef<Path>) -> Result<Self, DatasetError> {
        Self::open_with(root, &OpenOptions::default())
    }

    /// Opens and checks a folder. No image is decoded yet.
    ///
    /// # Errors
    /// No `images` folder or no image in it; whatever [`parse_metadata`] refuses; a row without its image; an image
    /// without a row; two files for one id; a split that is empty or blank for some rows only; a split that had to be
    /// made and cannot be written.
    pub fn open_with(root: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, DatasetError> {
        let root = root.as_ref();
        let image_folder = root.join(file::IMAGES_FOLDER);
        if !image_folder.is_dir() {
            return Err(DatasetError::NotADataFolder { root: root.into() });
        }
        let images = files_by_id(&image_folder, &["jpg", "jpeg", "png"], "")?;
        if images.is_empty() {
            return Err(DatasetError::NoImages { path: image_folder });
        }
        let mask_folder = root.join(file::MASKS_FOLDER);
        let masks = if mask_folder.is_dir() {
            files_by_id(&mask_folder, &["png"], "_segmentation")?
        } else {
            BTreeMap::new()
        };
        let unused = masks.keys().filter(|id| !images.contains_key(*id)).count();
        if unused > 0 {
            tracing::warn!(
                "{unused} mask(s) in {} have no image and are not used",
                mask_folder.display()
            );
        }

        let table = root.join(file::METADATA);
        let (mut rows, columns) = if table.exists() {
            let text = fs::read(&table).map_err(DatasetError::read(&table))?;
            let rows = parse_metadata(&text, &table)?;
            match_images(&rows, &images, &table, &image_folder)?;
            (rows, Table::parse(&text, &table)?.header)
        } else {
            let rows = images
                .keys()
                .enumerate()
                .map(|(index, id)| bare_row(index as u64 + 1, id))
                .collect();
            (rows, crate::COLUMNS.map(str::to_owned).to_vec())
        };
        rows.sort_by(|a, b| a.image_id.cmp(&b.image_id));
        let (splits, splits_file) = resolve_splits(&rows, root, &table, options)?;

        let samples = rows
            .into_iter()
            .zip(splits)
            .filter_map(|(row, split)| {
                Some(Sample {
                    image: images.get(&row.image_id)?.clone(),
                    mask: masks.get(&row.image_id).cloned(),
                    split,
                    image_id: row.image_id,
                    age_approx: row.age_approx,
                    sex: row.sex,
                    anatom_site: row.anatom_site,
                    dx: row.dx,
                    other: row.other,
                })
            })
            .collect();
        Ok(Self {
            root: root.into(),
            samples,
            columns,
            splits_file,
        })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All samples, sorted by id.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The samples of one split, sorted by id.
    pub fn split(&self, split: Split) -> Vec<&Sample> {
        self.samples.iter().filter(|sample| sample.split == split).collect()
    }

    /// The sample with that id.
    pub fn get(&self, image_id: &str) -> Option<&Sample> {
        let index = self
            .samples
            .binary_search_by(|sample| sample.image_id.as_str().cmp(image_id))
            .ok()?;
        self.samples.get(index)
    }

    /// The samples that a CSV file with a column `image_id` lists (such as the labelled part of a training set), in its
    /// order.
    ///
    /// # Errors
    /// [`DatasetError::Read`]; a missing column, an id that is not in this folder or appears twice, with its line.
    pub fn listed(&self, path: &Path) -> Result<Vec<&Sample>, DatasetError> {
        read_numbered_ids(path)?
            .into_iter()
            .map(|(line, image_id)| {
                self.get(&image_id).ok_or_else(|| DatasetError::Table {
                    path: path.into(),
                    line,
                    reason: format!(
                        "`{image_id}` is not in {}; remove the row or add the image",
                        self.root.display()
                    ),
                })
            })
            .collect()
    }

    /// Columns of `metadata.csv` in its order, the six known ones included.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The file that the split was read from or written to, if `metadata.csv` did not give it.
    pub fn splits_file(&self) -> Option<&Path> {
        self.splits_file.as_deref()
    }

    /// SHA-256 over everything that determines a result: the sorted list of relative path and content hash of each
    /// image, each mask and `metadata.csv`, then id and split of each sample. Moving the folder does not change it.
    ///
    /// # Errors
    /// [`DatasetError::Read`] names the file.
    pub fn sha256(&self) -> Result<String, DatasetError> {
        let mut files: Vec<&Path> = self.samples.iter().map(|sample| sample.image.as_path()).collect();
        files.extend(self.samples.iter().filter_map(|sample| sample.mask.as_deref()));
        let table = self.root.join(file::METADATA);
        if table.exists() {
            files.push(&table);
        }
        let mut lines = files
            .into_par_iter()
            .map(|path| {
                let relative = path.strip_prefix(&self.root).unwrap_or(path);
                let relative = relative.to_string_lossy().replace('\\', "/");
                Ok(format!("{relative} {}\n", sha256_file(path)?))
            })
            .collect::<Result<Vec<String>, DatasetError>>()?;
        lines.sort_unstable();
        lines.extend(
            self.samples
                .iter()
                .map(|sample| format!("{} {}\n", sample.image_id, sample.split)),
        );
        Ok(sha256_bytes(lines.concat().as_bytes()))
    }

    /// Decodes every image and mask and returns everything that is wrong, in order of ids. Empty means all is well.
    pub fn problems(&self) -> Vec<DatasetError> {
        self.samples
            .par_iter()
            .filter_map(|sample| match read_rgb(&sample.image) {
                Err(error) => Some(error),
                Ok(image) => {
                    let mask = sample.mask.as_ref()?;
                    read_mask_for(mask, &sample.image, image.dimensions()).err()
                }
            })
            .collect()
    }
}

fn bare_row(line: u64, id: &str) -> MetadataRow {
    MetadataRow {
        line,
        image_id: id.to_owned(),
        split: None,
        age_approx: None,
        sex: None,
        anatom_site: None,
        dx: None,
        other: BTreeMap::new(),
    }
}

/// Files by stem; `suffix` is cut off the stem. Hidden files are left out.
fn files_by_id(folder: &Path, extensions: &[&str], suffix: &str) -> Result<BTreeMap<String, PathBuf>, DatasetError> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(DatasetError::read(folder))? {
        let path = entry.map_err(DatasetError::read(folder))?.path();
        let (Some(stem), Some(extension)) = (path.file_stem().and_then(|s| s.to_str()), path.extension()) else {
            continue;
        };
        let known = extensions.iter().any(|known| extension.eq_ignore_ascii_case(known));
        if !known || stem.starts_with('.') || !path.is_file() {
            continue;
        }
        let id = if suffix.is_empty() {
            stem
        } else {
            stem.strip_suffix(suffix).unwrap_or(stem)
        };
        let id = id.to_owned();
        if let Some(first) = files.get(&id) {
            let (first, second) = if *first < path {
                (first.clone(), path)
            } else {
                (path, first.clone())
            };
            return Err(DatasetError::AmbiguousFile {
                image_id: id,
                first,
                second,
            });
        }
        files.insert(id, path);
    }
    Ok(files)
}

fn match_images(
    rows: &[MetadataRow],
    images: &BTreeMap<String, PathBuf>,
    table: &Path,
    folder: &Path,
) -> Result<(), DatasetError> {
    let mut known: HashMap<&str, ()> = HashMap::new();
    for row in rows {
        if !images.contains_key(&row.image_id) {
            return Err(DatasetError::MissingImage {
                path: table.into(),
                line: row.line,
                image_id: row.image_id.clone(),
                folder: folder.into(),
            });
        }
        known.insert(&row.image_id, ());
    }
    let ids: Vec<String> = images
        .keys()
        .filter(|id| !known.contains_key(id.as_str()))
        .cloned()
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    Err(DatasetError::ImagesWithoutRow {
        path: table.into(),
        ids,
    })
}

/// The split of each row, and the file it came from if that is not `metadata.csv`.
fn resolve_splits(
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
        if let Some(blank) = rows.iter().find(|row| row.split.is_none()) {
            return Err(DatasetError::UnknownSplit {
                path: table.into(),
                line: blank.line,
                image_id: blank.image_id.clone(),
                value: String::new(),
            });
        }
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
    let mut text = String::from("image_id,split\n");
    for (id, split) in &made {
        text.push_str(&format!("{},{split}\n", quoted(id)));
    }
    write_whole(&path, text).map_err(|source| DatasetError::SplitsNotWritable {
        root: root.into(),
        source,
    })?;
    let count = |wanted| made.values().filter(|split| **split == wanted).count();
    tracing::warn!(
        "{}: {}; made a split with seed {} ({} train, {} val, {} test), kept in {}",
        root.display(),
        match present.first() {
            Some(only) => format!("every sample is `{only}`"),
            None => "no split is given".to_owned(),
        },
        options.split_seed,
        count(Split::Train),
        count(Split::Val),
        count(Split::Test),
        path.display()
    );
    let splits = rows.iter().filter_map(|row| made.get(&row.image_id).copied()).collect();
    Ok((splits, Some(path)))
}

fn group_keys(row: &MetadataRow) -> Vec<String> {
    let key = |column: &&str| {
        let value = row.other.get(*column).filter(|value| is_known(value))?;
        Some(format!("{column} {value}"))
    };
    GROUP_COLUMNS.iter().filter_map(key).collect()
}

fn read_splits(rows: &[MetadataRow], path: &Path) -> Result<Vec<Split>, DatasetError> {
    let text = fs::read(path).map_err(DatasetError::read(path))?;
    let table = Table::parse(&text, path)?;
    table.require(&["image_id", "split"])?;
    let (id_column, split_column) = (table.column("image_id")?, table.column("split")?);
    let mut splits: BTreeMap<&str, Split> = BTreeMap::new();
    for (line, record) in &table.rows {
        let field = |column: usize| record.get(column).map(String::as_str).unwrap_or_default();
        let (image_id, value) = (field(id_column), field(split_column));
        let split = Split::from_name(value).ok_or_else(|| DatasetError::UnknownSplit {
            path: path.into(),
            line: *line,
            image_id: image_id.to_owned(),
            value: value.to_owned(),
        })?;
        splits.insert(image_id, split);
    }
    let misfit = |reason| DatasetError::SplitsDoNotFit {
        path: path.into(),
        reason,
    };
    let mut result = Vec::with_capacity(rows.len());
    for row in rows {
        let split = splits.remove(row.image_id.as_str());
        result.push(split.ok_or_else(|| misfit(format!("it has no row for `{}`", row.image_id)))?);
    }
    if let Some(id) = splits.keys().next() {
        return Err(misfit(format!("`{id}` is not among the images")));
    }
    if let Some(empty) = Split::ALL.into_iter().find(|split| !result.contains(split)) {
        return Err(misfit(format!("split `{empty}` is empty")));
    }
    Ok(result)
}
