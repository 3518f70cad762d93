//! The files of the new data folder.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::Path;

use htl_vocabulary::{file, write_whole};
use image::{DynamicImage, GrayImage, ImageFormat};
use rayon::prelude::*;

use super::ImportOptions;
use super::facts::Facts;
use super::pairs::{MaskSource, Pair, Pairs};
use crate::decode::Formats;
use crate::mask_file::read_mask_of;
use crate::read::read_rgb_of;
use crate::{COLUMNS, DatasetError, Split, convert_mask, image_size};

/// The folder of licences and attributions as they came.
pub(super) const LICENCES: &str = "licences";

/// What was done to files.
pub(super) struct Written {
    pub notes: Vec<String>,
}

/// Whether a file was kept as it was or made anew.
#[derive(PartialEq, Eq)]
enum Made {
    Kept,
    Anew,
}

/// Writes photographs, masks and notices.
pub(super) fn write_all(pairs: &Pairs, options: &ImportOptions, work: &Path) -> Result<Written, DatasetError> {
    let items: Vec<(&String, &Pair)> = pairs.images.iter().collect();
    let results: Vec<Result<(Made, Option<Made>), DatasetError>> = items
        .par_iter()
        .map(|(id, pair)| write_pair(id, pair, options, work))
        .collect();
    let (mut done, mut problems) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(made) => done.push(made),
            Err(problem) => problems.push(problem),
        }
    }
    DatasetError::all(problems)?;
    for found in &pairs.notices {
        let bytes = fs::read(&found.path).map_err(DatasetError::read(&found.path))?;
        let name = found.relative.replace('/', "-");
        write_whole(&work.join(LICENCES).join(name), bytes).map_err(DatasetError::NotWritten)?;
    }
    let images = done.iter().filter(|(image, _)| *image == Made::Anew).count();
    let masks = done.iter().filter(|(_, mask)| *mask == Some(Made::Anew)).count();
    let mut notes = Vec::new();
    if images > 0 {
        notes.push(format!("{images} photographs of other formats were made PNG"));
    }
    if masks > 0 {
        notes.push(format!(
            "{masks} masks were made of other formats, values or annotations"
        ));
    }
    Ok(Written { notes })
}

fn write_pair(
    id: &str,
    pair: &Pair,
    options: &ImportOptions,
    work: &Path,
) -> Result<(Made, Option<Made>), DatasetError> {
    let bytes = fs::read(&pair.image).map_err(DatasetError::read(&pair.image))?;
    let images = work.join(file::IMAGES_FOLDER);
    let (target, made) = match image::guess_format(&bytes) {
        Ok(ImageFormat::Jpeg) => (images.join(format!("{id}.jpg")), Made::Kept),
        Ok(ImageFormat::Png) => (images.join(format!("{id}.png")), Made::Kept),
        _ => (images.join(format!("{id}.png")), Made::Anew),
    };
    let bytes = match made {
        Made::Kept => bytes,
        Made::Anew => png(read_rgb_of(&pair.image, Formats::Convertible)?, &target)?,
    };
    write_whole(&target, bytes).map_err(DatasetError::NotWritten)?;
    let size = image_size(&target)?;
    let mask = match &pair.mask {
        None => None,
        Some(source) => Some(write_mask(id, source, (&pair.image, size), options, work)?),
    };
    Ok((made, mask))
}

fn write_mask(
    id: &str,
    source: &MaskSource,
    (image, size): (&Path, (u32, u32)),
    options: &ImportOptions,
    work: &Path,
) -> Result<Made, DatasetError> {
    let target = work.join(file::MASKS_FOLDER).join(format!("{id}.png"));
    let (path, mask) = match source {
        MaskSource::File(path) => {
            let mask = match &options.inside {
                None => read_mask_of(path, Formats::Convertible)?,
                Some(inside) => convert_mask(path, inside)?.0,
            };
            (path.as_path(), mask)
        }
        MaskSource::Annotated(annotated) => {
            let wrong = |reason: String| DatasetError::Coco {
                path: annotated.file_name.clone().into(),
                reason,
            };
            if annotated.size() != size {
                let (width, height) = annotated.size();
                return Err(wrong(format!(
                    "it is annotated as {width} x {height}, but {} has {} x {} pixels",
                    image.display(),
                    size.0,
                    size.1
                )));
            }
            let mask = annotated.mask(options.boxes).map_err(wrong)?;
            let pixels = mask.pixels().iter().map(|pixel| 255 * pixel).collect();
            let grey = GrayImage::from_raw(size.0, size.1, pixels).unwrap_or_default();
            (image, grey)
        }
    };
    if mask.dimensions() != size {
        return Err(DatasetError::MaskSize {
            mask: path.into(),
            mask_size: mask.dimensions(),
            image: image.into(),
            image_size: size,
        });
    }
    let stored = match source {
        MaskSource::File(path) if options.inside.is_none() => {
            let bytes = fs::read(path).map_err(DatasetError::read(path))?;
            (image::guess_format(&bytes).ok() == Some(ImageFormat::Png)).then_some(bytes)
        }
        _ => None,
    };
    let made = if stored.is_some() { Made::Kept } else { Made::Anew };
    let bytes = match stored {
        Some(bytes) => bytes,
        None => png(mask, &target)?,
    };
    write_whole(&target, bytes).map_err(DatasetError::NotWritten)?;
    Ok(made)
}

/// A picture as PNG, to become `target`.
fn png(image: impl Into<DynamicImage>, target: &Path) -> Result<Vec<u8>, DatasetError> {
    let mut png = Cursor::new(Vec::new());
    let written = image.into().write_to(&mut png, ImageFormat::Png);
    written.map_err(|error| DatasetError::Write {
        path: target.into(),
        source: std::io::Error::other(error.to_string()),
    })?;
    Ok(png.into_inner())
}

/// Writes `metadata.csv`.
pub(super) fn write_table(
    pairs: &Pairs,
    facts: &Facts,
    splits: &BTreeMap<String, Split>,
    work: &Path,
) -> Result<(), DatasetError> {
    let further = facts
        .columns
        .iter()
        .map(String::as_str)
        .filter(|column| !COLUMNS.contains(column));
    let columns: Vec<&str> = COLUMNS.into_iter().chain(further).collect();
    let mut table = csv::Writer::from_writer(Vec::new());
    let path = work.join(file::METADATA);
    let not_written = |error: csv::Error| DatasetError::Write {
        path: path.clone(),
        source: std::io::Error::other(error.to_string()),
    };
    table.write_record(&columns).map_err(not_written)?;
    for id in pairs.images.keys() {
        let split = splits.get(id).map(|split| split.name());
        let cell = |column: &&str| match *column {
            "image_id" => id.as_str(),
            "split" => split.unwrap_or_default(),
            other => facts
                .rows
                .get(id)
                .and_then(|row| row.get(other))
                .map_or("", String::as_str),
        };
        table.write_record(columns.iter().map(cell)).map_err(not_written)?;
    }
    let bytes = table
        .into_inner()
        .map_err(|error| not_written(error.into_error().into()))?;
    write_whole(&path, bytes).map_err(DatasetError::NotWritten)
}
