use crate::overlay::{Colour, overlay};
use crate::{Panel, ReportError};

/// Masks of one image, where known: `height * width` bytes each, 0 is background.
#[derive(Debug, Clone, Copy, Default)]
pub struct MaskSet<'a> {
    /// What an annotator drew.
    pub truth: Option<&'a [u8]>,
    /// What the dense population says.
    pub dense: Option<&'a [u8]>,
    /// What the pruned population says.
    pub sparse: Option<&'a [u8]>,
}

/// The pictures of a gallery item: the image alone, then one with each known outline. Dense and sparse outlines lie over
/// the truth where that is known.
///
/// # Shapes
/// As [`overlay`](crate::overlay()).
///
/// # Errors
/// As [`overlay`](crate::overlay()).
pub fn mask_panels(
    rgb: &[u8],
    height: usize,
    width: usize,
    masks: MaskSet<'_>,
    scale: usize,
) -> Result<Vec<Panel>, ReportError> {
    let panel = |title: &str, outlines: &[(&[u8], Colour)]| {
        Ok::<_, ReportError>(Panel {
            title: title.to_owned(),
            png: overlay(rgb, height, width, outlines, scale)?,
        })
    };
    let truth = masks.truth.map(|mask| (mask, Colour::TRUTH));
    let mut panels = vec![panel("Image", &[])?];
    if let Some(truth) = truth {
        panels.push(panel("Truth", &[truth])?);
    }
    for (title, mask, colour) in [
        ("Dense", masks.dense, Colour::DENSE),
        ("Sparse", masks.sparse, Colour::SPARSE),
    ] {
        if let Some(mask) = mask {
            let outlines: Vec<_> = truth.into_iter().chain([(mask, colour)]).collect();
            panels.push(panel(title, &outlines)?);
        }
    }
    Ok(panels)
}
