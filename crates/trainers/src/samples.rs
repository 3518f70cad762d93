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
