use std::fs;

use rayon::prelude::*;

use crate::likeness::{Fingerprint, alike};
use crate::{DataFolder, DatasetError, Likeness, RgbImage, Sample, read_mask_for, read_rgb};

/// What looking at every image and mask of a folder brought.
#[derive(Debug)]
pub struct Inspection {
    /// Everything that is wrong, in order of ids. Empty means all is well.
    pub problems: Vec<DatasetError>,
    /// Photographs of different splits that are alike, in order of ids.
    pub alike: Vec<AlikeImages>,
}

/// Two photographs of different splits that are one, or nearly so.
#[derive(Debug, Clone, PartialEq)]
pub struct AlikeImages {
    /// Ids.
    pub image_ids: [String; 2],
    /// In what they are the same.
    pub likeness: Likeness,
}

impl DataFolder {
    /// Decodes every image and mask, says everything that is wrong, and which photographs occur in more than one split. Nothing
    /// is written.
    pub fn inspect(&self) -> Inspection {
        let looked_at = |sample: &Sample| -> (Option<DatasetError>, Option<Fingerprint>) {
            let read = fs::read(&sample.image).map_err(DatasetError::read(&sample.image));
            match read.and_then(|bytes| Ok((bytes, read_rgb(&sample.image)?))) {
                Ok((bytes, image)) => (mask_problem(sample, &image), Some(Fingerprint::of(&bytes, &image))),
                Err(error) => (Some(error), None),
            }
        };
        let (problems, fingerprints): (Vec<_>, Vec<_>) = self.samples().par_iter().map(looked_at).unzip();
        let split = |place: usize| self.samples().get(place).map(|sample| sample.split);
        let id = |place: usize| {
            self.samples()
                .get(place)
                .map_or("", |sample| sample.image_id.as_str())
                .to_owned()
        };
        let pairs = alike(&fingerprints, |first, second| split(first) != split(second));
        let pairs = pairs.into_iter().map(|(first, second, likeness)| AlikeImages {
            image_ids: [id(first), id(second)],
            likeness,
        });
        Inspection {
            problems: problems.into_iter().flatten().collect(),
            alike: pairs.collect(),
        }
    }

    /// Decodes every image and mask and returns everything that is wrong, in order of ids. Empty means all is well.
    pub fn problems(&self) -> Vec<DatasetError> {
        let looked_at = |sample: &Sample| match read_rgb(&sample.image) {
            Ok(image) => mask_problem(sample, &image),
            Err(error) => Some(error),
        };
        self.samples().par_iter().filter_map(looked_at).collect()
    }

    /// Ids that spreadsheet programs take for formulas: they begin with `=`, `+`, `-` or `@`.
    pub fn formula_like_ids(&self) -> Vec<&str> {
        let ids = self.samples().iter().map(|sample| sample.image_id.as_str());
        ids.filter(|id| id.starts_with(['=', '+', '-', '@'])).collect()
    }
}

fn mask_problem(sample: &Sample, image: &RgbImage) -> Option<DatasetError> {
    read_mask_for(sample.mask.as_ref()?, &sample.image, image.dimensions()).err()
}
