//! Which files are photographs, which are their masks, and what is left.

use std::collections::BTreeMap;
use std::path::PathBuf;

use htl_vocabulary::composed;

use super::Origin;
use super::coco::{CocoImage, read_coco};
use super::role::{Role, role, split_by_name};
use super::sources::{Found, Sources};
use crate::error::list;
use crate::{DatasetError, Split, sha256_file};

/// A photograph and what is known of it from names and annotations.
#[derive(Debug)]
pub(super) struct Pair {
    pub image: PathBuf,
    pub mask: Option<MaskSource>,
    /// As names of folders and archives tell.
    pub split: Option<Split>,
}

/// Where a mask comes from.
#[derive(Debug)]
pub(super) enum MaskSource {
    File(PathBuf),
    Annotated(CocoImage),
}

/// Everything that was given, in its roles.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// By id.
    pub images: BTreeMap<String, Pair>,
    pub tables: Vec<PathBuf>,
    /// Licences, attributions, read-mes.
    pub notices: Vec<Found>,
    /// What to say of the rest.
    pub notes: Vec<String>,
}

impl Pairs {
    /// Sorts files by their roles.
    pub(super) fn of(origin: Origin, sources: &Sources) -> Result<Self, DatasetError> {
        let mut pairs = Self::default();
        let (mut images, mut masks): (BTreeMap<String, &Found>, BTreeMap<String, &Found>) = Default::default();
        let (mut documents, mut others, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for found in &sources.files {
            let of_id = match role(&found.relative) {
                Role::Image(id) => Some((&mut images, id)),
                // With annotations, pictures beside the photographs are not asked for.
                Role::Mask(id) if origin != Origin::Coco => Some((&mut masks, id)),
                Role::Annotations if origin == Origin::Coco => {
                    documents.push(found);
                    None
                }
                Role::Table => {
                    pairs.tables.push(found.path.clone());
                    None
                }
                Role::Notice => {
                    pairs.notices.push(found.clone());
                    None
                }
                Role::Mask(_) | Role::Annotations | Role::Other => {
                    others.push(found.relative.clone());
                    None
                }
            };
            if let Some((files, id)) = of_id {
                put(files, id, found, &mut problems)?;
            }
        }
        DatasetError::all(problems)?;
        if images.is_empty() {
            return Err(DatasetError::Import {
                reason: format!(
                    "no photographs were found among {} files; expected what `htl data list` names, or folders and archives of \
                     pictures",
                    sources.files.len()
                ),
            });
        }
        let mut annotated = annotated(origin, &documents, &images)?;
        for (id, found) in images {
            let drawn = masks.remove(&id).map(|mask| MaskSource::File(mask.path.clone()));
            let (mask, split) = match annotated.remove(&id) {
                Some((image, split)) => (Some(MaskSource::Annotated(image)), split),
                None => (drawn, None),
            };
            let pair = Pair {
                image: found.path.clone(),
                mask,
                split: split.or_else(|| split_by_name(&found.relative)),
            };
            pairs.images.insert(id, pair);
        }
        let mut note = |what: &str, names: Vec<String>| {
            if !names.is_empty() {
                pairs.notes.push(format!("{} {what}: {}", names.len(), list(&names)));
            }
        };
        note(
            "masks of no image",
            masks.into_values().map(|found| found.relative.clone()).collect(),
        );
        note("files not read", others);
        Ok(pairs)
    }
}

/// A file for an id. The same bytes twice are one file; different ones are a problem.
fn put<'a>(
    files: &mut BTreeMap<String, &'a Found>,
    id: String,
    found: &'a Found,
    problems: &mut Vec<DatasetError>,
) -> Result<(), DatasetError> {
    let id = composed(&id).into_owned();
    if id.is_empty() || id.contains(char::is_control) {
        problems.push(DatasetError::Import {
            reason: format!("`{}` is no name for an image: rename it", found.relative.escape_debug()),
        });
    } else if let Some(first) = files.get(&id) {
        if sha256_file(&first.path)? != sha256_file(&found.path)? {
            problems.push(DatasetError::AmbiguousFile {
                image_id: id,
                first: first.relative.clone().into(),
                second: found.relative.clone().into(),
            });
        }
    } else {
        files.insert(id, found);
    }
    Ok(())
}

/// What COCO documents say of photographs, by id.
fn annotated(
    origin: Origin,
    documents: &[&Found],
    images: &BTreeMap<String, &Found>,
) -> Result<BTreeMap<String, (CocoImage, Option<Split>)>, DatasetError> {
    let mut by_id = BTreeMap::new();
    if origin != Origin::Coco {
        return Ok(by_id);
    }
    if documents.is_empty() {
        return Err(DatasetError::Import {
            reason: "no JSON file with annotations was given".to_owned(),
        });
    }
    let (mut missing, mut problems) = (Vec::new(), Vec::new());
    for document in documents {
        // `instances_val.json` tells the split of its images as a folder would.
        let split = split_by_name(&format!("{}/", document.relative.trim_end_matches(".json")));
        for image in read_coco(&document.path)? {
            let name = image.file_name.rsplit(['/', '\\']).next().unwrap_or_default();
            let id = composed(name.rsplit_once('.').map_or(name, |(stem, _)| stem)).into_owned();
            if !images.contains_key(&id) {
                missing.push(image.file_name.clone());
            } else if by_id.insert(id.clone(), (image, split)).is_some() {
                problems.push(DatasetError::Coco {
                    path: document.path.clone(),
                    reason: format!("`{id}` is listed twice, here or in another document"),
                });
            }
        }
    }
    DatasetError::all(problems)?;
    if !missing.is_empty() {
        return Err(DatasetError::Import {
            reason: format!("{} annotated images are not there: {}", missing.len(), list(&missing)),
        });
    }
    Ok(by_id)
}
