//! Data as published, or as people have them, made into a data folder.

mod archive;
mod coco;
mod facts;
mod origin;
mod pairs;
mod polygon;
mod role;
mod sources;
mod splits;
mod written;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use htl_vocabulary::{ColumnName, file, lock_folder, rename_folder, write_whole};
use serde::Serialize;

pub use self::coco::Boxes;
use self::facts::facts;
pub use self::origin::Origin;
use self::pairs::Pairs;
use self::sources::Sources;
use self::splits::assigned;
use self::written::{write_all, write_table};
use crate::{DataFolder, DatasetError, Inside, MadeSplit, Manifest, OpenOptions, Split};

/// How data are imported.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Tables of images besides those that are found.
    pub tables: Vec<PathBuf>,
    /// Names that tables have for columns of ours.
    pub columns: Vec<ColumnName>,
    /// Which stored values of masks are inside, where they are not black and white.
    pub inside: Option<Inside>,
    /// What becomes of boxes without outlines.
    pub boxes: Boxes,
    /// Seed of a split that has to be made.
    pub split_seed: u64,
    /// The licence, where this program does not know it.
    pub licence: Option<String>,
    /// Whom to credit, where this program does not know it.
    pub attribution: Option<String>,
}

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Photographs.
    pub images: usize,
    /// Those with a mask.
    pub masks: usize,
    /// Train, val and test.
    pub splits: [usize; 3],
    /// What else there is to say: what was made, converted, and not read. A line each.
    pub notes: Vec<String>,
}

/// A folder that an unfinished import works in: it may be deleted.
const MARK: &str = "this folder is of an unfinished import of htl and may be deleted\n";
const MARK_FILE: &str = ".htl-import";

/// Makes the data folder `out` of `given` folders, archives (ZIP, TAR, gzipped TAR) and files, whose forms are those of `origin`.
///
/// Photographs in PNG and JPEG are kept byte by byte, others become PNG. Masks are judged as [`read_mask`](crate::read_mask) does
/// and must have their photograph's size; kept if they are PNG, else made PNG. Tables of images become `metadata.csv`. The split is
/// that of the tables, else that of the names of folders and archives; where it lacks `val` or `test`, images of `train` are taken
/// for it, and where there is none it is drawn, lesions and patients kept together. Licence and attribution files are kept in
/// `licences/`, and `manifest.json` lists every file.
///
/// All or nothing: `out` is there when everything has been written and can be opened.
///
/// # Errors
/// `out` that is there already; archives with paths that leave their folder, links, or more bytes than photographs have
/// ([`DatasetError::Archive`]); two files of one image that differ; no photographs; masks and annotations that are none; tables that
/// contradict each other. All problems of the files are told together.
pub fn import(
    origin: Origin,
    given: &[PathBuf],
    out: &Path,
    options: &ImportOptions,
) -> Result<Imported, DatasetError> {
    let refused = |reason: String| DatasetError::Import { reason };
    if out.exists() && !out.read_dir().is_ok_and(|mut inside| inside.next().is_none()) {
        return Err(refused(format!(
            "{} is there already: choose another folder",
            out.display()
        )));
    }
    let name = out.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| refused(format!("{} is no name for a folder", out.display())))?;
    let work = out.with_file_name(format!("{name}.importing"));
    let held = take(&work)?;
    let result = import_into(origin, given, &work, options);
    if result.is_ok() {
        let remove = |path: PathBuf| fs::remove_file(&path).map_err(DatasetError::write(&path));
        remove(work.join(MARK_FILE))?;
        fs::remove_dir(out).ok();
        rename_folder(&work, out).map_err(DatasetError::write(out))?;
    } else {
        fs::remove_dir_all(&work).ok();
    }
    drop(held);
    result
}

/// Takes the folder to work in; what a killed import left there goes.
fn take(work: &Path) -> Result<Option<fs::File>, DatasetError> {
    let mark = work.join(MARK_FILE);
    if work.exists() && !mark.is_file() {
        return Err(DatasetError::Import {
            reason: format!("{} is in the way: move it, or choose another --out", work.display()),
        });
    }
    fs::create_dir_all(work).map_err(DatasetError::write(work))?;
    let Some(held) = lock_folder(work, Duration::ZERO).map_err(DatasetError::write(work))? else {
        return Err(DatasetError::Import {
            reason: format!("another import is writing {}", work.display()),
        });
    };
    for entry in fs::read_dir(work).map_err(DatasetError::read(work))? {
        let path = entry.map_err(DatasetError::read(work))?.path();
        let gone = match path.is_dir() && !path.is_symlink() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        gone.map_err(DatasetError::write(&path))?;
    }
    write_whole(&mark, MARK).map_err(DatasetError::NotWritten)?;
    Ok(Some(held))
}

fn import_into(
    origin: Origin,
    given: &[PathBuf],
    work: &Path,
    options: &ImportOptions,
) -> Result<Imported, DatasetError> {
    let unpacked = work.join("unpacked");
    let sources = Sources::gather(given, &unpacked)?;
    let pairs = Pairs::of(origin, &sources)?;
    let ids: BTreeSet<&str> = pairs.images.keys().map(String::as_str).collect();
    let (facts, unread) = facts(&pairs.tables, &options.tables, origin, &options.columns, &ids)?;
    let (splits, split_note) = assigned(&pairs, &facts, options.split_seed)?;
    let written = write_all(&pairs, options, work)?;
    write_table(&pairs, &facts, &splits, work)?;
    let mut notes = vec![split_note];
    notes.extend(pairs.notes);
    notes.extend(unread);
    notes.extend(written.notes);
    if !sources.links.is_empty() {
        notes.push(format!(
            "{} links not followed: {}",
            sources.links.len(),
            crate::error::list(&sources.links)
        ));
    }
    if !facts.of_no_image.is_empty() {
        let ids: Vec<String> = facts.of_no_image.into_iter().collect();
        notes.push(format!(
            "{} rows of tables are of no image: {}",
            ids.len(),
            crate::error::list(&ids)
        ));
    }
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).map_err(DatasetError::write(&unpacked))?;
    }
    manifest(origin, &sources.archives, options, work)?.write(work)?;
    let looked_at = OpenOptions {
        made_split: MadeSplit::Forgotten,
        ..OpenOptions::default()
    };
    let folder = DataFolder::open_with(work, &looked_at)?;
    Ok(Imported {
        images: folder.samples().len(),
        masks: folder.samples().iter().filter(|sample| sample.mask.is_some()).count(),
        splits: Split::ALL.map(|split| folder.split(split).len()),
        notes,
    })
}

fn manifest(
    origin: Origin,
    archives: &[(String, String)],
    options: &ImportOptions,
    work: &Path,
) -> Result<Manifest, DatasetError> {
    let published = origin.published();
    let known = |given: &Option<String>, of: Option<&'static str>| {
        let kept = match work.join(written::LICENCES).is_dir() {
            true => "see licences/",
            false => "not stated",
        };
        given.clone().unwrap_or_else(|| of.unwrap_or(kept).to_owned())
    };
    let archives: Vec<String> = archives
        .iter()
        .map(|(name, sha256)| format!("{name} (sha256 {sha256})"))
        .collect();
    let from = match archives.is_empty() {
        true => "folders".to_owned(),
        false => archives.join(", "),
    };
    let page = published.map_or(String::new(), |entry| format!("{}; ", entry.page));
    Ok(Manifest {
        name: origin.name().to_owned(),
        description: published.map_or("imported data", |entry| entry.description).to_owned(),
        licence: known(&options.licence, published.map(|entry| entry.licence)),
        attribution: known(&options.attribution, published.map(|entry| entry.citation)),
        source: format!("{page}imported by htl {} from {from}", env!("CARGO_PKG_VERSION")),
        files: Manifest::list_files(work)?
            .into_iter()
            .filter(|listed| listed.path != file::MANIFEST)
            .collect(),
    })
}
