use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use htl_vocabulary::{file, write_whole};
use image::{GrayImage, ImageFormat};
use rand::seq::SliceRandom;

use super::group::{GroupRule, training_members};
use super::noise::MaskNoise;
use crate::{DataFolder, DatasetError, Sample, Split, generator, read_mask};

/// The list of the planted images in the truth's folder.
pub const PLANTED: &str = "planted.csv";

/// Changes to the training images of a data folder, and which images carry them. Validation and test stay as they are.
///
/// ```
/// use htl_datasets::{DataFolder, GroupRule, Planting, Split};
///
/// let data = DataFolder::open("../../data-manifest/embedded")?;
/// let small: GroupRule = "lowest:area_fraction".parse()?;
/// let planting = Planting::rare_group(&data, &small, 0.1, 7)?;
/// assert_eq!((planting.planted().len(), planting.removed().len()), (8, 72)); // of 80 small lesions among 240
///
/// let folder = tempfile::tempdir().unwrap();
/// planting.write(&data, &folder.path().join("data"), &folder.path().join("truth"))?;
/// let planted = DataFolder::open(folder.path().join("data"))?;
/// assert_eq!(planted.split(Split::Train).len(), 240 - 72);
/// # Ok::<(), htl_datasets::DatasetError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Planting {
    planted: BTreeSet<String>,
    removed: BTreeSet<String>,
    masks: BTreeMap<String, GrayImage>,
}

impl Planting {
    /// Makes a group rare: of its training images a random share is kept, the others are removed. Planted are those kept.
    ///
    /// # Errors
    /// [`DatasetError::Parameter`] for a share outside (0, 1], [`DatasetError::Plant`] if no image of the group is left
    /// or nobody is outside it; what [`GroupRule::members`] fails with.
    pub fn rare_group(data: &DataFolder, group: &GroupRule, share: f64, seed: u64) -> Result<Self, DatasetError> {
        let members: Vec<String> = training_members(data, group)?.into_iter().collect();
        let (planted, removed) = draw(members, share, seed, &format!("rare group {group}"))?;
        Ok(Self {
            planted,
            removed,
            masks: BTreeMap::new(),
        })
    }

    /// Makes the masks of a random share of the training images wrong. Planted are the images whose mask is another than
    /// before.
    ///
    /// # Errors
    /// [`DatasetError::Parameter`] for a share outside (0, 1], [`DatasetError::Plant`] if no mask is hit, or a single one is to be
    /// swapped; masks that cannot be read.
    pub fn noisy_masks(data: &DataFolder, noise: MaskNoise, share: f64, seed: u64) -> Result<Self, DatasetError> {
        let purpose = format!("{} masks", noise.name());
        let train = data.split(Split::Train);
        let with_masks = train.iter().filter(|sample| sample.mask.is_some());
        let ids: Vec<String> = with_masks.map(|sample| sample.image_id.clone()).collect();
        let (hit, _) = draw(ids, share, seed, &purpose)?;
        if hit.len() < 2 && noise == MaskNoise::Swapped {
            return Err(DatasetError::Plant {
                reason: "one mask cannot be swapped: give a larger share".into(),
            });
        }
        let truths = hit
            .iter()
            .filter_map(|id| data.get(id)?.mask.as_deref())
            .map(read_mask)
            .collect::<Result<Vec<_>, _>>()?;
        let wrong = noise.apply(&truths, &mut generator(seed, &purpose, 1));
        let changed = hit
            .into_iter()
            .zip(truths.into_iter().zip(wrong))
            .filter(|(_, (truth, wrong))| truth != wrong)
            .map(|(id, (_, wrong))| (id, wrong));
        Self::other_masks(data, changed.collect(), |_| true)
    }

    /// Gives training images other masks, such as those of an earlier revision. Planted are those for which `counts` holds:
    /// a revision may have changed others by a hair.
    ///
    /// # Errors
    /// [`DatasetError::Plant`] for an image that is not in the training split, and if none counts.
    pub fn other_masks(
        data: &DataFolder,
        masks: BTreeMap<String, GrayImage>,
        counts: impl Fn(&str) -> bool,
    ) -> Result<Self, DatasetError> {
        let is_train = |id: &String| data.get(id).is_some_and(|sample| sample.split == Split::Train);
        if let Some(id) = masks.keys().find(|id| !is_train(id)) {
            return Err(DatasetError::Plant {
                reason: format!("`{id}` is no training image of {}", data.root().display()),
            });
        }
        let planted: BTreeSet<String> = masks.keys().filter(|id| counts(id)).cloned().collect();
        if planted.is_empty() {
            return Err(DatasetError::Plant {
                reason: "no mask is changed: give a larger share, or other masks".into(),
            });
        }
        Ok(Self {
            planted,
            removed: BTreeSet::new(),
            masks,
        })
    }

    /// The training images that carry what was planted.
    pub fn planted(&self) -> &BTreeSet<String> {
        &self.planted
    }

    /// The training images that were taken away.
    pub fn removed(&self) -> &BTreeSet<String> {
        &self.removed
    }

    /// The new masks, 0 and 255, by image.
    pub fn masks(&self) -> &BTreeMap<String, GrayImage> {
        &self.masks
    }

    /// Writes the data folder to train on, and the truth into another: [`PLANTED`], the list of the planted images, and in
    /// `masks/` the true masks of those that have others now.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn write(&self, data: &DataFolder, to: &Path, truth: &Path) -> Result<(), DatasetError> {
        let kept: BTreeSet<&str> = data
            .samples()
            .iter()
            .map(|sample| sample.image_id.as_str())
            .filter(|id| !self.removed.contains(*id))
            .collect();
        data.copy_subset(to, &kept)?;
        let folder = truth.join(file::MASKS_FOLDER);
        fs::create_dir_all(&folder).map_err(DatasetError::write(&folder))?;
        for (id, mask) in &self.masks {
            let Some(Sample { mask: Some(source), .. }) = data.get(id) else {
                continue;
            };
            let name = source.file_name().unwrap_or_default();
            let aside = folder.join(name);
            fs::copy(source, &aside).map_err(|source| DatasetError::Write { path: aside, source })?;
            let mut png = std::io::Cursor::new(Vec::new());
            let place = to.join(file::MASKS_FOLDER).join(name);
            mask.write_to(&mut png, ImageFormat::Png)
                .map_err(|error| DatasetError::Write {
                    path: place.clone(),
                    source: std::io::Error::other(error),
                })?;
            write_whole(&place, png.into_inner()).map_err(DatasetError::NotWritten)?;
        }
        // Last: who finds it finds all of it.
        crate::write_ids(&truth.join(PLANTED), self.planted.iter().map(String::as_str))
    }
}

/// A random share of the ids, and the others.
fn draw(
    mut ids: Vec<String>,
    share: f64,
    seed: u64,
    purpose: &str,
) -> Result<(BTreeSet<String>, BTreeSet<String>), DatasetError> {
    if !(share > 0.0 && share <= 1.0) {
        return Err(DatasetError::Parameter {
            name: "share",
            expected: "in (0, 1]",
            found: share.to_string(),
        });
    }
    let count = (share * ids.len() as f64).round() as usize;
    if count == 0 {
        return Err(DatasetError::Plant {
            reason: format!("{share} of {} images is none: give a larger share", ids.len()),
        });
    }
    ids.sort_unstable();
    ids.shuffle(&mut generator(seed, purpose, 0));
    let rest = ids.split_off(count);
    Ok((ids.into_iter().collect(), rest.into_iter().collect()))
}
