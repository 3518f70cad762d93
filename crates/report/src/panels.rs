use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;

use htl_vocabulary::write_whole;
use sha2::{Digest, Sha256};

use crate::overlay::{Colour, DRAWING_VERSION, overlay};
use crate::{DrawnOutline, Panel, ReportError};

/// An RGB image to draw on.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// `height * width * 3` bytes, row by row, red first.
    pub rgb: &'a [u8],
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Magnification, from 1 to [`MAX_SCALE`](crate::MAX_SCALE).
    pub scale: usize,
}

/// A mask to be outlined on a [`Picture`].
#[derive(Debug, Clone, Copy)]
pub struct Outline<'a> {
    /// What it is, for the legend: `truth`, `dense`.
    pub name: &'a str,
    /// `height * width` bytes; 0 is background.
    pub mask: &'a [u8],
    /// Its colour.
    pub colour: Colour,
}

/// Draws the panels of a page, and keeps them in a folder for the next page, which then draws only what changed.
///
/// A kept panel is named by a hash of everything that it is made of: image, masks, colours, scale, and the version of the
/// drawing. What the folder holds besides panels is left alone.
#[derive(Debug)]
pub struct PanelMaker {
    folder: Option<PathBuf>,
    used: Mutex<BTreeSet<String>>,
}

/// Ending of a kept panel's name.
const ENDING: &str = ".panel.png";

impl PanelMaker {
    /// Keeps nothing.
    pub fn without_cache() -> Self {
        Self {
            folder: None,
            used: Mutex::default(),
        }
    }

    /// Takes panels from a folder, and puts new ones there. The folder is made when it is needed.
    pub fn with_cache(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: Some(folder.into()),
            used: Mutex::default(),
        }
    }

    /// One panel: the picture with the outlines of masks, as [`overlay()`] draws them.
    ///
    /// # Errors
    /// As [`overlay()`], and [`ReportError::Io`] if the panel cannot be kept.
    pub fn panel(&self, title: &str, picture: Picture<'_>, outlines: &[Outline<'_>]) -> Result<Panel, ReportError> {
        let drawn = |outline: &Outline| DrawnOutline {
            name: outline.name.to_owned(),
            colour: outline.colour,
            empty: outline.mask.iter().all(|pixel| *pixel == 0),
        };
        let masks: Vec<(&[u8], Colour)> = outlines.iter().map(|outline| (outline.mask, outline.colour)).collect();
        Ok(Panel {
            title: title.to_owned(),
            png: self.png(picture, &masks)?,
            outlines: outlines.iter().map(drawn).collect(),
        })
    }

    fn png(&self, picture: Picture<'_>, masks: &[(&[u8], Colour)]) -> Result<Vec<u8>, ReportError> {
        let Picture {
            rgb,
            height,
            width,
            scale,
        } = picture;
        let draw = || overlay(rgb, height, width, masks, scale);
        let Some(folder) = &self.folder else {
            return draw();
        };
        let name = name(picture, masks);
        let path = folder.join(&name);
        let png = match std::fs::read(&path) {
            Ok(png) if is_whole(&png) => png,
            _ => {
                let png = draw()?;
                write_whole(&path, &png).map_err(|source| ReportError::Io {
                    path,
                    action: "write",
                    source,
                })?;
                png
            }
        };
        if let Ok(mut used) = self.used.lock() {
            used.insert(name);
        }
        Ok(png)
    }

    /// Deletes kept panels that were not asked for since this was made: those of an earlier state of the run.
    ///
    /// # Errors
    /// [`ReportError::Io`] if a panel cannot be deleted.
    pub fn delete_unused(&self) -> Result<(), ReportError> {
        let (Some(folder), Ok(used)) = (&self.folder, self.used.lock()) else {
            return Ok(());
        };
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_panel(&name) && !used.contains(&name) {
                std::fs::remove_file(entry.path()).map_err(|source| ReportError::Io {
                    path: entry.path(),
                    action: "delete",
                    source,
                })?;
            }
        }
        Ok(())
    }
}

fn is_panel(name: &str) -> bool {
    let stem = name.strip_suffix(ENDING).unwrap_or_default();
    stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a PNG begins and ends as one: what a disk lost is drawn again.
fn is_whole(png: &[u8]) -> bool {
    png.starts_with(b"\x89PNG\r\n\x1a\n") && png.ends_with(b"IEND\xaeB`\x82")
}

fn name(picture: Picture<'_>, masks: &[(&[u8], Colour)]) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    part(&DRAWING_VERSION.to_le_bytes());
    for number in [picture.height, picture.width, picture.scale] {
        part(&(number as u64).to_le_bytes());
    }
    part(picture.rgb);
    for (mask, colour) in masks {
        part(&colour.0);
        part(mask);
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    hex + ENDING
}
