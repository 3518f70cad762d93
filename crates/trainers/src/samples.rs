//! Which samples a training uses, and what is known of them.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use htl_datasets::{DataFolder, ImageSet, MaskUse, PixelBox, Sample, Split};

use crate::TrainError;

/// The training images of a run.
pub(crate) struct TrainingSamples {
    /// Images with the labels that the setting uses.
    pub labelled: Arc<ImageSet>,
    /// Images without, where the setting uses such.
    pub unlabelled: Option<Arc<ImageSet>>,
}

/// The label of a training sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label {
    /// Its mask, or a box around it.
    Mask,
    /// Its diagnosis.
    Diagnosis,
    /// None at all.
    None,
}

impl Label {
    /// Returns whether a sample has it.
    pub fn is_known(self, sample: &Sample) -> bool {
        match self {
            Self::Mask => sample.mask.is_some(),
            Self::Diagnosis => sample.dx.is_some(),
            Self::None => true,
        }
    }

    /// Describes a sample that has it.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Mask => "with a mask",
            Self::Diagnosis => "with a diagnosis (column dx)",
            Self::None => "at all",
        }
    }

    /// How masks are read.
    pub fn mask_use(self) -> MaskUse {
        match self {
            Self::Mask => MaskUse::Required,
            Self::Diagnosis | Self::None => MaskUse::Ignore,
        }
    }
}

/// Treatment of training samples that are not listed as labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unlisted {
    /// Not used.
    LeftOut,
    /// Used without their labels.
    Unlabelled,
}

/// Reads the training images at this size; `list` names the file of the ids that may be used with their labels.
pub(crate) fn training_samples(
    data: &DataFolder,
    list: Option<&Path>,
    size: usize,
    label: Label,
    unlisted: Unlisted,
) -> Result<TrainingSamples, TrainError> {
    let none = |what| TrainError::NothingToTrainOn {
        data: data.root().to_owned(),
        what,
    };
    let train = data.split(Split::Train);
    let chosen = list.map(|path| data.listed(path)).transpose()?;
    if let (Some(samples), Some(path)) = (&chosen, list)
        && let Some(other) = samples.iter().find(|sample| sample.split != Split::Train)
    {
        return Err(TrainError::UnknownId {
            path: path.to_owned(),
            image_id: other.image_id.clone(),
            data: data.root().to_owned(),
        });
    }
    let chosen: Option<BTreeSet<&str>> =
        chosen.map(|samples| samples.into_iter().map(|sample| sample.image_id.as_str()).collect());
    let listed = |sample: &&Sample| chosen.as_ref().is_none_or(|ids| ids.contains(sample.image_id.as_str()));
    let what = label.in_words();
    if let Some(path) = list
        && let Some(bare) = train.iter().find(|s| listed(s) && !label.is_known(s))
    {
        return Err(TrainError::NoLabel {
            path: path.to_owned(),
            image_id: bare.image_id.clone(),
            what,
            data: data.root().to_owned(),
        });
    }
    let labelled: Vec<&Sample> = train
        .iter()
        .copied()
        .filter(listed)
        .filter(|s| label.is_known(s))
        .collect();
    if labelled.is_empty() {
        return Err(none(what));
    }
    if list.is_none() && labelled.len() < train.len() {
        tracing::warn!(
            "training uses the {} of {} training images {what}",
            labelled.len(),
            train.len()
        );
    }
    let unlabelled = match unlisted {
        Unlisted::LeftOut => None,
        Unlisted::Unlabelled => {
            let rest: Vec<&Sample> = train.iter().copied().filter(|s| !listed(s)).collect();
            if rest.is_empty() {
                return Err(none("beyond the labelled ones"));
            }
            Some(Arc::new(ImageSet::load(&rest, size, MaskUse::Ignore)?))
        }
    };
    Ok(TrainingSamples {
        labelled: Arc::new(ImageSet::load(&labelled, size, label.mask_use())?),
        unlabelled,
    })
}

/// The diagnoses of the training split, sorted: the classes of a classifier.
pub(crate) fn classes(data: &DataFolder) -> Vec<String> {
    let all: BTreeSet<&str> = data
        .split(Split::Train)
        .iter()
        .filter_map(|s| s.dx.as_deref())
        .collect();
    all.into_iter().map(str::to_owned).collect()
}

/// Class number per image of `images`.
pub(crate) fn labels(data: &DataFolder, images: &ImageSet, classes: &[String]) -> Vec<u32> {
    let class_of = |id: &&str| {
        let dx = data.get(id).and_then(|s| s.dx.as_deref());
        classes.iter().position(|c| Some(c.as_str()) == dx).unwrap_or(0) as u32
    };
    images.ids().iter().map(class_of).collect()
}

/// The truth masks at network size, one per image.
pub(crate) fn mask_targets(images: &ImageSet) -> Vec<Vec<f32>> {
    (0..images.len()).map(|i| images.mask(i).unwrap_or_default()).collect()
}

/// The tight box of each image's mask, in pixels of the network's size; `None` where the mask shows no lesion.
///
/// A lesion that vanishes at that size keeps the box of its stored mask, grown to whole pixels.
///
/// # Errors
/// From reading such a mask again.
pub(crate) fn boxes(images: &ImageSet) -> Result<Vec<Option<PixelBox>>, TrainError> {
    let size = images.size();
    (0..images.len())
        .map(|i| match images.mask(i).and_then(|mask| PixelBox::tight(&mask, size)) {
            None => stored_box(images, i),
            found => Ok(found),
        })
        .collect()
}

fn stored_box(images: &ImageSet, image: usize) -> Result<Option<PixelBox>, TrainError> {
    let Some(mask) = images.stored_mask(image)? else {
        return Ok(None);
    };
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let lesion = mask.as_raw().iter().map(|pixel| *pixel > 0);
    let size = images.size();
    let scaled = |stored: PixelBox| PixelBox {
        top: stored.top * size / height,
        left: stored.left * size / width,
        bottom: (stored.bottom * size).div_ceil(height),
        right: (stored.right * size).div_ceil(width),
    };
    Ok(PixelBox::around(lesion, width).map(scaled))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lesion of one pixel in a hundred vanishes at network size and has a box all the same; where there is no lesion there
    /// is no box.
    #[test]
    fn small_lesions_have_boxes_and_none_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let lesions: [(u32, u32, u32); 3] = [(40, 60, 20), (57, 90, 1), (0, 0, 0)];
        let mut table = String::from("image_id,split,age_approx,sex,anatom_site,dx\n");
        for kind in ["images", "masks"] {
            std::fs::create_dir(root.join(kind)).unwrap();
        }
        for (i, (left, top, side)) in lesions.into_iter().enumerate() {
            let inside = |x: u32, y: u32| (left..left + side).contains(&x) && (top..top + side).contains(&y);
            let path = |kind: &str| root.join(format!("{kind}/i{i}.png"));
            image::RgbImage::new(100, 200).save(path("images")).unwrap();
            let mask = image::GrayImage::from_fn(100, 200, |x, y| image::Luma([if inside(x, y) { 255 } else { 0 }]));
            mask.save(path("masks")).unwrap();
            table.push_str(&format!("i{i},{},,,,\n", ["train", "val", "test"][i]));
        }
        std::fs::write(root.join("metadata.csv"), table).unwrap();
        let data = DataFolder::open(root).unwrap();
        let samples: Vec<&Sample> = Split::ALL.into_iter().flat_map(|split| data.split(split)).collect();
        let images = ImageSet::load(&samples, 16, MaskUse::Required).unwrap();
        assert!(images.mask_bytes(1).unwrap().iter().all(|pixel| *pixel == 0));
        let bounds = |top, left, bottom, right| {
            Some(PixelBox {
                top,
                left,
                bottom,
                right,
            })
        };
        let found = boxes(&images).unwrap();
        // 57 * 16 / 100 = 9.12 and 90 * 16 / 200 = 7.2: one pixel.
        assert_eq!(found[1..], [bounds(7, 9, 8, 10), None]);
        assert!(found[0].is_some_and(|found| found.area() > 1));
    }
}
