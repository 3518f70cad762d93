//! Which samples a configuration trains on, and what is known of them.

use std::{collections::BTreeSet, sync::Arc};

use htl_datasets::{DataFolder, ImageSet, MaskUse, PixelBox, Sample, Split};
use htl_metrics::Mask;

use crate::{
    TrainError,
    config::{Setting, TrainConfig},
    files::read_ids,
    quality::Judge,
};

/// The training images of a run.
pub(crate) struct TrainingSamples {
    /// Images with the labels that the setting uses.
    pub labelled: Arc<ImageSet>,
    /// Images without (semi-supervised only).
    pub unlabelled: Option<Arc<ImageSet>>,
}

/// Reads the training images that `config` may use.
pub(crate) fn training_samples(config: &TrainConfig, data: &DataFolder) -> Result<TrainingSamples, TrainError> {
    let none = |what| TrainError::NothingToTrainOn {
        data: config.data.clone(),
        what,
    };
    let train = data.split(Split::Train);
    let chosen: Option<BTreeSet<String>> = config.labelled.as_deref().map(read_ids).transpose()?;
    if let (Some(ids), Some(path)) = (&chosen, &config.labelled) {
        let known: BTreeSet<&str> = train.iter().map(|s| s.image_id.as_str()).collect();
        if let Some(id) = ids.iter().find(|id| !known.contains(id.as_str())) {
            return Err(TrainError::UnknownId {
                path: path.clone(),
                image_id: id.clone(),
                data: config.data.clone(),
            });
        }
    }
    let listed = |sample: &&Sample| chosen.as_ref().is_none_or(|ids| ids.contains(&sample.image_id));
    let (has_label, what): (fn(&Sample) -> bool, _) = match config.setting {
        Setting::WeaklySupervised => (|s| s.dx.is_some(), "with a diagnosis (column dx)"),
        _ => (|s| s.mask.is_some(), "with a mask"),
    };
    if let Some(path) = &config.labelled
        && let Some(bare) = train.iter().find(|s| listed(s) && !has_label(s))
    {
        return Err(TrainError::NoLabel {
            path: path.clone(),
            image_id: bare.image_id.clone(),
            what,
            data: config.data.clone(),
        });
    }
    let labelled: Vec<&Sample> = train.iter().copied().filter(listed).filter(|s| has_label(s)).collect();
    if labelled.is_empty() {
        return Err(none(what));
    }
    let masks = match config.setting {
        Setting::WeaklySupervised => MaskUse::Ignore,
        _ => MaskUse::Required,
    };
    let unlabelled = if config.setting == Setting::SemiSupervised {
        let rest: Vec<&Sample> = train.iter().copied().filter(|s| !listed(s)).collect();
        if rest.is_empty() {
            return Err(none("beyond the labelled ones (semi-supervised)"));
        }
        Some(Arc::new(ImageSet::load(&rest, config.size, MaskUse::Ignore)?))
    } else {
        None
    };
    Ok(TrainingSamples {
        labelled: Arc::new(ImageSet::load(&labelled, config.size, masks)?),
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

/// The tight box of each image's mask; the whole image where a small mask vanished at network size.
pub(crate) fn boxes(images: &ImageSet) -> Vec<PixelBox> {
    let size = images.size();
    let whole = PixelBox {
        top: 0,
        left: 0,
        bottom: size,
        right: size,
    };
    (0..images.len())
        .map(|i| images.mask(i).and_then(|m| PixelBox::tight(&m, size)).unwrap_or(whole))
        .collect()
}

/// The validation images and what judges them; `None` where the split holds nothing with a label of the setting's kind.
///
/// # Errors
/// From reading the images.
pub fn validation(config: &TrainConfig, data: &DataFolder) -> Result<Option<(ImageSet, Judge)>, TrainError> {
    let val = data.split(Split::Val);
    if config.setting == Setting::WeaklySupervised {
        let classes = classes(data);
        let known = |s: &&Sample| s.dx.as_ref().is_some_and(|dx| classes.contains(dx));
        let samples: Vec<&Sample> = val.into_iter().filter(known).collect();
        if samples.is_empty() {
            return Ok(None);
        }
        let images = ImageSet::load(&samples, config.size, MaskUse::Ignore)?;
        let labels = labels(data, &images, &classes);
        return Ok(Some((
            images,
            Judge::Classes {
                labels,
                classes: classes.len(),
            },
        )));
    }
    let samples: Vec<&Sample> = val.into_iter().filter(|s| s.mask.is_some()).collect();
    if samples.is_empty() {
        return Ok(None);
    }
    let images = ImageSet::load(&samples, config.size, MaskUse::Required)?;
    let judge = if config.setting == Setting::WeaklySupervisedBoxes {
        Judge::Boxes(
            (0..images.len())
                .map(|i| images.mask(i).and_then(|m| PixelBox::tight(&m, config.size)))
                .collect(),
        )
    } else {
        Judge::Masks(stored_masks(&images)?)
    };
    Ok(Some((images, judge)))
}

/// The masks of a set at their stored size.
///
/// # Errors
/// From reading the files.
pub fn stored_masks(images: &ImageSet) -> Result<Vec<Mask>, TrainError> {
    (0..images.len())
        .map(|i| {
            let stored = images.stored_mask(i)?.unwrap_or_default();
            Ok(Mask::from_luma(
                stored.height() as usize,
                stored.width() as usize,
                stored.as_raw(),
            )?)
        })
        .collect()
}
