use std::path::PathBuf;

/// Everything that can be wrong with data; messages say where and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// A file or folder could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written; the reason names it.
    #[error(transparent)]
    NotWritten(std::io::Error),
    /// Pixels or masks that nothing can be measured of.
    #[error(transparent)]
    Metric(#[from] htl_metrics::MetricError),
    /// The folder lacks `images/`.
    #[error(
        "{} is not a data folder: it has no folder `images`; expected images/<id>.jpg|png, masks/<id>.png (optional) \
         and metadata.csv (optional)",
        root.display()
    )]
    NotADataFolder {
        /// The folder that was opened.
        root: PathBuf,
    },
    /// `images/` holds no image.
    #[error("{} holds no .jpg, .jpeg or .png file", path.display())]
    NoImages {
        /// The `images` folder.
        path: PathBuf,
    },
    /// A table cannot be used.
    #[error(transparent)]
    Table(#[from] htl_vocabulary::TableError),
    /// A list names images that are not there.
    #[error(
        "{}: {} of {listed} ids are not in {}: {}; correct them or remove their rows",
        path.display(), unknown.len(), root.display(), list(unknown)
    )]
    UnknownIds {
        /// The list.
        path: PathBuf,
        /// How many ids it has.
        listed: usize,
        /// Those that are not there.
        unknown: Vec<String>,
        /// The data folder.
        root: PathBuf,
    },
    /// One of the three splits has no sample.
    #[error("{}: split `{split}` is empty; {advice}", path.display())]
    EmptySplit {
        /// The table, or the folder.
        path: PathBuf,
        /// The split's name.
        split: String,
        /// What to do.
        advice: String,
    },
    /// A row has no image.
    #[error(
        "{} line {line}: no image for `{image_id}`: {} has none of {image_id}.jpg, .jpeg, .png{}; add it or remove the row",
        path.display(), folder.display(), instead.as_ref().map(|found| format!(" (but {found}, which is not read)")).unwrap_or_default()
    )]
    MissingImage {
        /// The table.
        path: PathBuf,
        /// Line in the file.
        line: u64,
        /// The id.
        image_id: String,
        /// Where images are looked for.
        folder: PathBuf,
        /// A file of that name that is there but cannot be used.
        instead: Option<String>,
    },
    /// Images have no row.
    #[error("{} image(s) have no row in {}: {}; add rows or remove the images", ids.len(), path.display(), list(ids))]
    ImagesWithoutRow {
        /// The table.
        path: PathBuf,
        /// Ids without a row, sorted.
        ids: Vec<String>,
    },
    /// Two files claim the same id.
    #[error("{} and {} are both for `{image_id}`; remove one", first.display(), second.display())]
    AmbiguousFile {
        /// The id.
        image_id: String,
        /// One file.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// `splits.csv` does not fit the images.
    #[error("{} does not fit the images: {reason}; correct it, or delete it to have the split made again", path.display())]
    SplitsDoNotFit {
        /// The `splits.csv`.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The split that was made cannot be saved.
    #[error(
        "a split was made for {} but cannot be kept there: {source}; give metadata.csv a column `split`, or copy the data to \
         a folder that may be written (a program can pass another place: `OpenOptions::splits_file`)",
        root.display()
    )]
    SplitsNotWritable {
        /// The data folder.
        root: PathBuf,
        /// What the system said, with the file it could not write.
        source: std::io::Error,
    },
    /// An image or mask cannot be decoded.
    #[error("cannot decode {}: {reason}; replace the file or remove its row", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// A mask is not a black-and-white picture.
    #[error("{} is not a mask: {reason}", path.display())]
    NotAMask {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Mask and image differ in size.
    #[error(
        "mask {} is {}x{} but its image {} is {}x{}; masks must have their image's width and height{}",
        mask.display(), mask_size.0, mask_size.1, image.display(), image_size.0, image_size.1, turned(*mask_size, *image_size)
    )]
    MaskSize {
        /// The mask.
        mask: PathBuf,
        /// Its width and height.
        mask_size: (u32, u32),
        /// The image.
        image: PathBuf,
        /// Its width and height.
        image_size: (u32, u32),
    },
    /// A mask is needed and not there.
    #[error(
        "`{image_id}` has no mask but masks are needed here; add {} (8-bit grey, 0 outside and 255 inside)",
        expected.display()
    )]
    MissingMask {
        /// The id.
        image_id: String,
        /// Where it is expected.
        expected: PathBuf,
    },
    /// A parameter is out of range.
    #[error("{name} must be {expected}, found {found}")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// The range.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// Nothing can be planted as asked.
    #[error("cannot plant: {reason}")]
    Plant {
        /// Why, and what to do.
        reason: String,
    },
    /// Files do not match their manifest.
    #[error("{} does not match its manifest: {problems}", root.display())]
    Manifest {
        /// The folder that was checked.
        root: PathBuf,
        /// Missing, changed and extra files, named.
        problems: String,
    },
    /// JSON of the wrong form.
    #[error("{} is not a manifest: {reason}", path.display())]
    ManifestFormat {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An archive that is not unpacked.
    #[error("cannot unpack {}: {reason}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Annotations that are not COCO's.
    #[error("{} is not COCO JSON: {reason}", path.display())]
    Coco {
        /// The document.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Data that do not become a data folder.
    #[error("nothing was imported: {reason}")]
    Import {
        /// Why, and what to do.
        reason: String,
    },
    /// Several of these.
    #[error("{}", htl_vocabulary::one_a_line(problems))]
    Several {
        /// All of them.
        problems: Vec<DatasetError>,
    },
    /// A download failed.
    #[error("cannot fetch {url}: {reason}{}", if *resumable { "; the part received so far is kept, run again to resume" } else { "" })]
    Fetch {
        /// The address.
        url: String,
        /// Why.
        reason: String,
        /// Whether a partial file is kept.
        resumable: bool,
    },
    /// A download has the wrong content.
    #[error(
        "{url} has sha256 {found} but {expected} was expected; {}",
        if *kept {
            "the file was here before and is left alone: move it away to fetch it again"
        } else {
            "the file was not kept: the publisher changed it or the transfer was altered"
        }
    )]
    Checksum {
        /// The address.
        url: String,
        /// What was expected.
        expected: String,
        /// What came.
        found: String,
        /// Whether it is a file that was here before.
        kept: bool,
    },
}

impl DatasetError {
    /// Nothing of no problem, the problem itself of one, else all of them.
    pub(crate) fn all(mut problems: Vec<Self>) -> Result<(), Self> {
        match problems.len() {
            0 => Ok(()),
            1 => Err(problems.remove(0)),
            _ => Err(Self::Several { problems }),
        }
    }

    pub(crate) fn read(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Read {
            path: path.into(),
            source,
        }
    }

    pub(crate) fn write(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Write {
            path: path.into(),
            source,
        }
    }
}

/// At most five names, then how many more.
pub(crate) fn list(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(5)
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    match names.len() {
        0 => "none".to_owned(),
        1..=5 => shown,
        more => format!("{shown} and {} more", more - 5),
    }
}

/// A word on sizes that differ by a quarter turn.
fn turned(mask: (u32, u32), image: (u32, u32)) -> &'static str {
    match mask == (image.1, image.0) {
        true => " (it lies on its side: turn it as the photograph is shown, with its EXIF orientation if it has one)",
        false => "",
    }
}
