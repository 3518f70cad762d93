use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use htl_vocabulary::{ColumnName, MergedSpelling, MetadataTable, file};
use rayon::prelude::*;

use crate::grouping::parted_in_words;
use crate::metadata::metadata_rows;
use crate::splits_file::resolve_splits;
use crate::{
    DatasetError, FileKind, FoundFiles, MetadataRow, Sample, Split, SplitFractions, UnusedFile, UnusedReason,
    find_files, sha256_bytes, sha256_file, unused_in_words,
};

/// What becomes of a split that had to be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MadeSplit {
    /// It is written, and read the next time.
    #[default]
    Kept,
    /// It is forgotten: the folder is only looked at.
    Forgotten,
}

/// How a [`DataFolder`] is opened.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// Seed of the split that is made.
    pub split_seed: u64,
    /// Fractions of the samples in each split.
    pub fractions: SplitFractions,
    /// Where the split is written and read again; `splits.csv` in the folder if `None`.
    pub splits_file: Option<PathBuf>,
    /// Whether it is written at all.
    pub made_split: MadeSplit,
    /// Names that `metadata.csv` has for columns of ours.
    pub columns: Vec<ColumnName>,
}

/// A folder of `images/<id>.jpg|jpeg|png`, `masks/<id>.png` (or `<id>_segmentation.png` and the like, see [`find_files`];
/// optional, per image) and `metadata.csv` (optional, see [`MetadataTable`]), read and checked. Samples are sorted by id.
///
/// What is in `images/` and `masks/` besides is counted and named by `tracing::warn`, and so are lesions and patients that
/// have images in more than one split.
///
/// Without `metadata.csv`, or with a blank `split` column, or with a single split in it, a seeded split (60 % train,
/// 10 % val, 30 % test) is made that keeps samples with equal `lesion_id` or `patient_id` together. It is written to
/// `splits.csv`, reported with `tracing::warn`, and read from there the next time. The folder may grow and shrink then: nobody
/// moves, a new image goes where its lesion or patient is, or where most are missing, and is added to the file.
#[derive(Debug, Clone)]
pub struct DataFolder {
    root: PathBuf,
    samples: Vec<Sample>,
    columns: Vec<String>,
    merged: Vec<MergedSpelling>,
    unused: Vec<UnusedFile>,
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
    /// No `images` folder or no image in it; whatever [`parse_metadata`](crate::parse_metadata) refuses; rows without their
    /// images, and images without rows; two files for one id; a split that is empty or blank for some rows only; a
    /// `splits.csv` that does not fit the images or parts a lesion or patient; a split that had to be made and cannot be written.
    pub fn open_with(root: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, DatasetError> {
        let root = root.as_ref();
        let image_folder = root.join(file::IMAGES_FOLDER);
        if !image_folder.is_dir() {
            return Err(DatasetError::NotADataFolder { root: root.into() });
        }
        let images = find_files(&image_folder, FileKind::Image, None)?;
        if images.by_id.is_empty() {
            return Err(DatasetError::NoImages { path: image_folder });
        }
        let masks = find_masks(root, &images)?;
        let unused: Vec<UnusedFile> = images.unused.iter().chain(&masks.unused).cloned().collect();
        for line in unused_in_words(&unused) {
            tracing::warn!("{}: {line}", root.display());
        }

        let table = root.join(file::METADATA);
        let (mut rows, columns, merged) = if table.exists() {
            let read = MetadataTable::read(&table, &options.columns)?;
            let rows = metadata_rows(&read)?;
            match_images(&rows, &images, &table, &image_folder)?;
            (rows, read.columns().to_vec(), read.merged().to_vec())
        } else {
            let ids = images.by_id.keys().enumerate();
            let rows = ids.map(|(index, id)| bare_row(index as u64 + 1, id)).collect();
            (rows, crate::COLUMNS.map(str::to_owned).to_vec(), Vec::new())
        };
        rows.sort_by(|a, b| a.image_id.cmp(&b.image_id));
        let (splits, splits_file) = resolve_splits(&rows, root, &table, options)?;

        let samples: Vec<Sample> = rows
            .into_iter()
            .zip(splits)
            .filter_map(|(row, split)| {
                Some(Sample {
                    image: images.by_id.get(&row.image_id)?.clone(),
                    mask: masks.by_id.get(&row.image_id).cloned(),
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
        if let Some(words) = parted_in_words(&samples) {
            if let Some(path) = splits_file {
                return Err(DatasetError::SplitsDoNotFit { path, reason: words });
            }
            tracing::warn!("{}: {words}; results on such a split flatter", root.display());
        }
        Ok(Self {
            root: root.into(),
            samples,
            columns,
            merged,
            unused,
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

    /// Columns of `metadata.csv` in its order, under our names where they have one.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Different spellings in `metadata.csv` that were taken for one, by column.
    pub fn merged(&self) -> &[MergedSpelling] {
        &self.merged
    }

    /// What is in the folder and is not read.
    pub fn unused(&self) -> &[UnusedFile] {
        &self.unused
    }

    /// Lesions and patients that the table puts into more than one split, in words; `None` if there are none.
    pub fn parted(&self) -> Option<String> {
        parted_in_words(&self.samples)
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

/// The masks of a folder's images, and what is not read.
fn find_masks(root: &Path, images: &FoundFiles) -> Result<FoundFiles, DatasetError> {
    let folder = root.join(file::MASKS_FOLDER);
    let mut masks = FoundFiles::default();
    if folder.is_dir() {
        let ids: BTreeSet<&str> = images.by_id.keys().map(String::as_str).collect();
        masks = find_files(&folder, FileKind::Mask, Some(&ids))?;
        let (of_images, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            masks.by_id.into_iter().partition(|(id, _)| ids.contains(id.as_str()));
        masks.by_id = of_images;
        masks.unused.extend(others.into_values().map(|path| UnusedFile {
            path,
            reason: UnusedReason::NoImage,
        }));
    }
    if masks.by_id.is_empty() {
        // Perhaps they are in a folder of another name.
        let mut folders: Vec<PathBuf> = fs::read_dir(root)
            .map_err(DatasetError::read(root))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_dir() && !path.ends_with(file::IMAGES_FOLDER) && !path.ends_with(file::MASKS_FOLDER))
            .filter(|path| !path.file_name().unwrap_or_default().to_string_lossy().starts_with('.'))
            .collect();
        folders.sort_unstable();
        let reason = UnusedReason::Folder;
        masks
            .unused
            .extend(folders.into_iter().map(|path| UnusedFile { path, reason }));
    }
    Ok(masks)
}

/// Every row has its image, and every image its row.
fn match_images(rows: &[MetadataRow], images: &FoundFiles, table: &Path, folder: &Path) -> Result<(), DatasetError> {
    let mut problems = Vec::new();
    let known: HashSet<&str> = rows.iter().map(|row| row.image_id.as_str()).collect();
    let unused: HashMap<&str, &UnusedFile> = images
        .unused
        .iter()
        .filter_map(|file| Some((file.path.file_stem()?.to_str()?, file)))
        .collect();
    for row in rows.iter().filter(|row| !images.by_id.contains_key(&row.image_id)) {
        let instead = unused.get(row.image_id.as_str());
        problems.push(DatasetError::MissingImage {
            path: table.into(),
            line: row.line,
            image_id: row.image_id.clone(),
            folder: folder.into(),
            instead: instead.map(|file| file.path.file_name().unwrap_or_default().to_string_lossy().into_owned()),
        });
    }
    let ids: Vec<String> = images
        .by_id
        .keys()
        .filter(|id| !known.contains(id.as_str()))
        .cloned()
        .collect();
    if !ids.is_empty() {
        problems.push(DatasetError::ImagesWithoutRow {
            path: table.into(),
            ids,
        });
    }
    DatasetError::all(problems)
}
